/* leaf.c - see leaf.h */
#include "leaf.h"

#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "../modules.h"
#include "../python/number_table.h"
#include "../stack_table.h"
#include "../unwind.h"
#include "modules_seen.h"

#define LEAF_ENTRIES 256u
#define TEXT_MAX 4096u

struct leaf {
    const void *where;    /* a line's file, or where a call returns to; NULL: empty */
    const char *function; /* NULL: a call                                           */
    uint32_t line;
    uint32_t parent;
    uint32_t node;
    uint32_t reserved;
};

struct leaf_cache {
    uint32_t generation; /* of the modules, when it was filled */
    struct leaf entries[LEAF_ENTRIES];
};

/* Numbers of lines, by a hash of what identifies them; void when a module is unloaded. */
static struct number_table places;
static _Atomic uint32_t places_generation;

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static size_t text_length(const char *text)
{
    return text ? strnlen(text, TEXT_MAX) : 0;
}

/* Tells the recorder what a place is; its module, too, so that modules_recheck() notices when that is unloaded. */
static void describe(struct thread *self, uint32_t number, const char *file, uint32_t line, const char *function)
{
    struct module_range module = {0};
    char path[MODULES_SEEN_PATH];
    if (modules_find((uintptr_t)file, &module))
        modules_announce(self, &module, atomic_load_explicit(&modules_generation, memory_order_acquire));
    struct hs_message_place body = {
        .place = number,
        .line = line,
        .file_length = (uint32_t)text_length(file),
        .function_length = (uint32_t)text_length(function),
        .module_length = (uint32_t)modules_seen_path(module.map, path),
    };
    struct emit_part parts[] = {
        {&body, sizeof body},
        {file, body.file_length},
        {function, body.function_length},
        {path, body.module_length},
    };
    emit_message(self, HS_MESSAGE_PLACE, parts, 4);
    modules_seen_told(self, module.map);
}

/* 0: there is no memory. */
static uint32_t place_number(struct thread *self, const char *file, uint32_t line, const char *function)
{
    uint64_t key = mix(mix(mix(0, (uintptr_t)file), (uintptr_t)function), line);
    number_value *entry = number_table_entry(&places, (const void *)(uintptr_t)(key ? key : 1));
    if (!entry)
        return 0;
    uint64_t value = atomic_load_explicit(entry, memory_order_acquire);
    if (value)
        return (uint32_t)value;
    uint32_t number = number_table_next(&places);
    describe(self, number, file, line, function);
    return atomic_compare_exchange_strong(entry, &value, number) ? number : (uint32_t)value;
}

static HS_COLD void forget_places(uint32_t generation)
{
    uint32_t then = atomic_load(&places_generation);
    if (then != generation && atomic_compare_exchange_strong(&places_generation, &then, generation))
        number_table_forget_all(&places);
}

/* The thread's cache, without anything that was remembered of modules that are gone; NULL: there is no memory. */
HS_ALWAYS_INLINE struct leaf_cache *cache_of(struct thread *self)
{
    if (HS_UNLIKELY(atomic_load_explicit(&modules_pending, memory_order_relaxed)))
        modules_recheck();
    uint32_t generation = atomic_load_explicit(&modules_generation, memory_order_acquire);
    struct leaf_cache *cache = self->leaves;
    if (HS_LIKELY(cache && cache->generation == generation))
        return cache;
    if (!cache)
        cache = self->leaves = arena_map(sizeof *cache);
    if (!cache)
        return NULL;
    forget_places(generation);
    memset(cache->entries, 0, sizeof cache->entries);
    cache->generation = generation;
    return cache;
}

HS_ALWAYS_INLINE struct leaf *entry_of(struct leaf_cache *cache, const void *where, uint32_t line, uint32_t parent)
{
    uint64_t hash = ((uintptr_t)where ^ (uint64_t)line << 40 ^ (uint64_t)parent << 20) * UINT64_C(0x9e3779b97f4a7c15);
    return &cache->entries[hash >> 56];
}
_Static_assert(LEAF_ENTRIES == 1u << (64 - 56), "entry_of() takes as many bits of the hash");

uint32_t leaf_of_line(struct thread *self, uint32_t parent, const char *file, uint32_t line, const char *function)
{
    struct leaf_cache *cache = cache_of(self);
    if (HS_UNLIKELY(!cache))
        return parent;
    struct leaf *leaf = entry_of(cache, file, line, parent);
    if (HS_LIKELY(leaf->where == file && leaf->function == function && leaf->line == line && leaf->parent == parent))
        return leaf->node;
    uint32_t place = place_number(self, file, line, function);
    uint32_t node = place ? stack_node(parent, HS_NODE_SOURCE, place) : 0;
    if (!node)
        return parent;
    *leaf = (struct leaf){.where = file, .function = function, .line = line, .parent = parent, .node = node};
    return node;
}

uint32_t leaf_of_call(struct thread *self, uint32_t parent, const void *pc)
{
    struct leaf_cache *cache = cache_of(self);
    if (HS_UNLIKELY(!cache))
        return parent;
    struct leaf *leaf = entry_of(cache, pc, 0, parent);
    if (HS_LIKELY(leaf->where == pc && !leaf->function && leaf->parent == parent))
        return leaf->node;
    uint32_t node = stack_node(parent, HS_NODE_NATIVE, unwind_frame(self, (uintptr_t)pc));
    if (!node)
        return parent;
    *leaf = (struct leaf){.where = pc, .parent = parent, .node = node};
    return node;
}

uint32_t leaf_without_native(uint32_t node)
{
    const struct hs_node *segment = node <= HS_NODE_MAX ? session.node_segments[node / HS_NODES_PER_SEGMENT] : NULL;
    if (!node || !segment)
        return node;
    const struct hs_node *at = &segment[node % HS_NODES_PER_SEGMENT];
    return atomic_load_explicit(&at->kind, memory_order_acquire) == HS_NODE_NATIVE ? at->parent : node;
}

void leaf_after_fork(void)
{
    number_table_after_fork(&places);
}
