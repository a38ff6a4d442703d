/* scan.c - see scan.h; scan_roots() is in roots.c */
#include "scan.h"

#include "child.h"
#include "graph.h"
#include "growing.h"
#include "nodes.h"
#include "present.h"

#define OBJECT_HEAD_BYTES 16 /* ob_refcnt and ob_type, which are no references of the object's own */

/* Owned blocks whose words are still to be read. */
struct pending {
    uint32_t block;
    uint64_t offset; /* of the object's word that led there */
};

static uint8_t *owned; /* by block index */
#define OWNED_TOLD 2   /* ... and its words are not to be read: its owner has told them, or it is dead */
static struct growing stack;
static uint32_t stack_depth;

static bool prepare(void)
{
    if (!owned)
        owned = arena_map(nodes_block_count() + 1);
    return owned;
}

struct target {
    uint32_t node, block; /* block: BLOCK_NONE when it lies in none */
    bool start, object;
};

/* What a word refers to; false: nothing. Blocks that no node had get one. */
HS_ALWAYS_INLINE bool resolve(uintptr_t word, uint32_t own, struct target *target)
{
    uint32_t block = nodes_find_block(word);
    if (block == BLOCK_NONE) {
        uint32_t node = word & 7 ? NODE_NONE : nodes_known_object(word);
        *target = (struct target){node, BLOCK_NONE, true, true};
        return node != NODE_NONE;
    }
    if (block == own)
        return false;
    uintptr_t object = nodes_object_in_block(block);
    uintptr_t begin = nodes_block(block).start;
    *target = (struct target){nodes_of_block(block), block, word == begin || (object && word == object), object != 0};
    if (object && !target->start) {
        uint32_t embedded = nodes_known_object(word);
        if (embedded != NODE_NONE) {
            target->node = embedded;
            target->start = true;
        }
    }
    return target->node != NODE_NONE;
}

/* ---- objects ---- */

static void push(uint32_t block, uint64_t offset)
{
    if (!growing_room(&stack, (stack_depth + 1) * sizeof(struct pending)))
        return;
    ((struct pending *)stack.memory)[stack_depth++] = (struct pending){block, offset};
}

static void hidden_word(uintptr_t word, uint64_t offset, uint32_t own)
{
    struct target target;
    if (!resolve(word, own, &target) || nodes_stamped_interior(target.node))
        return;
    if (target.object || owned[target.block]) {
        graph_edge(HSK_EDGE_HIDDEN, offset, target.node);
        return;
    }
    owned[target.block] = 1;
    graph_edge(HSK_EDGE_OWNS, offset, target.node);
    push(target.block, offset);
}

static void hidden_words(uintptr_t from, uintptr_t to, uint32_t own, uint64_t offset)
{
    uintptr_t run = (from + 7) & ~(uintptr_t)7, end;
    while ((end = present_run(&run, to)) != 0) {
        for (; run + 8 <= end; run += 8) {
            uintptr_t word = *(const volatile uintptr_t *)run;
            if (nodes_maybe(word))
                hidden_word(word, offset, own);
        }
        run = end;
    }
}

/* A block that cannot be read is left; the next one may be whole. */
static __attribute__((noinline)) void hidden_block(const struct pending *owned_block)
{
    struct nodes_block block = nodes_block(owned_block->block);
    struct child_guard guard;
    if (CHILD_GUARDED(&guard)) {
        hidden_words(block.start, block.start + block.size, owned_block->block, owned_block->offset);
        child_guard_end(&guard);
    }
}

static __attribute__((noinline)) void hidden_own_words(uintptr_t from, uintptr_t first, uintptr_t to)
{
    uint32_t own = nodes_find_block(from);
    struct child_guard guard;
    if (!CHILD_GUARDED(&guard))
        return;
    for (uintptr_t at = (first + 7) & ~(uintptr_t)7; at + 8 <= to; at += 8) {
        uintptr_t word = *(const volatile uintptr_t *)at;
        if (nodes_maybe(word))
            hidden_word(word, at - from, own);
    }
    child_guard_end(&guard);
}

void scan_object(uintptr_t from, uintptr_t to)
{
    if (!prepare() || graph_stopped())
        return;
    uint32_t self = nodes_known_object(graph_current_object());
    if (self != NODE_NONE)
        nodes_stamp(self); /* what points back to it is no news */
    stack_depth = 0;
    hidden_own_words(from, from == graph_current_object() ? from + OBJECT_HEAD_BYTES : from, to);
    while (stack_depth) {
        struct pending next = ((const struct pending *)stack.memory)[--stack_depth];
        hidden_block(&next);
    }
}

void scan_owned(uintptr_t address, uint64_t offset)
{
    uint32_t block = nodes_find_block(address);
    if (block == BLOCK_NONE || !prepare() || owned[block] || nodes_object_in_block(block))
        return;
    owned[block] = OWNED_TOLD;
    graph_edge(HSK_EDGE_OWNS, offset, nodes_of_block(block));
}

bool scan_is_owned(uint32_t block)
{
    return owned && owned[block];
}

void scan_stale(uint32_t block)
{
    if (prepare())
        owned[block] = OWNED_TOLD;
}

void scan_exempt(uintptr_t address)
{
    uint32_t block = nodes_find_block(address);
    if (block != BLOCK_NONE && prepare())
        owned[block] = 1;
}

/* ---- blocks ---- */

static bool starts_only;

HS_ALWAYS_INLINE void pointer_word(uintptr_t word, uint64_t offset, uint32_t own)
{
    struct target target;
    if (!resolve(word, own, &target))
        return;
    if (target.start) {
        if (!nodes_stamped(target.node))
            graph_edge(HSK_EDGE_POINTER, offset, target.node);
    } else if (!starts_only && !nodes_stamped_interior(target.node)) {
        graph_edge(HSK_EDGE_INTERIOR, offset, target.node);
    }
}

void scan_words(uintptr_t from, uintptr_t to, uint64_t offset, uint32_t own)
{
    struct child_guard guard;
    if (!CHILD_GUARDED(&guard))
        return;
    uintptr_t run = (from + 7) & ~(uintptr_t)7, end;
    while ((end = present_run(&run, to)) != 0) {
        for (; run + 8 <= end; run += 8) {
            uintptr_t word = *(const volatile uintptr_t *)run;
            if (nodes_maybe(word))
                pointer_word(word, offset + (run - from), own);
        }
        run = end;
    }
    child_guard_end(&guard);
}

void scan_starts(uintptr_t from, uintptr_t to)
{
    starts_only = true;
    scan_words(from, to, 0, BLOCK_NONE);
    starts_only = false;
}

void scan_blocks(void)
{
    uint32_t count = nodes_block_count();
    for (uint32_t i = 0; i < count && !graph_stopped(); i++) {
        if (nodes_object_in_block(i))
            continue;
        struct nodes_block block = nodes_block(i);
        graph_block_begin(nodes_of_block(i), i);
        if (!owned || owned[i] != OWNED_TOLD)
            scan_words(block.start, block.start + block.size, 0, i);
        graph_end();
    }
}
