/* test_open_sums.c - against the plain way, which visits each region for each event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dice.h"
#include "model/open_sums.h"

#define MAX_REGIONS 5000u
#define MAX_BLOCKS 100000u

struct plain {
    struct open_sum sum;
    uint64_t ordinal;
    bool open;
};

struct play {
    struct open_sums sums;
    struct plain regions[MAX_REGIONS];
    uint32_t region_count, open;
    uint64_t sizes[MAX_BLOCKS]; /* by ordinal */
    uint64_t live[MAX_BLOCKS];  /* ordinals   */
    uint64_t births, live_count, event;
    uint64_t dice;
    uint32_t visited;
};

/* 0 .. below - 1 */
static uint64_t any(struct play *play, uint64_t below)
{
    return dice_roll(&play->dice) % below;
}

static void check(const struct open_sum *sum, const struct open_sum *expected)
{
    assert_int_equal(sum->allocations, expected->allocations);
    assert_int_equal(sum->allocated_bytes, expected->allocated_bytes);
    assert_int_equal(sum->live_blocks, expected->live_blocks);
    assert_int_equal(sum->live_bytes, expected->live_bytes);
    assert_int_equal(sum->peak_bytes, expected->peak_bytes);
    assert_int_equal(sum->peak_event, expected->peak_event);
    assert_int_equal(sum->peak_ns, expected->peak_ns);
}

static void check_visited(void *context, uint32_t id, const struct open_sum *sum)
{
    struct play *play = context;
    while (!play->regions[play->visited].open)
        play->visited++;
    assert_int_equal(id, play->visited++);
    check(sum, &play->regions[id].sum);
}

static void check_all(struct play *play)
{
    play->visited = 0;
    open_sums_visit(&play->sums, check_visited, play);
    while (play->visited < play->region_count && !play->regions[play->visited].open)
        play->visited++;
    assert_int_equal(play->visited, play->region_count);
    assert_int_equal(play->sums.open, play->open);
}

static void begin(struct play *play)
{
    if (play->region_count == MAX_REGIONS)
        return;
    play->regions[play->region_count] = (struct plain){.ordinal = play->births, .open = true};
    assert_int_equal(open_sums_begin(&play->sums, play->region_count++, play->births), 0);
    play->open++;
}

/* The newest one, or any. */
static void end(struct play *play, bool newest)
{
    if (play->open == 0)
        return;
    uint64_t which = newest ? play->open - 1 : any(play, play->open);
    uint32_t id = 0;
    for (; !play->regions[id].open || which > 0; id++)
        which -= play->regions[id].open;
    struct open_sum sum = open_sums_end(&play->sums, id);
    check(&sum, &play->regions[id].sum);
    play->regions[id].open = false;
    play->open--;
}

static void birth(struct play *play)
{
    if (play->births == MAX_BLOCKS)
        return;
    uint64_t size = any(play, 8) ? any(play, 100) : 0, event = ++play->event, ns = event / 3;
    open_sums_born(&play->sums, size, event, ns);
    for (uint32_t i = 0; i < play->region_count; i++) {
        struct open_sum *sum = &play->regions[i].sum;
        if (!play->regions[i].open)
            continue;
        sum->allocations++;
        sum->allocated_bytes += size;
        sum->live_blocks++;
        sum->live_bytes += size;
        if (sum->live_bytes > sum->peak_bytes) {
            sum->peak_bytes = sum->live_bytes;
            sum->peak_event = event;
            sum->peak_ns = ns;
        }
    }
    play->sizes[play->births] = size;
    play->live[play->live_count++] = play->births++;
}

static void death(struct play *play)
{
    if (play->live_count == 0)
        return;
    /* half of them young, half of any age */
    uint64_t most = any(play, 2) && play->live_count > 5 ? 5 : play->live_count;
    uint64_t at = play->live_count - 1 - any(play, most), ordinal = play->live[at];
    play->live[at] = play->live[--play->live_count];
    play->event++;
    open_sums_ended(&play->sums, ordinal, play->sizes[ordinal]);
    for (uint32_t i = 0; i < play->region_count; i++) {
        struct plain *region = &play->regions[i];
        if (!region->open || ordinal < region->ordinal)
            continue;
        region->sum.live_blocks--;
        region->sum.live_bytes -= play->sizes[ordinal];
    }
}

/* `begins`, `ends` of a thousand steps; `nested`: regions end in the opposite order of their begins. */
static void run(uint64_t seed, unsigned steps, unsigned begins, unsigned ends, bool nested)
{
    struct play *play = calloc(1, sizeof *play);
    assert_non_null(play);
    play->dice = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (unsigned step = 0; step < steps; step++) {
        uint64_t what = any(play, 1000);
        if (what < begins)
            begin(play);
        else if (what < begins + ends)
            end(play, nested);
        else if (any(play, 100) < 52)
            birth(play);
        else
            death(play);
        if (any(play, 200) == 0)
            check_all(play);
    }
    while (play->open > 0)
        end(play, nested);
    check_all(play);
    open_sums_free(&play->sums);
    free(play);
}

static void test_few(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 200; seed++)
        run(seed, 2000, 20, 20, seed % 2);
}

static void test_many(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++)
        run(seed, 4000, 100, 60, seed % 2);
}

static void test_one_after_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 50; seed++)
        run(seed, 3000, 100, 300, seed % 2);
}

/* Thousands are open, and as many begin and end: what the plain way would take minutes for. */
static void test_thousands(void **state)
{
    (void)state;
    struct open_sums sums = {0};
    uint64_t ordinal = 0;
    for (uint32_t id = 0; id < 20000; id++) {
        assert_int_equal(open_sums_begin(&sums, id, ordinal++), 0);
        open_sums_born(&sums, 8, id, id);
    }
    for (uint32_t round = 0; round < 1000000; round++) {
        open_sums_born(&sums, 16, 20000, 1);
        open_sums_ended(&sums, ordinal, 16);
        open_sums_ended(&sums, round % 20000, 0);
        ordinal++;
    }
    for (uint32_t id = 0; id < 20000; id++) {
        struct open_sum sum = open_sums_end(&sums, id);
        assert_int_equal(sum.allocations, 1000000 + 20000 - id);
        assert_int_equal(sum.live_bytes, (20000 - id) * 8);
        assert_int_equal(sum.peak_bytes, (20000 - id) * 8 + 16);
        assert_int_equal(sum.peak_event, 20000);
    }
    assert_int_equal(sums.open, 0);
    open_sums_free(&sums);
}

/* Ends of blocks that were never born: numbers of no meaning, and no less than 0. */
static void test_damaged(void **state)
{
    (void)state;
    struct open_sums sums = {0};
    open_sums_ended(&sums, 0, 5);
    assert_int_equal(open_sums_begin(&sums, 7, 10), 0);
    open_sums_ended(&sums, 10, UINT64_C(1) << 47);
    open_sums_ended(&sums, 9, 3);
    open_sums_born(&sums, 3, 1, 1);
    struct open_sum sum = open_sums_end(&sums, 7);
    assert_int_equal(sum.allocations, 1);
    assert_int_equal(sum.live_bytes, 0);
    assert_int_equal(sum.live_blocks, 0);
    open_sums_free(&sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few),       cmocka_unit_test(test_many),    cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_thousands), cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
