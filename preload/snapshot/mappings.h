/*
 * mappings.h - in the snapshot child: the process's memory map.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_MAPPINGS_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_MAPPINGS_H

#include <stdbool.h>
#include <stdint.h>

struct mapping {
    uintptr_t start, end;
    uint64_t offset, inode;
    const char *path; /* a path, "[stack]" and the like, or "" */
    uint32_t path_length;
    bool readable, writable, shared;
};

/* Reads /proc/self/maps. False: it cannot be read. */
bool mappings_read(void);
uint32_t mappings_count(void);
const struct mapping *mappings_at(uint32_t index);
/* The mapping that holds the address; NULL: none. */
const struct mapping *mappings_find(uintptr_t address);

#endif
