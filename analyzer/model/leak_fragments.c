/*
 * leak_fragments.c - memory that was freed but cannot be given back, because few blocks that live are spread over it.
 *
 * In two places: arenas of pymalloc (the trace has them as blocks of their own), and the heap that libc grows by brk,
 * where free memory below a live block stays. Free memory is put down to the blocks beside it: in an arena to all that
 * live in it alike, in the heap to the block that follows the hole. Mappings of single large blocks are given back and
 * do not count.
 */
#include "base/grow.h"
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Addresses below are the executable's, and the heap behind it; the loader maps the rest above. */
#define HEAP_END UINT64_C(0x700000000000)
#define HOLE_MAX (UINT64_C(1) << 30) /* a larger one is between two regions */

struct survivor {
    uint64_t address, size, waste;
    uint32_t stack;
    bool startup;
};

struct arena {
    uint64_t address, size, used, count;
};

struct finder {
    const struct evidence *evidence;
    struct survivor *blocks;
    size_t count, capacity;
    struct arena *arenas;
    size_t arena_count, arena_capacity;
    bool failed;
};

static void collect(void *context, uint64_t ordinal, const struct life_block *block)
{
    struct finder *finder = context;
    const struct evidence *evidence = finder->evidence;
    unsigned domain = life_block_domain(block);
    if (domain == HSK_DOMAIN_MMAP || finder->failed)
        return;
    if (domain == HSK_DOMAIN_ARENA) {
        if (grow((void **)&finder->arenas, finder->arena_count, &finder->arena_capacity, sizeof *finder->arenas))
            finder->arenas[finder->arena_count++] =
                (struct arena){.address = block->address, .size = life_block_size(block)};
        else
            finder->failed = true;
        return;
    }
    if (!grow((void **)&finder->blocks, finder->count, &finder->capacity, sizeof *finder->blocks)) {
        finder->failed = true;
        return;
    }
    uint32_t stack = stacks_of_node(evidence->stacks, block->node);
    finder->blocks[finder->count++] =
        (struct survivor){.address = block->address,
                          .size = life_block_size(block),
                          .stack = stack,
                          .startup = ordinal < evidence->begin_ordinal || evidence->stack_signs[stack] & STACK_IMPORTS};
}

