/*
 * stack_table.c - see stack_table.h
 *
 * The index is an open-addressing table of 4-byte entries: 8 bits of the hash
 * above the 24 of the node's number; 0 is empty. It is at most 13/16 full, so that index and
 * node together take 21 to 26 bytes, and 31 while the index grows. The thread that finds it fuller makes one of twice
 * the size, copies what it sees, and publishes it. The old table's pages are given back but stay mapped: a thread that
 * still looks into it finds zeroes, adds a node of its own, and that node exists twice.
 */
#include "stack_table.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "arena.h"
#include "session.h"
#include "sys.h"

#define FIRST_ENTRIES 4096u
#define GROW_AT(index) ((index)->mask / 16 * 13)
#define FULL_AT(index) ((index)->mask / 16 * 15) /* what may be filled while another thread makes the larger one */
#define GROWING_NS UINT64_C(2000000)             /* one wait for the thread that makes a larger index ... */
#define GROWING_WAITS 50u                        /* ... and how many of them */

_Static_assert(HS_NODE_BITS == 24, "an entry has 8 bits for the hash");

struct index {
    struct index *older; /* the one that this one has replaced */
    uint32_t mask;
    _Atomic uint32_t filled;
    _Atomic uint32_t entries[];
};

static _Atomic(struct index *) current_index;
static _Atomic uint32_t growing;
static _Atomic uint32_t mapping;

static size_t index_bytes(uint32_t entries)
{
    return sizeof(struct index) + (size_t)entries * sizeof(uint32_t);
}

