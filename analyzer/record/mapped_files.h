/*
 * mapped_files.h - the files that a process has mapped, from /proc/PID/maps.
 *
 * A run of mappings of one file, with offsets that rise as the loader makes them, is one entry here; a file that is
 * mapped in several places, or the other way round, has several. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_MAPPED_FILES_H
#define HEAPSAKE_RECORD_MAPPED_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapped_file {
    char *path;          /* as the process' root has it; "/memfd:NAME" for memory files                      */
    uint64_t start, end; /* of the first mapping of the run                                                  */
    uint64_t offset;     /* of that in the file                                                              */
    bool deleted;        /* it has no name any more: what `path` leads to, if anything, is another file      */
    bool code;           /* some mapping of the run may be executed                                          */
};

struct mapped_files {
    struct mapped_file *files;
    size_t count, capacity;
    uint64_t mappings; /* all of the process', those of no file too */
};

#define MAPPED_FILES_INIT ((struct mapped_files){0})

/* Reads those of the process of `folder` (proc_folder.h). 0 or a negative errno; then `files` is empty. */
int mapped_files_read(struct mapped_files *files, int folder);
void mapped_files_free(struct mapped_files *files);

/* The last part of its path. */
const char *mapped_file_name(const struct mapped_file *file);
/* The first file with code whose name is `name`; with `prefix`, whose name begins so. NULL: there is none. */
const struct mapped_file *mapped_files_find(const struct mapped_files *files, const char *name, bool prefix);

/* Opens it for reading, the mapped file itself where the kernel lets us, else what is at its path. -errno. */
int mapped_file_open(const struct mapped_file *file, int folder);

#endif
