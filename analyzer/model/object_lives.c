/* object_lives.c - see object_lives.h: a table by ordinal, open addressing with backward-shift deletion */
#include "model/object_lives.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CELLS 1024u

/*
 * Blocks that were allocated one after the other are mostly freed near each other, too: so many stay neighbours in the
 * table, and share what the cache holds of it (measured with 9 million allocations and frees of a Python program: half
 * the time).
 */
#define NEIGHBOUR_BITS 4

static size_t cell_of(const struct object_lives *lives, uint64_t ordinal)
{
    uint64_t group = ordinal >> NEIGHBOUR_BITS, place = ordinal & ((1u << NEIGHBOUR_BITS) - 1);
    return (size_t)((group * UINT64_C(0x9e3779b97f4a7c15) >> 32) << NEIGHBOUR_BITS | place) & lives->mask;
}

static struct object_life *new_table(size_t cells)
{
    struct object_life *table = calloc(cells, sizeof *table);
    for (size_t i = 0; table && i < cells; i++)
        table[i].ordinal = OBJECT_LIFE_FREE;
    return table;
}

int object_lives_init(struct object_lives *lives, const struct type_names *names)
{
    *lives = (struct object_lives){.names = names, .moving.ordinal = OBJECT_LIFE_FREE};
    lives->type_count = (size_t)names->names.count + 1;
    lives->types = calloc(lives->type_count, sizeof *lives->types);
    lives->table = new_table(FIRST_CELLS);
    lives->mask = FIRST_CELLS - 1;
    if (lives->types && lives->table)
        return 0;
    object_lives_free(lives);
    return -ENOMEM;
}

void object_lives_free(struct object_lives *lives)
{
    free(lives->types);
    free(lives->table);
    *lives = (struct object_lives){0};
}

/* The object's cell, or the free one where it belongs. */
static struct object_life *find_cell(const struct object_lives *lives, uint64_t ordinal)
{
    size_t at = cell_of(lives, ordinal);
    while (lives->table[at].ordinal != ordinal && lives->table[at].ordinal != OBJECT_LIFE_FREE)
        at = (at + 1) & lives->mask;
    return &lives->table[at];
}

const struct object_life *object_lives_find(const struct object_lives *lives, uint64_t ordinal)
{
    const struct object_life *life = find_cell(lives, ordinal);
    return life->ordinal == ordinal && ordinal != OBJECT_LIFE_FREE ? life : NULL;
}

static bool grow(struct object_lives *lives)
{
    struct object_life *old = lives->table;
    size_t old_cells = lives->mask + 1;
    struct object_life *table = new_table(old_cells * 2);
    if (!table)
        return false;
    lives->table = table;
    lives->mask = old_cells * 2 - 1;
    for (size_t i = 0; i < old_cells; i++)
        if (old[i].ordinal != OBJECT_LIFE_FREE)
            *find_cell(lives, old[i].ordinal) = old[i];
    free(old);
    return true;
}

static void put(struct object_lives *lives, const struct object_life *life)
{
    if (lives->used >= (lives->mask + 1) / 2 && !grow(lives)) {
        lives->failed = true;
        return;
    }
    struct object_life *cell = find_cell(lives, life->ordinal);
    lives->used += cell->ordinal == OBJECT_LIFE_FREE;
    *cell = *life;
}

static void take_out(struct object_lives *lives, struct object_life *life)
{
    struct object_life *table = lives->table;
    size_t mask = lives->mask, at = (size_t)(life - table);
    for (size_t next = (at + 1) & mask; table[next].ordinal != OBJECT_LIFE_FREE; next = (next + 1) & mask) {
        size_t home = cell_of(lives, table[next].ordinal);
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table[at] = table[next];
            at = next;
        }
    }
    table[at].ordinal = OBJECT_LIFE_FREE;
    lives->used--;
}

static void count_death(struct object_lives *lives, const struct object_life *life, uint64_t now_ns)
{
    struct object_type *type = &lives->types[life->name];
    if (lives->history && life->node != OBJECT_LIFE_SAME)
        site_history_end_block(lives->history, life->node);
    type->died++;
    type->live--;
    type->live_bytes -= life->size;
    histogram_add(&type->lifetimes, now_ns > life->birth_ns ? now_ns - life->birth_ns : 0, life->size);
}

