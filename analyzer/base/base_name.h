/* base_name.h - the name of a file without the folders that it lies in. */
#ifndef HEAPSAKE_BASE_BASE_NAME_H
#define HEAPSAKE_BASE_BASE_NAME_H

#include <string.h>

/* What is behind the last slash, in `path` itself; all of it where nothing is. */
static inline const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

#endif
