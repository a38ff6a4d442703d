/*
 * lifetimes.h - which blocks live, while the events of a trace go by.
 *
 * Every allocation has an ordinal, and a free names the ordinal that it ends, so
 * a block is found by its number, without hashing. Blocks lie in pages of 4096
 * ordinals that are there as long as one of their blocks lives; a page of which few blocks are
 * left is kept as a short sorted list. Memory therefore follows the live blocks,
 * not the events.
 *
 *   ordinal   39..26   25..12   11..0
 *             root --> leaf --> page (dense or sparse) --> block
 *
 * Totals of bytes and of live blocks leave out the domain "arena", which only holds blocks of other domains,
 * and what a forked child inherited; both have counters of their own.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_LIFETIMES_H
#define HEAPSAKE_MODEL_LIFETIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/histogram.h"
#include "model/site_history.h"
#include "trace/decode.h"
#include "trace/trace_reader.h"

#define LIFE_PAGE_BITS 12
#define LIFE_LEAF_BITS 14
#define LIFE_ROOT_BITS 14
#define LIFE_PAGE_BLOCKS (1u << LIFE_PAGE_BITS)

/* A live block. */
struct life_block {
    uint64_t size_domain; /* size << 4 | domain << 1 | 1; 0: this ordinal does not live */
    uint64_t time_ns;     /* when it was allocated, since the start of the session      */
    uint64_t address;     /* 0 when addresses were not asked for                        */
    uint32_t node;
    uint32_t thread;
};

HS_ALWAYS_INLINE uint64_t life_block_size(const struct life_block *block)
{
    return block->size_domain >> 4;
}
HS_ALWAYS_INLINE unsigned life_block_domain(const struct life_block *block)
{
    return block->size_domain >> 1 & 7;
}

struct life_page {
    int32_t live;
    int32_t compact_at; /* what to do at this number of live blocks: shrink the page; -1: never */
    uint32_t count;     /* of blocks; LIFE_PAGE_BLOCKS: dense, no keys                           */
    uint16_t *keys;     /* sparse: the ordinals' low bits, ascending                             */
    struct life_block blocks[];
};

struct life_leaf {
    uint32_t used;
    struct life_page *pages[1u << LIFE_LEAF_BITS];
};

struct domain_totals {
    uint64_t allocations, frees;
    uint64_t allocated_bytes;
    uint64_t live_bytes, live_blocks;
};

/* All counters together, so that a state can be kept by assignment. */
struct life_totals {
    struct domain_totals domains[HSK_DOMAINS]; /* of inherited blocks the frees alone */
    uint64_t allocations, frees;               /* of all domains, inherited and unknown blocks included */
    uint64_t unknown_frees;                    /* of blocks whose allocation nobody saw                 */
    uint64_t lost_frees;                       /* of blocks whose allocation is not in the file         */
    uint64_t allocated_bytes;
    uint64_t live_bytes, live_blocks;
    uint64_t temporary;                                   /* see docs/TRACE_FORMAT.md, "Temporary allocations" */
    uint64_t inherited_blocks, inherited_bytes;           /* at the start */
    uint64_t inherited_live_blocks, inherited_live_bytes; /* now          */
    uint64_t time_ns;                                     /* of the last event */
};

struct lifetimes {
    struct life_totals now;
    uint64_t peak_bytes, peak_time_ns;
    uint64_t peak_event;        /* number of events up to and with the one that made the peak */
    struct histogram sizes;     /* of all allocations; weights are bytes                    */
    struct histogram lifetimes; /* nanoseconds from allocation to free; weights are bytes   */
    uint64_t inherited_end;     /* ordinals below are inherited */

    struct site_history *history; /* NULL, or counts live blocks by node; belongs to who set it, before the replay */
    /* private */
    uint64_t last_allocation; /* ordinal, when the thread's last event was an allocation; else NO_ORDINAL */
    uint32_t thread;
    uint32_t thread_capacity;
    uint64_t *thread_last; /* last_allocation of the other threads */
    uint64_t open_page;    /* ordinal >> LIFE_PAGE_BITS of the page that is being filled */
    struct life_page *open;
    struct life_leaf *root[1u << LIFE_ROOT_BITS];
    struct life_page *spare[16]; /* dense pages, all zero */
    unsigned spare_count;
    bool failed; /* out of memory */
};