/* What was between the halves of a realloc will find no second one. */
static void end_moving(struct object_lives *lives, uint64_t now_ns)
{
    if (lives->moving.ordinal == OBJECT_LIFE_FREE)
        return;
    count_death(lives, &lives->moving, now_ns);
    lives->moving.ordinal = OBJECT_LIFE_FREE;
}

static void birth(struct object_lives *lives, const struct lifetimes *lifetimes, const struct event *event)
{
    const struct life_block *block = lifetimes_find(lifetimes, event->ordinal);
    lives->told++;
    if (!block) {
        lives->lost++;
        return;
    }
    struct object_life *old = find_cell(lives, event->ordinal);
    uint32_t name = type_names_find(lives->names, event->type);
    bool lives_on = old->ordinal != OBJECT_LIFE_FREE;
    if (lives_on && old->moved && old->name == name) {
        old->moved = false;
        return;
    }
    if (lives_on)
        count_death(lives, old, event->time_ns);
    struct object_life life = {.ordinal = event->ordinal,
                               .birth_ns = event->time_ns,
                               .birth_ordinal = lifetimes->now.allocations + lifetimes->now.inherited_blocks,
                               .size = life_block_size(block),
                               .name = name,
                               .birth_thread = event->thread,
                               .birth_mark = lives->mark_count & 0x7fffffff,
                               .node = event->same_stack ? OBJECT_LIFE_SAME : event->node};
    struct object_type *type = &lives->types[name];
    if (lives->history && life.node != OBJECT_LIFE_SAME)
        site_history_alloc(lives->history, life.birth_ordinal, life.node);
    lives->created++;
    type->created++;
    type->live++;
    type->live_bytes += life.size;
    put(lives, &life);
}

static void block_ends(struct object_lives *lives, const struct event *event)
{
    struct object_life *life = find_cell(lives, event->ordinal);
    if (life->ordinal == OBJECT_LIFE_FREE)
        return;
    if (event->is_realloc) {
        end_moving(lives, event->time_ns);
        lives->moving = *life;
        lives->moving_thread = event->thread;
    } else {
        count_death(lives, life, event->time_ns);
    }
    take_out(lives, life);
}

/* The first allocation of a thread after the first half of its realloc is the other half, or there is none. */
static void block_begins(struct object_lives *lives, const struct event *event)
{
    if (lives->moving.ordinal == OBJECT_LIFE_FREE || lives->moving_thread != event->thread)
        return;
    if (!event->is_realloc || find_cell(lives, event->ordinal)->ordinal != OBJECT_LIFE_FREE) {
        end_moving(lives, event->time_ns);
        return;
    }
    struct object_life life = lives->moving;
    uint64_t size = life_event_size(event);
    lives->moving.ordinal = OBJECT_LIFE_FREE;
    lives->types[life.name].live_bytes += size - life.size;
    life.ordinal = event->ordinal;
    life.size = size;
    life.moved = true;
    put(lives, &life);
}

void object_lives_event(struct object_lives *lives, const struct lifetimes *lifetimes, const struct event *event)
{
    if (lives->failed)
        return;
    if (event->kind == HSK_OP_OBJECT) {
        birth(lives, lifetimes, event);
    } else if (event->kind == HSK_OP_ALLOC) {
        block_begins(lives, event);
    } else if (event->kind == HSK_OP_FREE) {
        block_ends(lives, event);
    } else if (event->kind == HSK_OP_MARK) {
        lives->mark_count++;
    } else if (event->kind == HSK_OP_OBJECT_END) {
        struct object_life *life = find_cell(lives, event->ordinal);
        if (life->ordinal != OBJECT_LIFE_FREE) {
            count_death(lives, life, event->time_ns);
            take_out(lives, life);
        } else if (!lifetimes_find(lifetimes, event->ordinal)) {
            lives->lost++;
        }
    }
}

struct object_type *object_lives_types(const struct object_lives *lives)
{
    struct object_type *types = malloc(lives->type_count * sizeof *types);
    if (types)
        memcpy(types, lives->types, lives->type_count * sizeof *types);
    return types;
}

uint64_t object_type_median(const struct object_type *type)
{
    uint64_t half = (type->died + 1) / 2, seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t count = type->lifetimes.count[bucket];
        if (seen + count < half) {
            seen += count;
            continue;
        }
        uint64_t from = histogram_from(bucket), to = histogram_to(bucket);
        return from + (uint64_t)((double)(to - from) * ((double)(half - seen) - 0.5) / (double)count);
    }
    return 0;
}
