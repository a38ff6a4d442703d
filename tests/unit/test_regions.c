/*
 * test_regions.c - what is born in regions, against a slow model that knows nothing of ordinals' ranges: it plays the
 * events of each occurrence by itself, with a list of the blocks that were born in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "make_trace.h"
#include "model/mark_growth.h"
#include "model/mark_moment.h"
#include "model/regions.h"
#include "model/sites_wanted.h"
#include "temporary_file.h"

/* --- all events, and the sizes of their blocks --- */

struct noted {
    struct event event;
    uint64_t size; /* of the block that begins or ends */
    unsigned domain;
    uint32_t born_in; /* thread */
};

struct notes {
    struct noted *list;
    size_t count;
    size_t finalize; /* index of the first behind the mark */
    struct regions *regions;
};

static void note(void *context, const struct lifetimes *l, const struct event *event)
{
    struct notes *notes = context;
    struct noted *noted = &notes->list[notes->count++];
    *noted = (struct noted){.event = *event, .size = event->size, .domain = event->domain};
    if (event->kind == HSK_OP_FREE) {
        const struct life_block *block = lifetimes_find(l, event->ordinal);
        noted->size = life_block_size(block);
        noted->domain = life_block_domain(block);
        noted->born_in = block->thread;
    }
    regions_event(notes->regions, l, event);
}

static void done(void *context, const struct lifetimes *l)
{
    struct notes *notes = context;
    notes->finalize = notes->count;
    regions_done(notes->regions, l);
}

struct truth {
    uint64_t allocations, allocated, live, blocks, peak, peak_event;
    uint64_t end_event;
    bool open;
};

static struct truth play(const struct notes *notes, size_t begin, bool all_threads)
{
    struct truth truth = {.open = true};
    const struct noted *first = &notes->list[begin];
    uint64_t *born = calloc(notes->count, sizeof *born), event = 0, live = 0, blocks = 0;
    size_t born_count = 0;
    for (size_t i = 0; i < begin; i++)
        event += notes->list[i].event.kind <= HSK_OP_FREE_UNKNOWN;
    for (size_t i = begin + 1; i < notes->count; i++) {
        const struct noted *noted = &notes->list[i];
        if (i == notes->finalize) {
            truth.live = live;
            truth.blocks = blocks;
            truth.end_event = event;
        }
        if (noted->event.kind == HSK_OP_MARK && noted->event.mark == HSK_MARK_REGION_END &&
            noted->event.mark_number == first->event.mark_number) {
            truth.open = false;
            truth.live = live;
            truth.blocks = blocks;
            truth.end_event = event;
            break;
        }
        event += noted->event.kind <= HSK_OP_FREE_UNKNOWN;
        if (noted->event.kind == HSK_OP_ALLOC && noted->domain != HSK_DOMAIN_ARENA &&
            (all_threads || noted->event.thread == first->event.thread)) {
            born[born_count++] = noted->event.ordinal;
            truth.allocations++;
            truth.allocated += noted->size;
            live += noted->size;
            blocks++;
            if (live > truth.peak) {
                truth.peak = live;
                truth.peak_event = event;
            }
        }
        for (size_t k = born_count; noted->event.kind == HSK_OP_FREE && k-- > 0;)
            if (born[k] == noted->event.ordinal) {
                live -= noted->size;
                blocks--;
                born[k] = UINT64_MAX;
                break;
            }
    }
    if (truth.open && notes->finalize <= begin) {
        truth.live = live;
        truth.blocks = blocks;
        truth.end_event = event;
    }
    free(born);
    return truth;
}

