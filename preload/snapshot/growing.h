/*
 * growing.h - in the snapshot child: an array that grows, in pages of its own. New bytes are zero.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_GROWING_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_GROWING_H

#include <stdbool.h>
#include <stddef.h>

#include "../arena.h"
#include "../sys.h"
#include "internal/compiler.h"

struct growing {
    void *memory;
    size_t size; /* bytes that are mapped */
};

/* Makes room for `size` bytes, at least doubling; what is there may move. False: no memory, and nothing changed. */
static HS_COLD bool growing_enlarge(struct growing *array, size_t size)
{
    size_t wanted = array->size ? array->size * 2 : (size_t)64 << 10;
    while (wanted < size)
        wanted *= 2;
    void *moved = array->memory ? sys_mremap(array->memory, array->size, wanted, MREMAP_MAYMOVE) : arena_map(wanted);
    if (!moved || sys_failed(moved))
        return false;
    array->memory = moved;
    array->size = wanted;
    return true;
}

HS_ALWAYS_INLINE bool growing_room(struct growing *array, size_t size)
{
    return HS_LIKELY(size <= array->size) || growing_enlarge(array, size);
}

static inline void growing_end(struct growing *array)
{
    if (array->memory)
        arena_unmap(array->memory, array->size);
    *array = (struct growing){0};
}

#endif
