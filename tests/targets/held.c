/*
 * held.c - a module that keeps the loader's lock: its constructor says at the FIFO HELD_AT that it has begun, and ends
 * when the FIFO is opened again for writing.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void hold(void)
{
    const char *path = getenv("HELD_AT");
    close(open(path, O_WRONLY | O_CLOEXEC));
    close(open(path, O_RDONLY | O_CLOEXEC));
}