/* The sites of what one saw must add up to what the other counted. */
static void check_sites(struct trace_reader *reader, const struct region *region, uint64_t event, uint64_t bytes)
{
    struct stacks *stacks;
    struct error error = {0};
    struct sites_wanted wanted[2] = {{.event = event, .region = region},
                                     {.allocated = true,
                                      .from = region->begin_event,
                                      .event = region->open ? UINT64_MAX : region->end_event,
                                      .region = region}};
    uint64_t live = 0, allocations = 0, allocated = 0;
    assert_int_equal(stacks_load(&stacks, reader, &error), 0);
    assert_int_equal(sites_wanted_find(wanted, 2, reader, stacks, &error), 0);
    for (size_t i = 0; i < wanted[0].sites.count; i++)
        live += wanted[0].sites.sites[i].bytes;
    for (size_t i = 0; i < wanted[1].sites.count; i++) {
        allocations += wanted[1].sites.sites[i].count;
        allocated += wanted[1].sites.sites[i].bytes;
    }
    assert_int_equal(live, bytes);
    assert_int_equal(allocations, region->allocations);
    assert_int_equal(allocated, region->allocated_bytes);
    sites_free(&wanted[0].sites);
    sites_free(&wanted[1].sites);
    stacks_free(stacks);
}

static size_t check_plan(const struct made_trace_plan *plan)
{
    struct made_trace_truth truth;
    struct trace_reader *reader;
    struct error error = {0};
    struct mark_table marks;
    struct regions regions;
    struct lifetimes *l = lifetimes_new();
    assert_int_equal(made_trace_synthetic(temporary_file, plan, &truth), 0);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(mark_table_load(&marks, reader, &error), 0);
    assert_int_equal(regions_init(&regions, &marks), 0);
    for (uint32_t name = 0; name < regions.name_count; name++)
        regions.names[name].sampled = true;
    struct notes notes = {.list = calloc(plan->events * 4 + 1000, sizeof *notes.list), .regions = &regions};
    struct life_replay replay = {
        .until_ns = UINT64_MAX, .until_event = UINT64_MAX, .each = note, .finalize = done, .context = &notes};
    assert_int_equal(lifetimes_replay(l, reader, &replay, &error), 0);
    regions_finish(&regions, l);
    assert_false(regions.failed);
    assert_int_equal(regions.unknown_ends, 0);

    size_t at = 0, checked = 0;
    for (size_t i = 0; i < notes.count; i++) {
        if (notes.list[i].event.kind != HSK_OP_MARK || notes.list[i].event.mark != HSK_MARK_REGION_BEGIN)
            continue;
        const struct region *region = &regions.list[at++];
        assert_int_equal(region->occurrence, notes.list[i].event.mark_number);
        struct truth true_one = play(&notes, i, region->all_threads);
        assert_int_equal(region->open, true_one.open);
        assert_int_equal(region->allocations, true_one.allocations);
        assert_int_equal(region->allocated_bytes, true_one.allocated);
        assert_int_equal(region->peak_bytes, true_one.peak);
        assert_int_equal(region->peak_event, true_one.peak_event);
        assert_int_equal(region->live_bytes, true_one.live);
        assert_int_equal(region->live_blocks, true_one.blocks);
        assert_int_equal(region->end_event, true_one.end_event);
        if (at % 40 == 1) {
            check_sites(reader, region, region->peak_event, region->peak_bytes);
            check_sites(reader, region, region->end_event, region->live_bytes);
        }
        checked++;
    }
    assert_int_equal(at, regions.count);

    for (uint32_t i = 1; i <= MADE_NAMES; i++) {
        uint32_t name;
        const struct named_region *named = regions_find(&regions, made_mark_names[i], &name);
        if (strcmp(made_mark_names[i], "parse") == 0 && i != 2)
            continue; /* the same name twice */
        if (!named)
            continue;
        assert_int_equal(named->occurrences, truth.regions[i].occurrences);
        assert_int_equal(named->open, truth.regions[i].open);
        assert_int_equal(named->allocations, truth.regions[i].allocations);
        assert_int_equal(named->allocated_bytes, truth.regions[i].allocated_bytes);
        assert_int_equal(named->marks, truth.marked[i]);
        if (named->marks > 0)
            assert_int_equal(named->moment_count, named->marks);
        for (size_t m = 0; m < named->moment_count && named->marks > 0; m++) {
            struct mark_place place;
            char text[64];
            snprintf(text, sizeof text, "%s#%zu", made_mark_names[i], m + 1);
            if (m % 50 != 0 && m + 1 != named->moment_count)
                continue;
            assert_int_equal(mark_place_find(&place, reader, text, &error), 0);
            assert_int_equal(place.event, named->moments[m].event);
            assert_int_equal(place.time_ns, named->moments[m].time_ns);
            if (m + 1 == named->moment_count) {
                assert_int_equal(mark_place_find(&place, reader, made_mark_names[i], &error), 0);
                assert_int_equal(place.event, named->moments[m].event);
            }
        }
    }
    assert_null(regions_find(&regions, "never", NULL));
    free(notes.list);
    regions_free(&regions);
    mark_table_free(&marks);
    lifetimes_free(l);
    trace_reader_close(reader);
    return checked;
}

