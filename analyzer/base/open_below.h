/* open_below.h - paths of another root: what a program in a container calls /lib/x is not what we call so. */
#ifndef HEAPSAKE_BASE_OPEN_BELOW_H
#define HEAPSAKE_BASE_OPEN_BELOW_H

/*
 * Opens `path` below the folder `root` (a descriptor) as if that were the root folder: symbolic links are followed
 * inside it. `flags` as for open(). A descriptor or a negative errno. Thread-safe.
 */
int open_below(int root, const char *path, int flags);

#endif
