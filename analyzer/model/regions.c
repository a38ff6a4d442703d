/* regions.c - see regions.h */
#include "model/regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

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
        open_sums_free(&regions->threads[i]);
    free(regions->names);
    free(regions->threads);
    free(regions->list);
    map64_free(&regions->by_occurrence);
    map64_free(&regions->thread_index);
    *regions = (struct regions){0};
}

/* --- who has regions open --- */

/* The thread's own, NULL when it never began one. */
static struct open_sums *thread_of(struct regions *regions, uint32_t thread)
{
    if (thread != regions->last_thread || regions->last_index == ALL_THREADS) {
        uint32_t index = ALL_THREADS;
        map64_get(&regions->thread_index, thread, &index);
        regions->last_thread = thread;
        regions->last_index = index;
    }
    return regions->last_index == ALL_THREADS ? NULL : &regions->threads[regions->last_index];
}

static struct open_sums *thread_made(struct regions *regions, uint32_t thread)
{
    struct open_sums *known = thread_of(regions, thread);
    if (known)
        return known;
    if (!grow((void **)&regions->threads, regions->thread_count, &regions->thread_capacity, sizeof *regions->threads) ||
        !map64_put(&regions->thread_index, thread, (uint32_t)regions->thread_count))
        return NULL;
    regions->threads[regions->thread_count] = (struct open_sums){0};
    return &regions->threads[regions->thread_count++];
}

/* Those that are open to the region's thread. */
static struct open_sums *open_beside(struct regions *regions, const struct region *region)
{
    return region->all_threads ? &regions->threads[ALL_THREADS] : thread_of(regions, region->thread);
}

/* The list is in the order of the begins. */
static void find_oldest(struct regions *regions)
{
    while (regions->open_count > 0 && !regions->list[regions->first_open].open)
        regions->first_open++;
    regions->oldest_ordinal = regions->open_count > 0 ? regions->list[regions->first_open].begin_ordinal : UINT64_MAX;
}

static void take_sum(struct region *region, const struct open_sum *sum)
{
    region->allocations = sum->allocations;
    region->allocated_bytes = sum->allocated_bytes;
    region->peak_bytes = sum->peak_bytes;
    region->peak_event = sum->peak_event;
    region->peak_ns = sum->peak_ns;
    region->live_bytes = sum->live_bytes;
    region->live_blocks = sum->live_blocks;
}

static void settle(void *context, uint32_t index, const struct open_sum *sum)
{
    struct regions *regions = context;
    take_sum(&regions->list[index], sum);
}

void regions_settle(struct regions *regions)
{
    for (size_t i = 0; i < regions->thread_count && regions->open_count > 0; i++)
        open_sums_visit(&regions->threads[i], settle, regions);
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
    struct open_sums *thread =
        region.all_threads ? &regions->threads[ALL_THREADS] : thread_made(regions, region.thread);
    index = (uint32_t)regions->count;
    if (!thread || regions->count == NONE ||
        !grow((void **)&regions->list, regions->count, &regions->capacity, sizeof *regions->list) ||
        !map64_put(&regions->by_occurrence, region.occurrence, index) ||
        open_sums_begin(thread, index, region.begin_ordinal) != 0) {
        regions->failed = true;
        return;
    }
    region.number = ++named->occurrences;
    regions->list[regions->count++] = region;
    if (regions->open_count++ == 0)
        regions->first_open = index;
    find_oldest(regions);
}

static void end(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    uint32_t index;
    if (!map64_get(&regions->by_occurrence, event->mark_number, &index) || !regions->list[index].open) {
        regions->unknown_ends++;
        return;
    }
    struct region *region = &regions->list[index];
    struct open_sum sum = open_sums_end(open_beside(regions, region), index);
    take_sum(region, &sum);
    region->open = false;
    region->end_ordinal = regions->next_ordinal;
    region->end_event = l->now.allocations + l->now.frees;
    region->end_ns = event->time_ns;
    region->end_mark = regions->mark_count;
    regions->open_count--;
    find_oldest(regions);
    struct named_region *named = &regions->names[region->name];
    if (named->marks == 0)
        add_moment(regions, named, l, event->time_ns);
}

/* --- births and ends of blocks --- */

static void block_begins(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    regions->next_ordinal = event->ordinal + 1;
    if (HS_LIKELY(regions->open_count == 0) || event->domain == HSK_DOMAIN_ARENA)
        return;
    uint64_t size = life_event_size(event);
    uint64_t number = l->now.allocations + l->now.frees + 1;
    struct open_sums *own = thread_of(regions, event->thread);
    if (own)
        open_sums_born(own, size, number, event->time_ns);
    open_sums_born(&regions->threads[ALL_THREADS], size, number, event->time_ns);
}

static void block_ends(struct regions *regions, const struct lifetimes *l, const struct event *event)
{
    if (HS_LIKELY(event->ordinal < regions->oldest_ordinal))
        return; /* also when none is open */
    const struct life_block *block = lifetimes_find(l, event->ordinal);
    if (!block || life_block_domain(block) == HSK_DOMAIN_ARENA)
        return;
    struct open_sums *own = thread_of(regions, block->thread);
    if (own)
        open_sums_ended(own, event->ordinal, life_block_size(block));
    open_sums_ended(&regions->threads[ALL_THREADS], event->ordinal, life_block_size(block));
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

static void note_done(void *context, uint32_t index, const struct open_sum *sum)
{
    struct regions *regions = context;
    struct region *region = &regions->list[index];
    region->done = true;
    region->done_bytes = sum->live_bytes;
    region->done_blocks = sum->live_blocks;
}

void regions_done(struct regions *regions, const struct lifetimes *lifetimes)
{
    regions->done = true;
    regions->done_event = lifetimes->now.allocations + lifetimes->now.frees;
    regions->done_ns = lifetimes->now.time_ns;
    for (size_t i = 0; i < regions->thread_count && regions->open_count > 0; i++)
        open_sums_visit(&regions->threads[i], note_done, regions);
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
    regions_settle(regions);
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