static void test_synthetic(void **state)
{
    (void)state;
    size_t checked = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct made_trace_plan plan = {.events = 5000,
                                       .seed = seed,
                                       .threads = 1 + (uint32_t)seed % 4,
                                       .nodes = 40,
                                       .inherited = seed == 2 ? 50 : 0,
                                       .flush_ops = seed % 2 ? 300 : 0,
                                       .event_ns = 1000,
                                       .finalize = seed > 2,
                                       .objects = seed == 4,
                                       .marks = true};
        checked += check_plan(&plan);
    }
    assert_true(checked > 500);
}

/* --- growth --- */

static double slope_of(const uint64_t *values, size_t count)
{
    struct mark_moment *moments = calloc(count, sizeof *moments);
    double slope = -1;
    for (size_t i = 0; i < count; i++)
        moments[i].live_bytes = values[i];
    assert_int_equal(mark_growth_slope(&slope, moments, count, MARK_BYTES), 0);
    free(moments);
    return slope;
}

static void test_growth(void **state)
{
    (void)state;
    static uint64_t values[100000];
    assert_int_equal(mark_growth_warm_up(4), 1);
    assert_int_equal(mark_growth_warm_up(5), 2);
    assert_int_equal(mark_growth_warm_up(100), 25);
    assert_true(slope_of((uint64_t[]){900, 1000, 1010, 1020}, 4) == 10);
    /* warm-up is not growth, nor is a single step, a peak at some of the marks, or what shrinks */
    assert_true(slope_of((uint64_t[]){10, 20, 1000, 1000, 1000, 1000, 1000, 1000}, 8) == 0);
    assert_true(slope_of((uint64_t[]){1, 1, 5, 5, 5, 5, 5, 9, 9, 9, 9, 9}, 12) == 0);
    assert_true(slope_of((uint64_t[]){5, 5, 5, 5, 900, 5, 5, 5, 900, 5, 5, 5}, 12) == 0);
    assert_true(slope_of((uint64_t[]){50, 40, 30, 20, 10}, 5) == 0);
    assert_true(slope_of((uint64_t[]){0, 10, 10, 20}, 4) == 0);
    assert_true(slope_of((uint64_t[]){0, 10, 20, 30}, 4) == 10);
    for (size_t count = 4; count <= HS_COUNT_OF(values); count = count * 3 + 1) {
        /* what grows by 7 each time, under peaks at every fifth */
        for (size_t i = 0; i < count; i++)
            values[i] = 5000 + 7 * i + (i % 5 == 4 ? 100000 : 0);
        double slope = slope_of(values, count);
        assert_true(count < 10 ? slope >= 7 : slope > 6 && slope < 8);
        /* the same by 70 every tenth time */
        for (size_t i = 0; i < count; i++)
            values[i] = 5000 + 70 * (i / 10);
        slope = slope_of(values, count);
        assert_true(count < 400 || (slope > 6 && slope < 8));
        /* a saw: what waits for the collector */
        for (size_t i = 0; i < count; i++)
            values[i] = 5000 + 100 * (i % 10);
        assert_true(count < 40 || slope_of(values, count) == 0);
        /* a table that is enlarged ever more seldom */
        for (size_t i = 0, table = 8; i < count; i++) {
            table = i > table ? 2 * table : table;
            values[i] = 5000 + 16 * table;
        }
        assert_true(slope_of(values, count) == 0);
        for (size_t i = 0; i < count; i++)
            values[i] = 5000 + i;
        assert_true(slope_of(values, count) == 1);
    }
    values[0] = 0;
    for (size_t i = 1; i < 40; i++)
        values[i] = values[i - 1] + (UINT64_C(1) << 40);
    assert_true(slope_of(values, 40) == 0x1p40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_synthetic, temporary_file_make, temporary_file_remove),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