#define LIFE_NO_ORDINAL UINT64_MAX
#define LIFE_MAX_SIZE ((UINT64_C(1) << 48) - 1) /* a larger size is damage and counts as this */

/* A new one, NULL when memory runs out. */
struct lifetimes *lifetimes_new(void);
void lifetimes_free(struct lifetimes *lifetimes);

/* Adds the blocks of an INHERITED chunk; false when it is damaged or memory runs out. */
bool lifetimes_inherit(struct lifetimes *lifetimes, const uint8_t *raw, size_t length);

/* The live block of an ordinal, NULL when it does not live. Valid until the next event. */
const struct life_block *lifetimes_find(const struct lifetimes *lifetimes, uint64_t ordinal);

/* All live blocks in the order of their ordinals, inherited and arenas included. */
typedef void life_visit(void *context, uint64_t ordinal, const struct life_block *block);
void lifetimes_visit(const struct lifetimes *lifetimes, life_visit *visit, void *context);
/* The same from that ordinal on. */
void lifetimes_visit_from(const struct lifetimes *lifetimes, uint64_t first, life_visit *visit, void *context);

struct life_replay {
    uint64_t until_ns;    /* the last time whose events count; UINT64_MAX: all        */
    uint64_t until_event; /* number of events after which to stop; UINT64_MAX: all */
    bool addresses;       /* keep the blocks' addresses                               */
    /* May be NULL: called at each HSK_MARK_FINALIZE, before what the interpreter then frees. */
    void (*finalize)(void *context, const struct lifetimes *lifetimes);
    /* May be NULL: called with every event, before it counts. */
    void (*each)(void *context, const struct lifetimes *lifetimes, const struct event *event);
    void *context;
};

/*
 * Runs the trace's events through `lifetimes`. Damaged chunks are left out; the reader knows them then.
 * 0 or -ENOMEM.
 */
int lifetimes_replay(struct lifetimes *lifetimes, struct trace_reader *reader, const struct life_replay *replay,
                     struct error *error);

/* Not for callers: the slow cases of the functions below. */
bool lifetimes_open_page(struct lifetimes *lifetimes, uint64_t ordinal);
void lifetimes_shrink_page(struct lifetimes *lifetimes, uint64_t ordinal);
void lifetimes_switch_thread(struct lifetimes *lifetimes, uint32_t thread);
struct life_block *lifetimes_find_sparse(struct life_page *page, uint64_t ordinal);

HS_ALWAYS_INLINE struct life_page *lifetimes_page(const struct lifetimes *lifetimes, uint64_t ordinal)
{
    if (HS_UNLIKELY(ordinal > HSK_MAX_ORDINAL))
        return NULL;
    struct life_leaf *leaf = lifetimes->root[ordinal >> (LIFE_PAGE_BITS + LIFE_LEAF_BITS)];
    return leaf ? leaf->pages[ordinal >> LIFE_PAGE_BITS & ((1u << LIFE_LEAF_BITS) - 1)] : NULL;
}

/* The size that an allocation counts with. */
HS_ALWAYS_INLINE uint64_t life_event_size(const struct event *event)
{
    return event->size <= LIFE_MAX_SIZE ? event->size : LIFE_MAX_SIZE;
}

