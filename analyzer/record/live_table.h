/*
 * live_table.h - the blocks that live now, by address: which allocation does this free end?
 *
 * Open addressing with linear probing and backward-shift deletion, at most 3/4
 * full (up to 8 MiB, half full). An entry is 16 bytes, so each of many live
 * blocks costs 22 to 64 bytes, the moment of growing included:
 *
 *        63                 19 18     3 2     0      63        24 23     0
 *   w0   [ address >> 3, 45   ][size,16][domain]  w1 [ ordinal, 40 ][node, 24]
 *
 * What does not fit there lies in a side table of whole entries: the size of a
 * block of LIVE_BIG_SIZE bytes or more, blocks at addresses that are no multiple
 * of 8, and arenas, which may begin where a block of another domain does.
 * HS_DOMAIN_MMAP is not kept here: see mapped_ranges.h.
 *
 * Addresses are below 2^48 and not 0, ordinals below 2^40, nodes below 2^24.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_LIVE_TABLE_H
#define HEAPSAKE_RECORD_LIVE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/compiler.h"
#include "internal/event.h"

#define LIVE_BIG_SIZE 0xffffu

struct live_block {
    uint64_t address;
    uint64_t size;
    uint64_t ordinal;
    uint32_t node;
    uint32_t domain; /* enum hs_domain */
};

struct live_entry {
    uint64_t w0, w1; /* w0 == 0: free */
};

struct live_table {
    struct live_entry *entries;
    uint64_t mask;
    unsigned shift;          /* of the hash: 64 - log2(entries)  */
    size_t used, limit;      /* entries taken; grow beyond       */
    struct live_block *side; /* address 0: free; see side_key in live_table.c */
    size_t side_mask, side_used;
};

/* 0 or -ENOMEM. */
int live_table_init(struct live_table *table);
void live_table_destroy(struct live_table *table);

/* A copy of `from` in `table`, which is not initialized before. 0 or -ENOMEM (then `table` is destroyed). */
int live_table_copy(struct live_table *table, const struct live_table *from);

/* Calls `visit` for each block, in no particular order. The table must not change meanwhile. */
typedef void live_visit(void *context, const struct live_block *block);
void live_table_visit(const struct live_table *table, live_visit *visit, void *context);

/* Gives the blocks new ordinals: first, first + 1 ... in the order in which live_table_visit() comes to them. */
void live_table_renumber(struct live_table *table, uint64_t first);

/* What became of a block that was to be added. */
enum live_put {
    LIVE_PUT = 0,
    LIVE_PUT_TAKEN = 1, /* a block is there already: nothing has changed; take it first */
    LIVE_PUT_NO_MEMORY = 2,
};

/* Not for callers: what the inline functions leave to live_table.c. */
bool live_table_grow(struct live_table *table);
enum live_put live_side_put(struct live_table *table, const struct live_block *block);
bool live_side_take(struct live_table *table, uint64_t address, bool arena, struct live_block *block);
uint64_t live_side_take_size(struct live_table *table, uint64_t address);

HS_ALWAYS_INLINE uint64_t live_slot_of(const struct live_table *table, uint64_t address)
{
    return (address * UINT64_C(0x9e3779b97f4a7c15)) >> table->shift;
}

/* Hints that `address` will be looked up soon. */
HS_ALWAYS_INLINE void live_table_prefetch(const struct live_table *table, uint64_t address)
{
    __builtin_prefetch(&table->entries[live_slot_of(table, address)], 1);
}

HS_ALWAYS_INLINE bool live_is_aside(uint64_t address, unsigned domain)
{
    return (address & 7) != 0 || domain == HS_DOMAIN_ARENA;
}

HS_ALWAYS_INLINE uint64_t live_entry_address(struct live_entry entry)
{
    return entry.w0 >> 19 << 3;
}

/*
 * Takes the block at `address` out of the table; `arena`: of HS_DOMAIN_ARENA, any other domain else. False: there is
 * none.
 */
HS_ALWAYS_INLINE bool live_table_take(struct live_table *table, uint64_t address, bool arena, struct live_block *block)
{
    if (HS_UNLIKELY((address & 7) != 0 || arena))
        return live_side_take(table, address, arena, block);
    struct live_entry *entries = table->entries;
    uint64_t mask = table->mask, at = live_slot_of(table, address);
    for (;; at = (at + 1) & mask) {
        uint64_t w0 = entries[at].w0;
        if (HS_UNLIKELY(w0 == 0))
            return false;
        if (HS_LIKELY((w0 ^ address << 16) >> 19 == 0))
            break;
    }
    struct live_entry entry = entries[at];
    /* Entries behind it that would no longer be found move up. */
    for (uint64_t next = (at + 1) & mask;; next = (next + 1) & mask) {
        struct live_entry moved = entries[next];
        if (moved.w0 == 0)
            break;
        uint64_t home = live_slot_of(table, live_entry_address(moved));
        if (((next - home) & mask) >= ((next - at) & mask)) {
            entries[at] = moved;
            at = next;
        }
    }
    entries[at].w0 = 0;
    table->used--;
    block->address = address;
    block->size = entry.w0 >> 3 & 0xffff;
    block->domain = (uint32_t)(entry.w0 & 7);
    block->ordinal = entry.w1 >> 24;
    block->node = (uint32_t)(entry.w1 & HS_NODE_MAX);
    if (HS_UNLIKELY(block->size == LIVE_BIG_SIZE))
        block->size = live_side_take_size(table, address);
    return true;
}

/* The ordinal of the block at a multiple of 8 that is no arena; false: there is none. The block stays. */
HS_ALWAYS_INLINE bool live_table_find(const struct live_table *table, uint64_t address, uint64_t *ordinal)
{
    const struct live_entry *entries = table->entries;
    if (HS_UNLIKELY((address & 7) != 0))
        return false;
    for (uint64_t at = live_slot_of(table, address), w0; (w0 = entries[at].w0) != 0; at = (at + 1) & table->mask) {
        if (HS_LIKELY((w0 ^ address << 16) >> 19 == 0)) {
            *ordinal = entries[at].w1 >> 24;
            return true;
        }
    }
    return false;
}

/* Adds a block. */
HS_ALWAYS_INLINE enum live_put live_table_put(struct live_table *table, const struct live_block *block)
{
    uint64_t size = block->size;
    if (HS_UNLIKELY(live_is_aside(block->address, block->domain)))
        return live_side_put(table, block);
    if (HS_UNLIKELY(table->used >= table->limit) && !live_table_grow(table))
        return LIVE_PUT_NO_MEMORY;
    struct live_entry *entries = table->entries;
    uint64_t mask = table->mask, at = live_slot_of(table, block->address);
    for (uint64_t w0; (w0 = entries[at].w0) != 0; at = (at + 1) & mask)
        if (HS_UNLIKELY((w0 ^ block->address << 16) >> 19 == 0))
            return LIVE_PUT_TAKEN;
    if (HS_UNLIKELY(size >= LIVE_BIG_SIZE)) {
        if (live_side_put(table, block) != LIVE_PUT)
            return LIVE_PUT_NO_MEMORY;
        size = LIVE_BIG_SIZE;
    }
    entries[at].w0 = block->address << 16 | size << 3 | block->domain;
    entries[at].w1 = block->ordinal << 24 | block->node;
    table->used++;
    return LIVE_PUT;
}

#endif