static int survivor_by_address(const void *left, const void *right)
{
    const struct survivor *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static int arena_by_address(const void *left, const void *right)
{
    const struct arena *a = left, *b = right;
    return a->address < b->address ? -1 : a->address > b->address;
}

static struct arena *arena_of(const struct finder *finder, uint64_t address)
{
    size_t low = 0, high = finder->arena_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (finder->arenas[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    struct arena *arena = low > 0 ? &finder->arenas[low - 1] : NULL;
    return arena && address - arena->address < arena->size ? arena : NULL;
}

struct place {
    const char *name, *text;
    uint64_t kept, waste;
};

/* Puts the free part of sparsely used arenas down to those that live there. */
static struct place waste_in_arenas(struct finder *finder)
{
    struct place place = {.name = "arenas", .text = "arenas of Python's allocator"};
    for (size_t i = 0; i < finder->count; i++) {
        struct arena *arena = arena_of(finder, finder->blocks[i].address);
        finder->blocks[i].waste = 0;
        if (!arena)
            continue;
        arena->used += finder->blocks[i].size;
        arena->count++;
    }
    for (size_t i = 0; i < finder->arena_count; i++) {
        const struct arena *arena = &finder->arenas[i];
        place.kept += arena->size;
        if (arena->count > 0 && (double)arena->used < FRAGMENT_POOL_FULL * (double)arena->size)
            place.waste += arena->size - arena->used;
    }
    for (size_t i = 0; i < finder->count; i++) {
        const struct arena *arena = arena_of(finder, finder->blocks[i].address);
        if (arena && (double)arena->used < FRAGMENT_POOL_FULL * (double)arena->size)
            finder->blocks[i].waste = (arena->size - arena->used) / arena->count;
    }
    return place;
}

/* Holes between neighbours of the heap, put down to the upper one. */
static struct place waste_in_heap(struct finder *finder)
{
    struct place place = {.name = "heap", .text = "the heap of malloc"};
    const struct survivor *last = NULL;
    for (size_t i = 0; i < finder->count; i++) {
        struct survivor *block = &finder->blocks[i];
        block->waste = 0;
        if (block->address >= HEAP_END || arena_of(finder, block->address))
            continue;
        uint64_t end = last ? last->address + last->size : block->address;
        uint64_t hole = block->address > end ? block->address - end : 0;
        if (hole <= HOLE_MAX)
            place.kept += block->size + hole;
        if (hole >= FRAGMENT_HOLE_BYTES && hole <= HOLE_MAX) {
            block->waste = hole;
            place.waste += hole;
        }
        last = block;
    }
    return place;
}

struct guilty {
    uint32_t stack;
    uint64_t count, bytes, waste, startup;
};

/* The site on which most of the waste hangs. */
static bool find_guilty(const struct finder *finder, struct guilty *guilty)
{
    struct groups groups = GROUPS_INIT;
    for (size_t i = 0; i < finder->count; i++)
        if (finder->blocks[i].waste > 0)
            groups_add(&groups, finder->blocks[i].stack, (uint32_t)i);
    groups_sort(&groups);
    *guilty = (struct guilty){0};
    for (size_t from = 0, end; from < groups.count; from = end) {
        struct guilty one = {.stack = (uint32_t)groups.members[from].key};
        end = groups_end(&groups, from);
        for (size_t i = from; i < end; i++) {
            const struct survivor *block = &finder->blocks[groups.members[i].node];
            one.count++;
            one.bytes += block->size;
            one.waste += block->waste;
            one.startup += block->startup;
        }
        if (one.waste > guilty->waste)
            *guilty = one;
    }
    bool ok = !groups.failed;
    groups_free(&groups);
    return ok;
}

/* The type that most objects of the site have; 0: none are objects. Boyer and Moore's vote. */
static uint32_t type_of_site(const struct evidence *evidence, uint32_t stack)
{
    uint32_t type = 0;
    size_t votes = 0;
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        if (!evidence_is_object(evidence, node) || evidence->stack[node] != stack)
            continue;
        uint32_t own = evidence->graph->nodes[node].type;
        if (votes == 0)
            type = own;
        votes = own == type ? votes + 1 : votes - 1;
    }
    return type;
}

static bool report(struct leaks *leaks, const struct finder *finder, const struct place *place)
{
    const struct evidence *evidence = finder->evidence;
    struct guilty guilty;
    if (place->waste < FRAGMENT_BYTES || (double)place->waste < FRAGMENT_SHARE * (double)place->kept)
        return true;
    if (!find_guilty(finder, &guilty))
        return false;
    struct leak *leak = leaks_add(leaks, LEAK_FRAGMENTATION);
    if (!leak)
        return false;
    char type[256];
    bool native, named = (double)guilty.waste >= FRAGMENT_NAMED_SHARE * (double)place->waste;
    uint32_t number = type_of_site(evidence, guilty.stack);
    if (number != 0)
        leak->type = strdup(ref_type_name(evidence->graph, number, type, sizeof type));
    leak->count = guilty.count;
    leak->bytes = guilty.bytes;
    leak->retained_bytes = place->waste;
    leak->has_retained = true;
    leak_set_stack(leak, evidence, guilty.stack, number);
    leak->culprit = evidence_culprit(evidence, guilty.stack, &native);
    leak->confidence = named && guilty.startup * 2 < guilty.count ? FRAGMENT_CONFIDENCE : FRAGMENT_CONFIDENCE_DISPERSED;
    leak_fact_text(leak, "place", place->name);
    leak_fact_count(leak, "kept_bytes", place->kept);
    leak_fact_count(leak, "free_bytes", place->waste);
    leak_fact_count(leak, "free_beside_survivors", guilty.waste);
    leak_fact_number(leak, "used_share", place->kept ? 1 - (double)place->waste / (double)place->kept : 1);
    leak_explain(
        leak,
        "%.1f MiB of %s are free but cannot be given back to the system: blocks that live are spread over it. The "
        "%" PRIu64 " from this site, %" PRIu64 " bytes together, keep %.0f %% of that. Allocate what lives long "
        "before or apart from what is large and short-lived",
        (double)place->waste / (1 << 20), place->text, guilty.count, guilty.bytes,
        100.0 * (double)guilty.waste / (double)place->waste);
    leaks_claim(leaks, guilty.stack, guilty.count, guilty.bytes);
    return true;
}

/* Those of the heap to the front, in the order of their addresses, which tells its holes; of the others it tells
 * nothing. */
static void sort_heap(struct finder *finder)
{
    size_t heap_count = 0;
    for (size_t i = 0; i < finder->count; i++) {
        struct survivor block = finder->blocks[i];
        if (block.address >= HEAP_END)
            continue;
        finder->blocks[i] = finder->blocks[heap_count];
        finder->blocks[heap_count++] = block;
    }
    if (heap_count > 1)
        qsort(finder->blocks, heap_count, sizeof *finder->blocks, survivor_by_address);
}

int leaks_find_fragments(struct leaks *leaks, struct evidence *evidence)
{
    struct finder finder = {.evidence = evidence};
    lifetimes_visit(evidence->lifetimes, collect, &finder);
    sort_heap(&finder);
    if (finder.arena_count > 1)
        qsort(finder.arenas, finder.arena_count, sizeof *finder.arenas, arena_by_address);
    bool ok = !finder.failed;
    if (ok) {
        struct place arenas = waste_in_arenas(&finder);
        ok = report(leaks, &finder, &arenas);
    }
    if (ok) {
        struct place heap = waste_in_heap(&finder);
        ok = report(leaks, &finder, &heap);
    }
    free(finder.blocks);
    free(finder.arenas);
    return ok ? 0 : -ENOMEM;
}