HS_ALWAYS_INLINE void lifetimes_alloc(struct lifetimes *l, const struct event *event)
{
    if (HS_UNLIKELY(event->thread != l->thread))
        lifetimes_switch_thread(l, event->thread);
    if (HS_UNLIKELY(event->ordinal >> LIFE_PAGE_BITS != l->open_page) && !lifetimes_open_page(l, event->ordinal))
        return;
    uint64_t size = life_event_size(event);
    struct life_block *block = &l->open->blocks[event->ordinal & (LIFE_PAGE_BLOCKS - 1)];
    if (HS_UNLIKELY(block->size_domain != 0 || event->ordinal < l->inherited_end))
        return; /* an ordinal that came twice: damage */
    *block = (struct life_block){.size_domain = size << 4 | event->domain << 1 | 1,
                                 .time_ns = event->time_ns,
                                 .address = event->address,
                                 .node = event->node,
                                 .thread = event->thread};
    l->open->live++;
    l->last_allocation = event->ordinal;
    struct domain_totals *domain = &l->now.domains[event->domain];
    l->now.allocations++;
    domain->allocations++;
    domain->allocated_bytes += size;
    domain->live_bytes += size;
    domain->live_blocks++;
    histogram_add(&l->sizes, size, size);
    if (HS_UNLIKELY(event->domain == HSK_DOMAIN_ARENA))
        return;
    if (HS_UNLIKELY(l->history != NULL))
        site_history_alloc(l->history, event->ordinal, event->node);
    l->now.allocated_bytes += size;
    l->now.live_blocks++;
    l->now.live_bytes += size;
    if (l->now.live_bytes > l->peak_bytes) {
        l->peak_bytes = l->now.live_bytes;
        l->peak_time_ns = event->time_ns;
        l->peak_event = l->now.allocations + l->now.frees;
    }
}

HS_ALWAYS_INLINE void lifetimes_end_block(struct lifetimes *l, const struct event *event)
{
    if (HS_UNLIKELY(event->thread != l->thread))
        lifetimes_switch_thread(l, event->thread);
    l->now.frees++;
    uint64_t ordinal = event->ordinal;
    struct life_page *page = lifetimes_page(l, ordinal);
    struct life_block *block = NULL;
    if (HS_LIKELY(page != NULL))
        block = HS_LIKELY(!page->keys) ? &page->blocks[ordinal & (LIFE_PAGE_BLOCKS - 1)]
                                       : lifetimes_find_sparse(page, ordinal);
    if (HS_UNLIKELY(!block || block->size_domain == 0)) {
        l->now.lost_frees++;
        l->last_allocation = LIFE_NO_ORDINAL;
        return;
    }
    l->now.temporary += ordinal == l->last_allocation;
    l->last_allocation = LIFE_NO_ORDINAL;
    uint64_t size = life_block_size(block);
    unsigned domain_index = life_block_domain(block);
    uint32_t node = block->node;
    histogram_add(&l->lifetimes, event->time_ns - block->time_ns, size);
    block->size_domain = 0;
    if (HS_UNLIKELY(--page->live <= page->compact_at))
        lifetimes_shrink_page(l, ordinal);
    struct domain_totals *domain = &l->now.domains[domain_index];
    domain->frees++;
    if (HS_UNLIKELY(ordinal < l->inherited_end)) {
        l->now.inherited_live_blocks--;
        l->now.inherited_live_bytes -= size;
        return;
    }
    domain->live_bytes -= size;
    domain->live_blocks--;
    if (HS_UNLIKELY(domain_index == HSK_DOMAIN_ARENA))
        return;
    if (HS_UNLIKELY(l->history != NULL))
        site_history_end_block(l->history, node);
    l->now.live_bytes -= size;
    l->now.live_blocks--;
}

/* Any event; what is no allocation and no free only moves the time. */
HS_ALWAYS_INLINE void lifetimes_event(struct lifetimes *l, const struct event *event)
{
    if (event->kind == HSK_OP_ALLOC) {
        lifetimes_alloc(l, event);
    } else if (event->kind == HSK_OP_FREE) {
        lifetimes_end_block(l, event);
    } else if (event->kind == HSK_OP_FREE_UNKNOWN) {
        if (event->thread != l->thread)
            lifetimes_switch_thread(l, event->thread);
        l->last_allocation = LIFE_NO_ORDINAL;
        l->now.frees++;
        l->now.unknown_frees++;
        l->now.domains[event->domain].frees++;
    }
}

#endif
