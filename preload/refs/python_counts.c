/* python_counts.c - see python_counts.h */
#include "python_counts.h"

#include "../arena.h"
#include "../modules.h"
#include "../python/object_offsets.h"

#define GC_HEADER 16u
#define PRE_HEADER 16u
#define FLAGS_PRE_HEADER (UINT64_C(3) << 3) /* Py_TPFLAGS_PREHEADER; in 3.11 bit 4 alone */

struct python_counts python_counts;

/*
 * The types that a thread met since the clock's last tick. A type stays where it is as long as an object of it is
 * there; it is looked at anew after each tick, since another one may have come to lie at its address.
 */
#define HEADER_ENTRIES 128u
struct header_cache {
    struct {
        uintptr_t type;
        uint64_t clock_ns; /* when it was looked at */
        uint64_t header;
    } entries[HEADER_ENTRIES];
};

/* PyObject is larger by this much where it has a lock and two counts; a type begins with one and its size. */
#define FREE_THREADED_EXCESS 16u

void python_counts_start(const struct python_offsets *offsets)
{
    struct python_counts counts = {0};
    if (offsets && offsets->minor >= 11) {
        counts.minor = offsets->minor;
        counts.type = offsets->object.type;
        counts.type_flags = PYTHON_TYPE_FLAGS + (offsets->free_threaded ? FREE_THREADED_EXCESS : 0);
        counts.narrow = offsets->minor >= 12;
        counts.free_threaded = offsets->free_threaded;
        const struct python_object_offsets *objects = python_object_offsets_find(offsets->minor);
        if (!offsets->free_threaded && objects &&
            python_object_offsets_check(objects, python_capi._PyRuntime) == PYTHON_CHECK_AGREES) {
            type_table_start(offsets, objects);
            counts.typed = true;
        }
    }
    python_counts = counts;
}

static HS_COLD unsigned header_of_type(uintptr_t type)
{
    uintptr_t flags_at = type + python_counts.type_flags;
    if (type % sizeof(void *) != 0 || !modules_readable(flags_at))
        return 0;
    uint64_t flags = *(const volatile uint64_t *)flags_at;
    unsigned header = flags & PYTHON_FLAG_GC && !python_counts.free_threaded ? GC_HEADER : 0;
    return header + (flags & FLAGS_PRE_HEADER ? PRE_HEADER : 0);
}

unsigned python_counts_header(struct thread *self, const void *object)
{
    if (HS_UNLIKELY(!python_counts.type))
        return 0;
    uintptr_t type = *(const volatile uintptr_t *)((const char *)object + python_counts.type);
    struct header_cache *cache = self->headers;
    if (HS_UNLIKELY(!cache)) {
        cache = self->headers = arena_map(sizeof *cache);
        if (!cache)
            return header_of_type(type);
    }
    unsigned at = (unsigned)(type >> 5 ^ type >> 12) % HEADER_ENTRIES;
    if (HS_UNLIKELY(cache->entries[at].type != type || cache->entries[at].clock_ns != self->clock_ns)) {
        cache->entries[at].header = header_of_type(type);
        cache->entries[at].type = type;
        cache->entries[at].clock_ns = self->clock_ns;
    }
    return (unsigned)cache->entries[at].header;
}
