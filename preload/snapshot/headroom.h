/*
 * headroom.h - in the program: is there memory for a snapshot?
 *
 * While the child walks, every page that the program writes to exists twice, and the child needs tables of its own; the
 * recorder needs the list of live blocks. A snapshot is not worth an out-of-memory kill, so it is taken only
 * when half of the resident set, and 16 MiB, are to be had: a quarter for pages that the program changes meanwhile, a
 * quarter for the tables. They must be to be had in the machine (MemAvailable) and below the limits of all the
 * process's cgroups, where page cache that has not been used lately counts as free.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_HEADROOM_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_HEADROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The resident set of this process in bytes; 0: not known. */
uint64_t headroom_resident(void);
/* False: a sentence that says what is missing is in `why`. What cannot be found out is taken for unlimited. */
bool headroom_enough(uint64_t resident, char *why, size_t size);

#endif
