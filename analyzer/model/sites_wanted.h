/*
 * sites_wanted.h - sites at many moments of a trace, in one pass over its events.
 *
 * What lives at a moment (of all, or of what was born in one occurrence of a region), and all that was allocated
 * between two. A moment is a number of events, as in life_replay.until_event. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_SITES_WANTED_H
#define HEAPSAKE_MODEL_SITES_WANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/regions.h"
#include "model/sites.h"

struct sites_wanted {
    bool allocated; /* all allocations from `from` until `event`, else what lives at `event` */
    uint64_t from, event;
    const struct region *region; /* only what was born in it; NULL: all */
    struct sites sites;          /* filled: largest first, of `allocated` by count; the caller frees them */
};

/* Fills them all. `sites` are as SITES_INIT before. 0 or -ENOMEM. */
int sites_wanted_find(struct sites_wanted *wanted, size_t count, struct trace_reader *reader, struct stacks *stacks,
                      struct error *error);

#endif
