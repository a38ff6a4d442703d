/* map64.c - see map64.h */
#include "base/map64.h"

#include <stdlib.h>

void map64_free(struct map64 *map)
{
    free(map->slots);
    *map = MAP64_INIT;
}

/* The key's slot, or the empty one where it belongs. The table has an empty slot. */
static struct map64_slot *find_slot(const struct map64 *map, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t slot = (uint32_t)(hash >> 32) & (map->slot_count - 1);
    while (map->slots[slot].used && map->slots[slot].key != key)
        slot = (slot + 1) & (map->slot_count - 1);
    return &map->slots[slot];
}

static bool grow(struct map64 *map)
{
    if (map->slot_count >= UINT32_C(1) << 30)
        return false;
    struct map64 larger = {.slot_count = map->slot_count ? 2 * map->slot_count : 256, .count = map->count};
    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (uint32_t i = 0; i < map->slot_count; i++)
        if (map->slots[i].used)
            *find_slot(&larger, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = larger;
    return true;
}

bool map64_put(struct map64 *map, uint64_t key, uint32_t value)
{
    if (2 * (uint64_t)map->count >= map->slot_count && !grow(map))
        return false;
    struct map64_slot *slot = find_slot(map, key);
    map->count += !slot->used;
    *slot = (struct map64_slot){.key = key, .value = value, .used = 1};
    return true;
}

bool map64_get(const struct map64 *map, uint64_t key, uint32_t *value)
{
    if (map->count == 0)
        return false;
    const struct map64_slot *slot = find_slot(map, key);
    if (!slot->used)
        return false;
    *value = slot->value;
    return true;
}
