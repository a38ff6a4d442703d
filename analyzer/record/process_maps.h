/*
 * process_maps.h - the mappings of another process at one moment, in ascending order.
 */
#ifndef HEAPSAKE_RECORD_PROCESS_MAPS_H
#define HEAPSAKE_RECORD_PROCESS_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping {
    uint64_t start, end;
    uint64_t offset, device, inode; /* of the file; inode 0: of none */
    bool read, write, execute, private;
    const char *name; /* of the file, as the process sees it; "[stack]" and its like; "" */
};

struct process_maps {
    struct mapping *all;
    size_t count;
    char *text; /* the names lie in it */
};

/* 0 or a negative errno. What `maps` held is freed, also on failure. */
int process_maps_read(struct process_maps *maps, pid_t pid);
void process_maps_free(struct process_maps *maps);
/* The one that holds `address`; NULL: none. */
const struct mapping *process_maps_find(const struct process_maps *maps, uint64_t address);
/* The part of the name behind the last slash. */
const char *mapping_file(const struct mapping *mapping);

#endif
