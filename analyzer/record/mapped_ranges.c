/* mapped_ranges.c - see mapped_ranges.h */
#include "record/mapped_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

void mapped_ranges_free(struct mapped_ranges *ranges)
{
    free(ranges->ranges);
    *ranges = MAPPED_RANGES_INIT;
}

/* Index of the first range that ends beyond `address`. */
static size_t first_beyond(const struct mapped_ranges *ranges, uint64_t address)
{
    size_t low = 0, high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges->ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool mapped_ranges_put(struct mapped_ranges *ranges, const struct mapped_range *range)
{
    if (!grow((void **)&ranges->ranges, ranges->count, &ranges->capacity, sizeof *ranges->ranges))
        return false;
    size_t at = first_beyond(ranges, range->start);
    memmove(&ranges->ranges[at + 1], &ranges->ranges[at], (ranges->count - at) * sizeof *range);
    ranges->ranges[at] = *range;
    ranges->count++;
    return true;
}

static void remove_at(struct mapped_ranges *ranges, size_t at, struct mapped_range *range)
{
    *range = ranges->ranges[at];
    ranges->count--;
    memmove(&ranges->ranges[at], &ranges->ranges[at + 1], (ranges->count - at) * sizeof *range);
}

bool mapped_ranges_take(struct mapped_ranges *ranges, uint64_t start, uint64_t end, struct mapped_range *range)
{
    size_t at = first_beyond(ranges, start);
    if (at == ranges->count || ranges->ranges[at].start >= end)
        return false;
    remove_at(ranges, at, range);
    return true;
}

bool mapped_ranges_take_at(struct mapped_ranges *ranges, uint64_t start, struct mapped_range *range)
{
    size_t at = first_beyond(ranges, start);
    if (at == ranges->count || ranges->ranges[at].start != start)
        return false;
    remove_at(ranges, at, range);
    return true;
}

bool mapped_ranges_copy(struct mapped_ranges *ranges, const struct mapped_ranges *from)
{
    *ranges = MAPPED_RANGES_INIT;
    if (from->count == 0)
        return true;
    ranges->ranges = malloc(from->count * sizeof *ranges->ranges);
    if (!ranges->ranges)
        return false;
    memcpy(ranges->ranges, from->ranges, from->count * sizeof *ranges->ranges);
    ranges->count = ranges->capacity = from->count;
    return true;
}
