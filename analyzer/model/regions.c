/* regions.c - see regions.h */
#include "model/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

struct region_thread {
    uint32_t *open; /* indexes of the list */
    size_t count, capacity;
};

#define ALL_THREADS 0u
#define NONE UINT32_MAX

int regions_init(struct regions *regions, const struct mark_table *marks)
{
    *regions = (struct regions){.marks = marks, .oldest_ordinal = UINT64_MAX};
    regions->threads = calloc(1, sizeof *regions->threads);
    if (!regions->threads || regions_take_names(regions) != 0) {
        regions_free(regions);
        return -ENOMEM;
    }
    regions->thread_count = regions->thread_capacity = 1;
    return 0;
}

int regions_take_names(struct regions *regions)
{
    uint32_t count = regions->marks->names.count + 1;
    if (count <= regions->name_count)
        return 0;
    struct named_region *names = reallocarray(regions->names, count, sizeof *names);
    if (!names)
        return -ENOMEM;
    for (uint32_t name = regions->name_count; name < count; name++)
        names[name] =
            (struct named_region){.last = NONE, .most_peak = NONE, .most_live = NONE, .most_allocations = NONE};
    regions->names = names;
    regions->name_count = count;
    return 0;
}

void regions_free(struct regions *regions)
{
    for (uint32_t name = 0; regions->names && name < regions->name_count; name++)
        free(regions->names[name].moments);
    for (size_t i = 0; i < regions->thread_count; i++)
        free(regions->threads[i].open);
    free(regions->names);
    free(regions->threads);
    free(regions->list);
    map64_free(&regions->by_occurrence);
    map64_free(&regions->thread_index);
    *regions = (struct regions){0};
}

/* --- who has regions open --- */

/* The thread's own, NULL when it never began one. */
static struct region_thread *thread_of(struct regions *regions, uint32_t thread)
{
    if (thread != regions->last_thread || regions->last_index == ALL_THREADS) {
        uint32_t index = ALL_THREADS;
        map64_get(&regions->thread_index, thread, &index);
        regions->last_thread = thread;
        regions->last_index = index;
    }
    return regions->last_index == ALL_THREADS ? NULL : &regions->threads[regions->last_index];
}

static struct region_thread *thread_made(struct regions *regions, uint32_t thread)
{
    struct region_thread *known = thread_of(regions, thread);
    if (known)
        return known;
    if (!grow((void **)&regions->threads, regions->thread_count, &regions->thread_capacity, sizeof *regions->threads) ||
        !map64_put(&regions->thread_index, thread, (uint32_t)regions->thread_count))
        return NULL;
    regions->threads[regions->thread_count] = (struct region_thread){0};
    return &regions->threads[regions->thread_count++];
}

static void find_oldest(struct regions *regions)
{
    regions->oldest_ordinal = UINT64_MAX;
    for (size_t i = 0; i < regions->thread_count && regions->open_count > 0; i++)
        for (size_t k = 0; k < regions->threads[i].count; k++) {
            uint64_t begin = regions->list[regions->threads[i].open[k]].begin_ordinal;
            if (begin < regions->oldest_ordinal)
                regions->oldest_ordinal = begin;
        }
}

/* --- marks --- */

static void add_moment(struct regions *regions, struct named_region *named, const struct lifetimes *l, uint64_t time_ns)
{
    if (!named->sampled)
        return;
    if (!grow((void **)&named->moments, named->moment_count, &named->moment_capacity, sizeof *named->moments)) {
        regions->failed = true;
        return;
    }
    named->moments[named->moment_count++] =
        (struct mark_moment){.event = l->now.allocations + l->now.frees,
                             .time_ns = time_ns,
                             .live_bytes = l->now.live_bytes,
                             .live_blocks = l->now.live_blocks,
                             .live_objects = l->now.domains[HSK_DOMAIN_PY_OBJECT].live_blocks};
}

static void mark(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    struct named_region *named = &regions->names[mark_table_name(regions->marks, event->mark_number)];
    if (named->marks++ == 0)
        named->moment_count = 0; /* the ends of a region of that name count no more */
    add_moment(regions, named, l, event->time_ns);
}

