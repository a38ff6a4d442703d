/*
 * process_maps.h - the mappings of another process at one moment, in ascending order.
 */
#ifndef HEAPSAKE_RECORD_PROCESS_MAPS_H
#define HEAPSAKE_RECORD_PROCESS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
    uint64_t start, end;
    uint64_t offset, device, inode; /* of the file; inode 0: of none */
    bool read, write, execute, private;
    bool deleted;     /* it has no name any more: what `name` leads to, if anything, is another file           */
    const char *name; /* of the file, as the process' root has it; "/memfd:NAME"; "[stack]" and its like; "" */
};

enum module_role { MODULE_OTHER, MODULE_EXECUTABLE, MODULE_LIBC, MODULE_LOADER, MODULE_HEAPSAKE };

struct process_maps {
    struct mapping *all;
    size_t count;
    char *text; /* the names lie in it */
};

#define PROCESS_MAPS_INIT ((struct process_maps){.count = 0})

/*
 * Those of the process of `folder` (proc_folder.h); none when it has no memory: a zombie, or the kernel's own. 0 or a
 * negative errno. What `maps` held is freed, also on failure.
 */
int process_maps_read(struct process_maps *maps, int folder);
void process_maps_free(struct process_maps *maps);
/* The one that holds `address`; NULL: none. */
const struct mapping *process_maps_find(const struct process_maps *maps, uint64_t address);

/* The part of the name behind the last slash. */
const char *mapping_file(const struct mapping *mapping);
/* What its file is, by its name. */
enum module_role mapping_role(const struct mapping *mapping);
/* Is it the kernel's: the vdso and its like? */
bool mapping_is_kernels(const struct mapping *mapping);
/* Is its file the one that the process of `folder` executes? */
bool mapping_is_executable(const struct mapping *mapping, int folder);
/*
 * Opens the file for reading, the mapped one itself where the kernel lets us, else what is at its name in the process'
 * root. -errno; it is never anything but a regular file. `folder` is the process'.
 */
int mapping_open(const struct mapping *mapping, int folder);

#endif