HS_ALWAYS_INLINE uint64_t hash_of(uint32_t parent, enum hs_node_kind kind, uint64_t frame)
{
    uint64_t hash = (frame ^ (uint64_t)kind << 62) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    hash = (hash + parent) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static struct hs_node *node_at(uint32_t number)
{
    return session.node_segments[number / HS_NODES_PER_SEGMENT] + number % HS_NODES_PER_SEGMENT;
}

static struct index *make_index(uint32_t entries)
{
    struct index *index = arena_map(index_bytes(entries));
    if (index)
        index->mask = entries - 1;
    return index;
}

/* Entries of `old` that `fresh` does not have yet; others may be adding to both. */
static void copy_entries(struct index *old, uint32_t old_entries, struct index *fresh)
{
    for (uint32_t i = 0; i < old_entries; i++) {
        uint32_t entry = atomic_load_explicit(&old->entries[i], memory_order_acquire);
        if (!entry)
            continue;
        struct hs_node *node = node_at(entry & HS_NODE_MAX);
        uint32_t at =
            (uint32_t)hash_of(node->parent, atomic_load_explicit(&node->kind, memory_order_relaxed), node->frame);
        for (;; at++) {
            uint32_t there = 0;
            if (atomic_compare_exchange_strong_explicit(&fresh->entries[at & fresh->mask], &there, entry,
                                                        memory_order_acq_rel, memory_order_acquire)) {
                atomic_fetch_add_explicit(&fresh->filled, 1, memory_order_relaxed);
                break;
            }
            if (there == entry)
                break;
        }
    }
}

/* Returns the table to use from now on: the old one when somebody else is at it; NULL when memory is short. */
static struct index *grow(struct index *old)
{
    if (atomic_exchange_explicit(&growing, 1, memory_order_acquire)) {
        /* the very first one: a few microseconds, unless it cannot be made */
        while (!old && atomic_load_explicit(&growing, memory_order_acquire))
            old = atomic_load_explicit(&current_index, memory_order_acquire);
        return old ? old : atomic_load_explicit(&current_index, memory_order_acquire);
    }
    struct index *now = atomic_load_explicit(&current_index, memory_order_acquire);
    if (now != old) {
        atomic_store_explicit(&growing, 0, memory_order_release);
        return now;
    }
    uint32_t old_entries = old ? old->mask + 1 : 0;
    struct index *fresh = make_index(old ? old_entries * 2 : FIRST_ENTRIES);
    if (fresh) {
        fresh->older = old;
        copy_entries(old, old_entries, fresh);
        atomic_store_explicit(&current_index, fresh, memory_order_release);
        copy_entries(old, old_entries, fresh); /* what others have put into the old one meanwhile */
        if (old)
            /* not its first page: mask and filled stay readable */
            arena_discard((char *)old + HS_PAGE_SIZE,
                          index_bytes(old_entries) > HS_PAGE_SIZE ? index_bytes(old_entries) - HS_PAGE_SIZE : 0);
    }
    atomic_store_explicit(&growing, 0, memory_order_release);
    sys_futex_wake_all(&growing);
    return fresh;
}

/* A number and room for a new node; 0 when the session has none left. */
static uint32_t reserve_node(void)
{
    struct hs_session *shared = session.shared;
    if (atomic_load_explicit(&shared->node_count, memory_order_relaxed) > HS_NODE_MAX)
        return 0;
    /* A number without room stays unused: taking it back could take away another thread's. */
    uint32_t number = atomic_fetch_add_explicit(&shared->node_count, 1, memory_order_relaxed);
    return number <= HS_NODE_MAX && stack_table_room(number) ? number : 0;
}

bool stack_table_room(uint32_t number)
{
    uint32_t segment = number / HS_NODES_PER_SEGMENT;
    for (;;) {
        if (__atomic_load_n(&session.node_segments[segment], __ATOMIC_ACQUIRE))
            return true;
        if (atomic_exchange_explicit(&mapping, 1, memory_order_acquire))
            continue; /* another thread is mapping one: a few microseconds */
        bool room = true;
        if (!session.node_segments[segment]) {
            uint64_t offset;
            struct hs_node *nodes = session_carve(HS_NODES_PER_SEGMENT * sizeof(struct hs_node), &offset);
            if (nodes) {
                __atomic_store_n(&session.node_segments[segment], nodes, __ATOMIC_RELEASE);
                atomic_store_explicit(&session.shared->node_segments[segment], offset, memory_order_release);
                if (atomic_load(&session.shared->node_segment_count) <= segment)
                    atomic_store(&session.shared->node_segment_count, segment + 1);
            }
            room = nodes;
        }
        atomic_store_explicit(&mapping, 0, memory_order_release);
        if (!room)
            return false;
    }
}

/* A new node that no index knows yet; 0 when there is no room. */
static uint32_t add_node(uint32_t parent, enum hs_node_kind kind, uint64_t frame)
{
    uint32_t number = reserve_node();
    if (!number) {
        atomic_fetch_add_explicit(&session.shared->lost_nodes, 1, memory_order_relaxed);
        return 0;
    }
    struct hs_node *node = node_at(number);
    node->frame = frame;
    node->parent = parent;
    atomic_store_explicit(&node->kind, kind, memory_order_release);
    return number;
}

uint32_t stack_node(uint32_t parent, enum hs_node_kind kind, uint64_t frame)
{
    struct index *index = atomic_load_explicit(&current_index, memory_order_acquire);
    if (HS_UNLIKELY(!index || atomic_load_explicit(&index->filled, memory_order_relaxed) > GROW_AT(index))) {
        struct index *larger = grow(index);
        /*
         * While another thread makes the larger one, this one may fill up further. Then that thread gets some time to
         * finish, for a waiter has nothing better to do; and if it does not, a stack gets a twin.
         */
        for (unsigned waits = 0; larger && waits < GROWING_WAITS &&
                                 atomic_load_explicit(&larger->filled, memory_order_relaxed) > FULL_AT(larger);
             waits++) {
            sys_futex_wait(&growing, 1, GROWING_NS);
            larger = atomic_load_explicit(&current_index, memory_order_acquire);
        }
        if (larger && atomic_load_explicit(&larger->filled, memory_order_relaxed) > FULL_AT(larger))
            return add_node(parent, kind, frame);
        if (larger)
            index = larger;
        else if (!index || atomic_load_explicit(&index->filled, memory_order_relaxed) > FULL_AT(index)) {
            atomic_fetch_add_explicit(&session.shared->lost_nodes, 1, memory_order_relaxed);
            return 0;
        }
    }
    uint64_t hash = hash_of(parent, kind, frame);
    uint32_t tag = (uint32_t)(hash >> 56) << HS_NODE_BITS;
    uint32_t added = 0;
    for (uint32_t at = (uint32_t)hash & index->mask;; at = (at + 1) & index->mask) {
        uint32_t entry = atomic_load_explicit(&index->entries[at], memory_order_acquire);
        if (!entry) {
            if (!added && !(added = add_node(parent, kind, frame)))
                return 0;
            if (atomic_compare_exchange_strong_explicit(&index->entries[at], &entry, tag | added, memory_order_acq_rel,
                                                        memory_order_acquire)) {
                atomic_fetch_add_explicit(&index->filled, 1, memory_order_relaxed);
                return added;
            }
            /* somebody filled the entry meanwhile: it may be our stack, then ours exists twice */
        }
        if ((entry & ~HS_NODE_MAX) == tag) {
            struct hs_node *node = node_at(entry & HS_NODE_MAX);
            if (node->frame == frame && node->parent == parent &&
                atomic_load_explicit(&node->kind, memory_order_relaxed) == kind)
                return entry & HS_NODE_MAX;
        }
    }
}

void stack_table_forget(void)
{
    struct index *index = atomic_exchange(&current_index, NULL);
    while (index) {
        struct index *older = index->older;
        arena_unmap(index, index_bytes(index->mask + 1));
        index = older;
    }
    for (unsigned i = 0; i < HS_MAX_NODE_SEGMENTS; i++)
        session.node_segments[i] = NULL;
}

bool stack_table_copy(struct hs_node *const *parent_segments, uint32_t count)
{
    /* Nobody else runs in a child that has just been born; who held these locks does not exist here. */
    atomic_store(&growing, 0);
    atomic_store(&mapping, 0);
    for (uint32_t first = 0; first < count; first += HS_NODES_PER_SEGMENT) {
        const struct hs_node *from = parent_segments[first / HS_NODES_PER_SEGMENT];
        if (!from)
            break;
        if (!stack_table_room(first))
            return false;
        struct hs_node *to = node_at(first);
        uint32_t wanted = count - first < HS_NODES_PER_SEGMENT ? count - first : HS_NODES_PER_SEGMENT;
        for (uint32_t i = 0; i < wanted; i++) {
            to[i].frame = from[i].frame;
            to[i].parent = from[i].parent;
            atomic_store_explicit(&to[i].kind, atomic_load_explicit(&from[i].kind, memory_order_acquire),
                                  memory_order_relaxed);
        }
    }
    atomic_store_explicit(&session.shared->node_count, count, memory_order_release);
    return true;
}