static void begin(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    const struct mark_occurrence *occurrence = mark_table_occurrence(regions->marks, event->mark_number);
    uint32_t index;
    if (map64_get(&regions->by_occurrence, event->mark_number, &index))
        return; /* it has begun already: damage */
    struct region region = {.occurrence = event->mark_number,
                            .name = occurrence ? occurrence->name : 0,
                            .thread = event->thread,
                            .all_threads = occurrence && occurrence->flags & HSK_REGION_ALL_THREADS,
                            .open = true,
                            .begin_ordinal = regions->next_ordinal,
                            .begin_event = l->now.allocations + l->now.frees,
                            .begin_ns = event->time_ns,
                            .begin_mark = regions->mark_count,
                            .end_ordinal = UINT64_MAX,
                            .end_mark = UINT64_MAX};
    struct named_region *named = &regions->names[region.name];
    struct region_thread *thread =
        region.all_threads ? &regions->threads[ALL_THREADS] : thread_made(regions, region.thread);
    index = (uint32_t)regions->count;
    if (!thread || regions->count == NONE ||
        !grow((void **)&thread->open, thread->count, &thread->capacity, sizeof *thread->open) ||
        !grow((void **)&regions->list, regions->count, &regions->capacity, sizeof *regions->list) ||
        !map64_put(&regions->by_occurrence, region.occurrence, index)) {
        regions->failed = true;
        return;
    }
    region.number = ++named->occurrences;
    regions->list[regions->count++] = region;
    thread->open[thread->count++] = index;
    if (regions->open_count++ == 0 || region.begin_ordinal < regions->oldest_ordinal)
        regions->oldest_ordinal = region.begin_ordinal;
}

static void end(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    uint32_t index;
    if (!map64_get(&regions->by_occurrence, event->mark_number, &index) || !regions->list[index].open) {
        regions->unknown_ends++;
        return;
    }
    struct region *region = &regions->list[index];
    struct region_thread *thread =
        region->all_threads ? &regions->threads[ALL_THREADS] : thread_of(regions, region->thread);
    region->open = false;
    region->end_ordinal = regions->next_ordinal;
    region->end_event = l->now.allocations + l->now.frees;
    region->end_ns = event->time_ns;
    region->end_mark = regions->mark_count;
    for (size_t i = thread->count; i-- > 0;) {
        if (thread->open[i] != index)
            continue;
        memmove(&thread->open[i], &thread->open[i + 1], (thread->count - i - 1) * sizeof *thread->open);
        break;
    }
    thread->count--;
    regions->open_count--;
    if (region->begin_ordinal == regions->oldest_ordinal)
        find_oldest(regions);
    struct named_region *named = &regions->names[region->name];
    if (named->marks == 0)
        add_moment(regions, named, l, event->time_ns);
}

/* --- births and ends of blocks --- */

static void born(struct regions *regions, const struct region_thread *thread, const struct lifetimes *l,
                 const struct event *event, uint64_t size)
{
    for (size_t i = 0; i < thread->count; i++) {
        struct region *region = &regions->list[thread->open[i]];
        region->allocations++;
        region->allocated_bytes += size;
        region->live_blocks++;
        region->live_bytes += size;
        if (region->live_bytes > region->peak_bytes) {
            region->peak_bytes = region->live_bytes;
            region->peak_event = l->now.allocations + l->now.frees + 1;
            region->peak_ns = event->time_ns;
        }
    }
}

static void ended(struct regions *regions, const struct region_thread *thread, uint64_t ordinal, uint64_t size)
{
    for (size_t i = 0; i < thread->count; i++) {
        struct region *region = &regions->list[thread->open[i]];
        if (ordinal < region->begin_ordinal || region->live_blocks == 0 || region->live_bytes < size)
            continue; /* the latter two only where the file is damaged */
        region->live_blocks--;
        region->live_bytes -= size;
    }
}

