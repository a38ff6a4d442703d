/* temporary_file.c - see temporary_file.h */
#include "temporary_file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORM "/tmp/heapsake-test-XXXXXX"

char temporary_file[sizeof FORM];

int temporary_file_make(void **state)
{
    (void)state;
    memcpy(temporary_file, FORM, sizeof FORM);
    int fd = mkstemp(temporary_file);
    return fd < 0 ? -1 : close(fd);
}

int temporary_file_remove(void **state)
{
    (void)state;
    return unlink(temporary_file);
}
