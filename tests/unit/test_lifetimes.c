/* test_lifetimes.c - the model against what make_trace.c counted, and the cases that it cannot make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "make_trace.h"
#include "model/lifetimes.h"
#include "temporary_file.h"
#include "trace/trace_reader.h"

static struct life_totals kept;

static void keep(void *context, const struct lifetimes *lifetimes)
{
    (void)context;
    kept = lifetimes->now;
}

static struct lifetimes *replay(uint64_t until_ns, uint64_t until_event)
{
    struct trace_reader *reader;
    struct error error = {0};
    struct lifetimes *lifetimes = lifetimes_new();
    struct life_replay plan = {.until_ns = until_ns, .until_event = until_event, .finalize = keep};
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(lifetimes_replay(lifetimes, reader, &plan, &error), 0);
    assert_true(trace_reader_complete(reader));
    trace_reader_close(reader);
    return lifetimes;
}

static void check_plan(const struct made_trace_plan *plan)
{
    struct made_trace_truth truth;
    assert_int_equal(made_trace_synthetic(temporary_file, plan, &truth), 0);
    struct lifetimes *l = replay(UINT64_MAX, UINT64_MAX);
    assert_int_equal(l->now.allocations, truth.allocations);
    assert_int_equal(l->now.frees, truth.frees);
    assert_int_equal(l->now.unknown_frees, truth.unknown_frees);
    assert_int_equal(l->now.lost_frees, 0);
    assert_int_equal(l->now.temporary, truth.temporary);
    assert_int_equal(l->now.allocated_bytes, truth.allocated_bytes);
    assert_int_equal(l->peak_bytes, truth.peak_bytes);
    assert_int_equal(l->peak_event, truth.peak_event);
    assert_int_equal(l->peak_time_ns, truth.peak_time_ns);
    const struct life_totals *end = plan->finalize ? &kept : &l->now;
    assert_int_equal(end->live_bytes, truth.live_bytes);
    assert_int_equal(end->live_blocks, truth.live_blocks);
    assert_int_equal(end->inherited_live_blocks, truth.inherited_live_blocks);
    for (int domain = 0; domain < HSK_DOMAINS; domain++) {
        assert_int_equal(l->now.domains[domain].allocations, truth.domain_allocations[domain]);
        assert_int_equal(l->now.domains[domain].frees, truth.domain_frees[domain]);
    }
    lifetimes_free(l);

    l = replay(truth.half_ns, plan->events / 2);
    assert_int_equal(l->now.live_bytes, truth.half_bytes);
    lifetimes_free(l);
    l = replay(UINT64_MAX, truth.peak_event);
    assert_int_equal(l->now.live_bytes, truth.peak_bytes);
    lifetimes_free(l);
}

static void test_synthetic(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct made_trace_plan plan = {.events = seed * 40000,
                                       .seed = seed,
                                       .threads = (uint32_t)(seed * seed),
                                       .nodes = 300,
                                       .inherited = seed % 2 ? 0 : 9000,
                                       .flush_ops = seed % 3 ? 0 : 1000,
                                       .event_ns = 777,
                                       .finalize = seed > 3,
                                       .objects = seed % 2 == 0,
                                       .marks = seed % 3 == 1};
        check_plan(&plan);
    }
}

struct feed {
    struct lifetimes *l;
    uint64_t next;
};

static uint64_t give(struct feed *feed, uint32_t thread, uint64_t size)
{
    struct event event = {
        .kind = HSK_OP_ALLOC, .domain = HSK_DOMAIN_MALLOC, .ordinal = feed->next++, .size = size, .thread = thread};
    lifetimes_event(feed->l, &event);
    return event.ordinal;
}

static void take(struct feed *feed, uint32_t thread, uint64_t ordinal)
{
    struct event event = {.kind = HSK_OP_FREE, .ordinal = ordinal, .thread = thread};
    lifetimes_event(feed->l, &event);
}

static void test_temporary(void **state)
{
    (void)state;
    struct feed feed = {.l = lifetimes_new()};
    uint64_t a = give(&feed, 0, 1), b = give(&feed, 0, 1);
    take(&feed, 0, b); /* the thread's next event: temporary */
    take(&feed, 0, a); /* b was in between */
    assert_int_equal(feed.l->now.temporary, 1);
    a = give(&feed, 0, 1);
    b = give(&feed, 1, 1); /* another thread does not matter */
    take(&feed, 0, a);
    take(&feed, 1, b);
    assert_int_equal(feed.l->now.temporary, 3);
    a = give(&feed, 0, 1);
    take(&feed, 1, a); /* freed by another thread */
    assert_int_equal(feed.l->now.temporary, 3);
    a = give(&feed, 3000000, 1); /* a thread number beyond what is kept is counted while it stays */
    take(&feed, 3000000, a);
    assert_int_equal(feed.l->now.temporary, 4);
    lifetimes_free(feed.l);
}

