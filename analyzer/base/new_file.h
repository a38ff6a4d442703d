/*
 * new_file.h - a file that appears under its name at once and whole, or not at all.
 *
 * Until it is committed it has no name where the file system can do without one, so that nothing is left behind by
 * a process that is killed; else a name beside the one it will get.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_BASE_NEW_FILE_H
#define HEAPSAKE_BASE_NEW_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct new_file {
    int fd; /* to write to */
    char *path;
    char *beside; /* the name that it has now; NULL: none */
};

/* Opens a file of mode 0600 that is to become `path`. What is there stays as it is. A negative errno. */
int new_file_begin(struct new_file *file, const char *path, struct error *error);

/* Owner and mode of another file, as far as that is allowed: nobody is let in who could not read the other. */
void new_file_resemble(struct new_file *file, const struct stat *other);

/*
 * Everything to the disk, then the name. `replace`: in the place of what has that name; else a name that is taken is
 * -EEXIST. Whatever fails, what had the name before is untouched. The file is closed and given back in every case.
 */
int new_file_commit(struct new_file *file, bool replace, struct error *error);

/* Instead of the commit. */
void new_file_discard(struct new_file *file);

#endif
