/*
 * mapped_ranges.h - the live ranges of HS_DOMAIN_MMAP, sorted by address.
 *
 * Unlike blocks, ranges end in parts: an unmap may cut a hole into one, or cover
 * many. Ranges do not overlap. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_MAPPED_RANGES_H
#define HEAPSAKE_RECORD_MAPPED_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapped_range {
    uint64_t start, end;
    uint64_t ordinal;
    uint32_t node;
    uint32_t reserved;
};

struct mapped_ranges {
    struct mapped_range *ranges;
    size_t count, capacity;
};

#define MAPPED_RANGES_INIT ((struct mapped_ranges){0})

void mapped_ranges_free(struct mapped_ranges *ranges);

/* Adds a range that overlaps none. False when memory runs out. */
bool mapped_ranges_put(struct mapped_ranges *ranges, const struct mapped_range *range);

/* Takes out the first range that has bytes in [start, end). False: there is none. */
bool mapped_ranges_take(struct mapped_ranges *ranges, uint64_t start, uint64_t end, struct mapped_range *range);

/* Takes out the range that begins at `start`. False: there is none. */
bool mapped_ranges_take_at(struct mapped_ranges *ranges, uint64_t start, struct mapped_range *range);

/* A copy; false when memory runs out. */
bool mapped_ranges_copy(struct mapped_ranges *ranges, const struct mapped_ranges *from);

#endif
