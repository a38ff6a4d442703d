/*
 * map64.h - a hash table from 64-bit numbers to 32-bit numbers.
 *
 * Grows as needed; no entry is ever taken out. Not thread-safe.
 */
#ifndef HEAPSAKE_BASE_MAP64_H
#define HEAPSAKE_BASE_MAP64_H

#include <stdbool.h>
#include <stdint.h>

struct map64_cell {
    uint64_t key;
    uint32_t value;
    uint32_t used;
};

struct map64 {
    struct map64_cell *cells;
    uint32_t cell_count, count;
};

#define MAP64_INIT ((struct map64){0})

void map64_free(struct map64 *map);

/* Adds or replaces; false when memory runs out. */
bool map64_put(struct map64 *map, uint64_t key, uint32_t value);

/* False, and *value untouched, when the key is not there. */
bool map64_get(const struct map64 *map, uint64_t key, uint32_t *value);

#endif