static void test_wrong_frees(void **state)
{
    (void)state;
    struct feed feed = {.l = lifetimes_new()};
    uint64_t a = give(&feed, 0, 100);
    take(&feed, 0, a);
    take(&feed, 0, a);
    take(&feed, 0, 12345678);
    take(&feed, 0, HSK_MAX_ORDINAL);
    take(&feed, 0, UINT64_MAX);
    assert_int_equal(feed.l->now.lost_frees, 4);
    assert_int_equal(feed.l->now.frees, 5);
    assert_int_equal(feed.l->now.live_blocks, 0);
    feed.next = a;
    give(&feed, 0, 7);
    feed.next = a;
    give(&feed, 0, 8); /* the same ordinal once more: damage, the first stays */
    assert_int_equal(feed.l->now.live_bytes, 7);
    feed.next = HSK_MAX_ORDINAL;
    give(&feed, 0, 9);
    give(&feed, 0, 9); /* beyond what can be */
    assert_int_equal(feed.l->now.live_bytes, 16);
    assert_non_null(lifetimes_find(feed.l, HSK_MAX_ORDINAL));
    assert_null(lifetimes_find(feed.l, HSK_MAX_ORDINAL + 1));
    lifetimes_free(feed.l);
}

static void count_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    uint64_t *expected = context;
    assert_int_equal(ordinal, *expected);
    assert_int_equal(life_block_size(block), ordinal % 1000);
    *expected += 100;
}

/* One block of a hundred survives: the pages become sparse, and the survivors are all there. */
static void test_few_survive(void **state)
{
    (void)state;
    enum { COUNT = 1000000 };
    struct feed feed = {.l = lifetimes_new()};
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t ordinal = give(&feed, 0, i % 1000);
        if (ordinal >= 500 && (ordinal - 500) % 100 != 0)
            take(&feed, 0, ordinal - 500);
    }
    for (uint64_t ordinal = COUNT - 500; ordinal < COUNT; ordinal++)
        if (ordinal % 100 != 0)
            take(&feed, 0, ordinal);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(feed.l->now.live_blocks, COUNT / 100);
#ifndef __SANITIZE_ADDRESS__
    /* 10 000 blocks of 32 bytes, not a million; and up to 16 spare pages */
    assert_true(after - before < 10000 * 80 + 20 * LIFE_PAGE_BLOCKS * sizeof(struct life_block));
#else
    (void)before;
    (void)after;
#endif
    uint64_t next = 0;
    lifetimes_visit(feed.l, count_block, &next);
    assert_int_equal(next, COUNT);
    for (uint64_t ordinal = 0; ordinal < COUNT; ordinal += 100) {
        assert_non_null(lifetimes_find(feed.l, ordinal));
        assert_null(lifetimes_find(feed.l, ordinal + 1));
        take(&feed, 0, ordinal);
        assert_null(lifetimes_find(feed.l, ordinal));
    }
    assert_int_equal(feed.l->now.live_blocks, 0);
    assert_int_equal(feed.l->now.live_bytes, 0);
    assert_int_equal(feed.l->now.lost_frees, 0);
    lifetimes_free(feed.l);
}

static void test_histogram(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(1), 1);
    assert_int_equal(histogram_bucket(UINT64_MAX), 64);
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        assert_int_equal(histogram_bucket(histogram_from(bucket)), bucket);
        assert_int_equal(histogram_bucket(histogram_to(bucket)), bucket);
    }
    struct histogram histogram = {0};
    assert_int_equal(histogram_used(&histogram), 0);
    histogram_add(&histogram, 5, 50);
    histogram_add(&histogram, 7, 1);
    assert_int_equal(histogram_used(&histogram), 4);
    assert_int_equal(histogram.count[3], 2);
    assert_int_equal(histogram.sum[3], 51);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synthetic),   cmocka_unit_test(test_temporary), cmocka_unit_test(test_wrong_frees),
        cmocka_unit_test(test_few_survive), cmocka_unit_test(test_histogram),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
