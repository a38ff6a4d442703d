/*
 * open_regions.h - which regions of a program are open: from the numbers that the program gives them to occurrences.
 *
 * A hash table with open addressing; entries are taken out when regions end. The program may say any numbers, and begin
 * as many as it likes: beyond OPEN_REGIONS_MOST the table takes no more. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_OPEN_REGIONS_H
#define HEAPSAKE_RECORD_OPEN_REGIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPEN_REGIONS_MOST (UINT32_C(1) << 20)

struct open_region {
    uint64_t occurrence; /* 0: the cell is empty */
    uint32_t region;
};

struct open_regions {
    struct open_region *cells;
    uint32_t cell_count; /* a power of two, or 0 */
    uint32_t count;
};

void open_regions_free(struct open_regions *open);

/*
 * A region begins; `occurrence` is not 0. One of the same number that is open stays open for good. False: the table is
 * full, or memory ran out.
 */
bool open_regions_put(struct open_regions *open, uint32_t region, uint64_t occurrence);

/* It ends: its occurrence; 0: no such region is open. */
uint64_t open_regions_take(struct open_regions *open, uint32_t region);

#endif
