/*
 * sites.h - blocks added up by where they were allocated.
 *
 * A site is a whole stack (stacks.h). Blocks are added by the node of their
 * stack, which is one array access each; sites_finish() resolves and merges the
 * nodes. Memory grows with nodes and sites, not with blocks. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_SITES_H
#define HEAPSAKE_MODEL_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map64.h"
#include "model/lifetimes.h"
#include "model/stacks.h"

struct site {
    uint32_t stack;   /* 0: no stack was recorded */
    uint32_t domains; /* bit set: 1 << enum hsk_domain */
    uint64_t count, bytes;
    uint64_t first_ns, last_ns; /* when the oldest and the newest of the blocks were allocated */
};

struct sites {
    struct site *sites; /* by node while blocks are added, with the node in `stack`; then by stack, largest first */
    size_t count, capacity;
    struct map64 index;
    bool failed; /* out of memory */
};

#define SITES_INIT ((struct sites){0})

void sites_free(struct sites *sites);

/* Forgets all blocks, for a new start. */
void sites_clear(struct sites *sites);

/* Adds all live blocks, without arenas and inherited blocks, which other totals leave out too. */
void sites_add_live(struct sites *sites, const struct lifetimes *lifetimes);

/* One block alone, by its node, as sites_add() takes it. */
HS_ALWAYS_INLINE struct site site_of_block(const struct life_block *block)
{
    return (struct site){.stack = block->node,
                         .count = 1,
                         .bytes = life_block_size(block),
                         .domains = 1u << life_block_domain(block),
                         .first_ns = block->time_ns,
                         .last_ns = block->time_ns};
}

HS_ALWAYS_INLINE struct site site_of_allocation(const struct event *event)
{
    return (struct site){.stack = event->node,
                         .count = 1,
                         .bytes = life_event_size(event),
                         .domains = 1u << event->domain,
                         .first_ns = event->time_ns,
                         .last_ns = event->time_ns};
}

/* Adds what `one` says, of the node in its `stack`. */
void sites_add(struct sites *sites, const struct site *one);

/* Merges by stack and sorts: most bytes first, then most blocks. No more blocks can be added. */
void sites_finish(struct sites *sites, struct stacks *stacks);

/* Of finished sites: what is at stack s goes to stacks[s]. Merges and sorts again. */
void sites_move(struct sites *sites, const uint32_t *stacks);

#endif
