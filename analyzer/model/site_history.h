/*
 * site_history.h - how many blocks of each stack node were live while the program went on.
 *
 * The run is cut into slices of equally many allocations: a clock that does not run while the program sleeps, and that
 * short programs have too. How many there will be is not known before, so when all slices are used pairs of them
 * become one. What grows to the end has more live blocks at the end of each slice; what is bounded (a cache with a
 * limit, a ring) has the same number although its survivors are all young. Memory: 132 bytes for each node that
 * allocated. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_SITE_HISTORY_H
#define HEAPSAKE_MODEL_SITE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapsake/trace_format.h"
#include "internal/compiler.h"

#define HISTORY_SLICES 32u
#define HISTORY_PAGE_BITS 8
#define HISTORY_PAGES ((HSK_MAX_NODE + 1) >> HISTORY_PAGE_BITS)

struct site_track {
    uint32_t live;
    uint32_t at[HISTORY_SLICES]; /* live blocks when slice i was over */
};

struct site_history {
    uint64_t width;       /* allocations in a slice                                      */
    uint64_t slice_end;   /* ordinal at which the open one is over                        */
    uint32_t slices;      /* that are over; when finished all of them, at least one        */
    uint64_t end_ordinal; /* finished: one more than the last                             */
    struct site_track *pages[HISTORY_PAGES];
    bool failed; /* out of memory */
};

/* NULL when memory runs out. */
struct site_history *site_history_new(void);
void site_history_free(struct site_history *history);

/* The last slice ends here, with ordinal `end_ordinal` - 1. */
void site_history_finish(struct site_history *history, uint64_t end_ordinal);

/* The track of a node, NULL when it never allocated. */
const struct site_track *site_history_track(const struct site_history *history, uint32_t node);
/* The slice of an ordinal, less than `slices`. Of a finished history. */
unsigned site_history_slice(const struct site_history *history, uint64_t ordinal);

/* Not for callers: the slow cases of the functions below. */
void site_history_roll(struct site_history *history, uint64_t ordinal);
struct site_track *site_history_page(struct site_history *history, uint32_t node);

HS_ALWAYS_INLINE struct site_track *site_history_of(struct site_history *history, uint32_t node)
{
    struct site_track *page = node <= HSK_MAX_NODE ? history->pages[node >> HISTORY_PAGE_BITS] : NULL;
    return HS_LIKELY(page != NULL) ? &page[node & ((1u << HISTORY_PAGE_BITS) - 1)] : site_history_page(history, node);
}

HS_ALWAYS_INLINE void site_history_alloc(struct site_history *history, uint64_t ordinal, uint32_t node)
{
    if (HS_UNLIKELY(ordinal >= history->slice_end))
        site_history_roll(history, ordinal);
    struct site_track *track = site_history_of(history, node);
    if (HS_LIKELY(track != NULL))
        track->live++;
}

HS_ALWAYS_INLINE void site_history_end_block(struct site_history *history, uint32_t node)
{
    struct site_track *track = site_history_of(history, node);
    if (HS_LIKELY(track != NULL) && track->live > 0)
        track->live--;
}

#endif
