/* own_folder.c - see own_folder.h */
#include "base/own_folder.h"

#include <string.h>
#include <unistd.h>

void own_folder(char folder[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[1] = '\0';
}
