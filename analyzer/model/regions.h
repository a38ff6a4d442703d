/*
 * regions.h - what is born in each occurrence of a region, and what lives at marks, while the events of a trace go by.
 *
 * A block is born in a region when the thread that began it (with "all threads": any) allocates it while the region is
 * open. No block needs to remember that: ordinals are given in the order of the events, so it was born in an occurrence
 * when its ordinal lies between those at the occurrence's begin and end, and its thread is the right one. What that
 * comes to in regions that are open is counted by open_sums.h; events cost nothing of it when none is.
 *
 * Bytes and blocks leave out arenas and what a forked child inherited, as all totals do. Not thread-safe.
 *
 *     regions_init(&regions, &marks);
 *     replay.each = ... regions_event(&regions, lifetimes, event);
 *     replay.finalize = ... regions_done(&regions, lifetimes);
 *     lifetimes_replay(...);
 *     regions_finish(&regions, lifetimes);
 */
#ifndef HEAPSAKE_MODEL_REGIONS_H
#define HEAPSAKE_MODEL_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map64.h"
#include "model/lifetimes.h"
#include "model/mark_table.h"
#include "model/object_lives.h"
#include "model/open_sums.h"

/* One occurrence. */
struct region {
    uint64_t occurrence;                 /* as the trace numbers it                       */
    uint32_t name;                       /* in the mark table                             */
    uint32_t number;                     /* which one of that name, from 1                */
    uint32_t thread;                     /* that began it                                 */
    bool all_threads, open;              /* open: not ended where the events end          */
    uint64_t begin_ordinal, end_ordinal; /* of the allocations that came next  */
    uint64_t begin_event, end_event;     /* allocations and frees before it    */
    uint64_t begin_ns, end_ns;
    uint64_t begin_mark, end_mark; /* MARK ops up to and with it; end_mark is UINT64_MAX of an open one */
    /* What follows is known when it has ended, or when regions_settle() was called last. */
    uint64_t allocations, allocated_bytes;
    uint64_t peak_bytes, peak_event, peak_ns; /* the most that lived at once of what was born in it */
    /* of that: what outlived it, that is, lived at its end; open: when the program was done */
    uint64_t live_bytes, live_blocks;
    /* private */
    bool done; /* it was open when the program was done: */
    uint64_t done_bytes, done_blocks;
};

/* The state at a mark, or at the end of a region. */
struct mark_moment {
    uint64_t event, time_ns;
    uint64_t live_bytes, live_blocks;
    uint64_t live_objects; /* blocks of Python's objects: the domain py_object */
};

/* All that has one name: marks, and occurrences of a region. */
struct named_region {
    uint64_t marks;
    uint32_t occurrences, open;
    uint64_t allocations, allocated_bytes;    /* of all occurrences */
    uint64_t outlived_bytes, outlived_blocks; /* the same: live_bytes, live_blocks */
    /* Indexes of the list, of the first of equals; UINT32_MAX: the name has no region. */
    uint32_t last; /* the one that began last */
    uint32_t most_peak, most_live, most_allocations;
    bool leaks_wanted;           /* given, before leaks are looked for: its own are wanted (leak_repeated.c) */
    bool sampled;                /* given, between init and the events: moments are wanted */
    struct mark_moment *moments; /* at the marks; where there are none, at the ends of the region */
    size_t moment_count, moment_capacity;
};

struct regions {
    const struct mark_table *marks;
    struct named_region *names; /* by name; name_count of them. 0: of what the trace does not describe */
    uint32_t name_count;
    struct region *list; /* in the order of their begins */
    size_t count, capacity;
    uint64_t unknown_ends; /* of occurrences that never began: damage */
    /* private */
    struct map64 by_occurrence;
    struct open_sums *threads; /* what is open to each; the first one's to all threads */
    size_t thread_count, thread_capacity;
    struct map64 thread_index;
    uint32_t last_thread, last_index;
    size_t open_count;
    size_t first_open;       /* in the list, while any is */
    uint64_t oldest_ordinal; /* its begin */
    uint64_t next_ordinal, mark_count;
    bool began, done;
    uint64_t done_event, done_ns;
    bool failed; /* out of memory */
};

/* `marks` stays as long as the regions. 0 or -ENOMEM. */
int regions_init(struct regions *regions, const struct mark_table *marks);
void regions_free(struct regions *regions);
/* `marks` has got more records, of a trace that is read while it grows. 0 or -ENOMEM. */
int regions_take_names(struct regions *regions);

/* Every event, before `lifetimes` gets it. Look at `failed` when all are through. */
void regions_event(struct regions *regions, const struct lifetimes *lifetimes, const struct event *event);
/* What is known of the regions that are open, as of the last event. */
void regions_settle(struct regions *regions);
/* The program is done, says HSK_MARK_FINALIZE; the last one counts. */
void regions_done(struct regions *regions, const struct lifetimes *lifetimes);
/* All events are through: closes the books. */
void regions_finish(struct regions *regions, const struct lifetimes *lifetimes);

/* What has that name, and its number (`name` may be NULL); NULL: nothing has. It may have neither marks nor
 * occurrences. */
const struct named_region *regions_find(const struct regions *regions, const char *text, uint32_t *name);

/* Was a live block born in it? */
HS_ALWAYS_INLINE bool region_has_block(const struct region *region, uint64_t ordinal, uint32_t thread)
{
    return ordinal >= region->begin_ordinal && ordinal < region->end_ordinal &&
           (region->all_threads || region->thread == thread);
}

/* Was an object, which may be in the block of a dead one? */
HS_ALWAYS_INLINE bool region_has_object(const struct region *region, const struct object_life *life)
{
    return life->birth_mark >= region->begin_mark && life->birth_mark < region->end_mark &&
           (region->all_threads || region->thread == life->birth_thread);
}

#endif
