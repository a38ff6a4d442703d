/* open_regions.c - see open_regions.h */
#include "record/open_regions.h"

#include <stdlib.h>

#define FIRST_SLOTS 64u

void open_regions_free(struct open_regions *open)
{
    free(open->slots);
    *open = (struct open_regions){0};
}

static uint32_t home_of(const struct open_regions *open, uint32_t region)
{
    return (region * UINT32_C(0x9e3779b1) >> 7) & (open->slot_count - 1);
}

/* The slot of a region, or the empty one where it would be. */
static uint32_t find(const struct open_regions *open, uint32_t region)
{
    uint32_t at = home_of(open, region);
    while (open->slots[at].occurrence != 0 && open->slots[at].region != region)
        at = (at + 1) & (open->slot_count - 1);
    return at;
}

/* At most half of the slots are taken. */
static bool make_room(struct open_regions *open)
{
    if (open->count < open->slot_count / 2)
        return true;
    uint32_t slot_count = open->slot_count ? open->slot_count * 2 : FIRST_SLOTS;
    struct open_regions larger = {.slot_count = slot_count, .count = open->count};
    larger.slots = open->count < OPEN_REGIONS_MOST ? calloc(slot_count, sizeof *larger.slots) : NULL;
    if (!larger.slots)
        return false;
    for (uint32_t i = 0; i < open->slot_count; i++)
        if (open->slots[i].occurrence != 0)
            larger.slots[find(&larger, open->slots[i].region)] = open->slots[i];
    free(open->slots);
    *open = larger;
    return true;
}

bool open_regions_put(struct open_regions *open, uint32_t region, uint64_t occurrence)
{
    if (!make_room(open))
        return false;
    struct open_region *slot = &open->slots[find(open, region)];
    open->count += slot->occurrence == 0;
    *slot = (struct open_region){occurrence, region};
    return true;
}

uint64_t open_regions_take(struct open_regions *open, uint32_t region)
{
    if (open->count == 0)
        return 0;
    uint32_t mask = open->slot_count - 1, hole = find(open, region);
    uint64_t occurrence = open->slots[hole].occurrence;
    if (occurrence == 0)
        return 0;
    /* Those behind it that may not stay behind a hole move up. */
    for (uint32_t at = (hole + 1) & mask; open->slots[at].occurrence != 0; at = (at + 1) & mask)
        if (((at - home_of(open, open->slots[at].region)) & mask) >= ((at - hole) & mask)) {
            open->slots[hole] = open->slots[at];
            hole = at;
        }
    open->slots[hole] = (struct open_region){0};
    open->count--;
    return occurrence;
}
