/* python_counts.c - see python_counts.h */
#include "python_counts.h"

#include "../python/object_offsets.h"

struct python_counts python_counts;

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