static void block_begins(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    regions->next_ordinal = event->ordinal + 1;
    if (HS_LIKELY(regions->open_count == 0) || event->domain == HSK_DOMAIN_ARENA)
        return;
    uint64_t size = life_event_size(event);
    const struct region_thread *own = thread_of(regions, event->thread);
    if (own)
        born(regions, own, l, event, size);
    born(regions, &regions->threads[ALL_THREADS], l, event, size);
}

static void block_ends(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    if (HS_LIKELY(event->ordinal < regions->oldest_ordinal))
        return; /* also when none is open */
    const struct life_block *block = lifetimes_find(l, event->ordinal);
    if (!block || life_block_domain(block) == HSK_DOMAIN_ARENA)
        return;
    const struct region_thread *own = thread_of(regions, block->thread);
    if (own)
        ended(regions, own, event->ordinal, life_block_size(block));
    ended(regions, &regions->threads[ALL_THREADS], event->ordinal, life_block_size(block));
}

void regions_event(struct regions *regions, const struct lifetimes *lifetimes, const struct event *event)
{
    if (HS_UNLIKELY(!regions->began)) {
        regions->began = true;
        regions->next_ordinal = lifetimes->inherited_end;
    }
    if (event->kind == HSK_OP_ALLOC) {
        block_begins(regions, lifetimes, event);
    } else if (event->kind == HSK_OP_FREE) {
        block_ends(regions, lifetimes, event);
    } else if (event->kind == HSK_OP_MARK && !regions->failed) {
        regions->mark_count++;
        if (event->mark == HSK_MARK_NAMED)
            mark(regions, lifetimes, event);
        else if (event->mark == HSK_MARK_REGION_BEGIN)
            begin(regions, lifetimes, event);
        else if (event->mark == HSK_MARK_REGION_END)
            end(regions, lifetimes, event);
    }
}

/* --- the end --- */

void regions_done(struct regions *regions, const struct lifetimes *lifetimes)
{
    regions->done = true;
    regions->done_event = lifetimes->now.allocations + lifetimes->now.frees;
    regions->done_ns = lifetimes->now.time_ns;
    for (size_t i = 0; i < regions->thread_count && regions->open_count > 0; i++)
        for (size_t k = 0; k < regions->threads[i].count; k++) {
            struct region *region = &regions->list[regions->threads[i].open[k]];
            region->done = true;
            region->done_bytes = region->live_bytes;
            region->done_blocks = region->live_blocks;
        }
}

/* An open region is told as it was when the program was done. */
static void close_open(const struct regions *regions, struct region *region, const struct lifetimes *l)
{
    region->end_event = region->done ? regions->done_event : l->now.allocations + l->now.frees;
    region->end_ns = region->done ? regions->done_ns : l->now.time_ns;
    if (region->done) {
        region->live_bytes = region->done_bytes;
        region->live_blocks = region->done_blocks;
    }
}

void regions_finish(struct regions *regions, const struct lifetimes *lifetimes)
{
    for (size_t i = 0; i < regions->count; i++) {
        struct region *region = &regions->list[i];
        struct named_region *named = &regions->names[region->name];
        uint32_t index = (uint32_t)i;
        if (region->open)
            close_open(regions, region, lifetimes);
        named->open += region->open;
        named->allocations += region->allocations;
        named->allocated_bytes += region->allocated_bytes;
        named->outlived_bytes += region->live_bytes;
        named->outlived_blocks += region->live_blocks;
        if (named->last == NONE)
            named->most_peak = named->most_live = named->most_allocations = index;
        named->last = index;
        if (region->peak_bytes > regions->list[named->most_peak].peak_bytes)
            named->most_peak = index;
        if (region->live_bytes > regions->list[named->most_live].live_bytes)
            named->most_live = index;
        if (region->allocations > regions->list[named->most_allocations].allocations)
            named->most_allocations = index;
    }
}

const struct named_region *regions_find(const struct regions *regions, const char *text, uint32_t *name)
{
    uint32_t found = intern_find(&regions->marks->names, text, strlen(text));
    if (name)
        *name = found;
    return found ? &regions->names[found] : NULL;
}
