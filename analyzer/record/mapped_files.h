/*
 * mapped_files.h - the files that a process has mapped.
 *
 * A run of mappings of one file, with offsets that rise as the loader makes them, is one entry here; a file that is
 * mapped in several places, or the other way round, has several. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_MAPPED_FILES_H
#define HEAPSAKE_RECORD_MAPPED_FILES_H

#include "record/process_maps.h"

struct mapped_file {
    const struct mapping *first; /* of the run                                     */
    bool code;                   /* some mapping of the run may be executed */
};

struct mapped_files {
    struct process_maps maps; /* all of the process' mappings, those of no file too */
    struct mapped_file *files;
    size_t count;
};

#define MAPPED_FILES_INIT ((struct mapped_files){.count = 0})

/* Reads those of the process of `folder` (proc_folder.h). 0 or a negative errno; then `files` is empty. */
int mapped_files_read(struct mapped_files *files, int folder);
void mapped_files_free(struct mapped_files *files);

/* Of the first file with code whose name is `name`; with `prefix`, whose name begins so. NULL: there is none. */
const struct mapping *mapped_files_find(const struct mapped_files *files, const char *name, bool prefix);

#endif
