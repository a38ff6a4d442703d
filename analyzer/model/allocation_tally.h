/*
 * allocation_tally.h - all allocations of a trace, or those that were temporary, by site, while the events go by.
 *
 * Arenas and inherited blocks are left out, as in all totals of bytes. Memory follows the nodes, not the events.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_ALLOCATION_TALLY_H
#define HEAPSAKE_MODEL_ALLOCATION_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "model/lifetimes.h"
#include "model/sites.h"

struct allocation_tally {
    bool temporary;     /* those alone; set before the first event      */
    struct sites sites; /* by node: to be finished when all are through */
    /* private */
    struct site last; /* what the last event adds if it counts; count 0: nothing */
    uint64_t counter; /* what lifetimes had counted before it                    */
};

#define ALLOCATION_TALLY_INIT ((struct allocation_tally){.sites = SITES_INIT})

/* Every event, before `lifetimes` gets it. */
void allocation_tally_event(struct allocation_tally *tally, const struct lifetimes *lifetimes,
                            const struct event *event);

/* When `lifetimes` has had the last one. Look at sites.failed then. */
void allocation_tally_end(struct allocation_tally *tally, const struct lifetimes *lifetimes);

#endif
