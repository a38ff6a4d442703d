/* map64.c - see map64.h */
#include "base/map64.h"

#include <stdlib.h>

void map64_free(struct map64 *map)
{
    free(map->cells);
    *map = MAP64_INIT;
}

/* The key's cell, or the empty one where it belongs. The table has an empty cell. */
static struct map64_cell *find_cell(const struct map64 *map, uint64_t key)
{
    uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t cell = (uint32_t)(hash >> 32) & (map->cell_count - 1);
    while (map->cells[cell].used && map->cells[cell].key != key)
        cell = (cell + 1) & (map->cell_count - 1);
    return &map->cells[cell];
}

static bool grow(struct map64 *map)
{
    if (map->cell_count >= UINT32_C(1) << 30)
        return false;
    struct map64 larger = {.cell_count = map->cell_count ? 2 * map->cell_count : 256, .count = map->count};
    larger.cells = calloc(larger.cell_count, sizeof *larger.cells);
    if (!larger.cells)
        return false;
    for (uint32_t i = 0; i < map->cell_count; i++)
        if (map->cells[i].used)
            *find_cell(&larger, map->cells[i].key) = map->cells[i];
    free(map->cells);
    *map = larger;
    return true;
}

bool map64_put(struct map64 *map, uint64_t key, uint32_t value)
{
    if (2 * (uint64_t)map->count >= map->cell_count && !grow(map))
        return false;
    struct map64_cell *cell = find_cell(map, key);
    map->count += !cell->used;
    *cell = (struct map64_cell){.key = key, .value = value, .used = 1};
    return true;
}

bool map64_get(const struct map64 *map, uint64_t key, uint32_t *value)
{
    if (map->count == 0)
        return false;
    const struct map64_cell *cell = find_cell(map, key);
    if (!cell->used)
        return false;
    *value = cell->value;
    return true;
}
