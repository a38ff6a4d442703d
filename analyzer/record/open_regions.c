/* open_regions.c - see open_regions.h */
#include "record/open_regions.h"

#include <stdlib.h>

#define FIRST_CELLS 64u

void open_regions_free(struct open_regions *open)
{
    free(open->cells);
    *open = (struct open_regions){0};
}

static uint32_t home_of(const struct open_regions *open, uint32_t region)
{
    return (region * UINT32_C(0x9e3779b1) >> 7) & (open->cell_count - 1);
}

/* The cell of a region, or the empty one where it would be. */
static uint32_t find(const struct open_regions *open, uint32_t region)
{
    uint32_t at = home_of(open, region);
    while (open->cells[at].occurrence != 0 && open->cells[at].region != region)
        at = (at + 1) & (open->cell_count - 1);
    return at;
}

/* At most half of the cells are taken. */
static bool make_room(struct open_regions *open)
{
    if (open->count < open->cell_count / 2)
        return true;
    uint32_t cell_count = open->cell_count ? open->cell_count * 2 : FIRST_CELLS;
    struct open_regions larger = {.cell_count = cell_count, .count = open->count};
    larger.cells = open->count < OPEN_REGIONS_MOST ? calloc(cell_count, sizeof *larger.cells) : NULL;
    if (!larger.cells)
        return false;
    for (uint32_t i = 0; i < open->cell_count; i++)
        if (open->cells[i].occurrence != 0)
            larger.cells[find(&larger, open->cells[i].region)] = open->cells[i];
    free(open->cells);
    *open = larger;
    return true;
}

bool open_regions_put(struct open_regions *open, uint32_t region, uint64_t occurrence)
{
    if (!make_room(open))
        return false;
    struct open_region *cell = &open->cells[find(open, region)];
    open->count += cell->occurrence == 0;
    *cell = (struct open_region){occurrence, region};
    return true;
}

uint64_t open_regions_take(struct open_regions *open, uint32_t region)
{
    if (open->count == 0)
        return 0;
    uint32_t mask = open->cell_count - 1, hole = find(open, region);
    uint64_t occurrence = open->cells[hole].occurrence;
    if (occurrence == 0)
        return 0;
    /* Those behind it that may not stay behind a hole move up. */
    for (uint32_t at = (hole + 1) & mask; open->cells[at].occurrence != 0; at = (at + 1) & mask)
        if (((at - home_of(open, open->cells[at].region)) & mask) >= ((at - hole) & mask)) {
            open->cells[hole] = open->cells[at];
            hole = at;
        }
    open->cells[hole] = (struct open_region){0};
    open->count--;
    return occurrence;
}
