/* test_marks.c - marks and regions on their way into a trace, and out of it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "each_event.h"
#include "make_trace.h"
#include "model/mark_table.h"
#include "record/mark_writer.h"
#include "temporary_file.h"
#include "trace/decode.h"
#include "trace/mark_records.h"

/* ---- open regions ---- */

/* Against a plain array, with numbers that fall into the same places. */
static void test_open_regions(void **state)
{
    (void)state;
    enum { NUMBERS = 3000 };
    static uint64_t expected[NUMBERS];
    struct open_regions open = {0};
    uint64_t random = 1, occurrence = 0;
    uint32_t count = 0;
    memset(expected, 0, sizeof expected);
    for (int round = 0; round < 400000; round++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t which = (uint32_t)(random >> 40) % (round % 100000 < 50000 ? NUMBERS : 40);
        uint32_t region = which * 1048576u + which % 7;
        if (random >> 33 & 1) {
            count += expected[which] == 0;
            expected[which] = ++occurrence;
            assert_true(open_regions_put(&open, region, occurrence));
        } else {
            assert_int_equal(open_regions_take(&open, region), expected[which]);
            count -= expected[which] != 0;
            expected[which] = 0;
        }
        assert_int_equal(open.count, count);
    }
    for (uint32_t which = 0; which < NUMBERS; which++)
        assert_int_equal(open_regions_take(&open, which * 1048576u + which % 7), expected[which]);
    assert_int_equal(open.count, 0);
    open_regions_free(&open);
}

static void test_too_many_regions(void **state)
{
    (void)state;
    struct open_regions open = {0};
    for (uint32_t region = 1; region <= OPEN_REGIONS_MOST; region++)
        assert_true(open_regions_put(&open, region, region));
    assert_false(open_regions_put(&open, OPEN_REGIONS_MOST + 1, 1));
    assert_int_equal(open_regions_take(&open, 77), 77);
    assert_true(open_regions_put(&open, OPEN_REGIONS_MOST + 1, 1));
    open_regions_free(&open);
}

/* ---- names ---- */

static uint64_t names_told(struct buf *payload, uint64_t *last)
{
    struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
    struct mark_record record;
    uint64_t count = 0;
    while (payload->length && mark_records_next(&cursor, &record)) {
        assert_true(record.is_name && record.name_number == *last + 1);
        *last = record.name_number;
        count++;
    }
    assert_false(cursor.failed);
    buf_clear(payload);
    return count;
}

/* A name is told once as long as it is remembered; a million of them are not. */
static void test_many_names(void **state)
{
    (void)state;
    struct mark_writer writer = {0};
    struct encoder encoder;
    char name[32];
    uint64_t last = 0, told = 0;
    assert_int_equal(encoder_init(&encoder, 0, 0), 0);
    for (uint32_t i = 0; i < 1000000; i++) {
        struct hs_message_mark mark = {.kind = HSK_MARK_NAMED};
        for (int twice = 0; twice < 2; twice++) {
            mark.name_length = (uint32_t)snprintf(name, sizeof name, "name %u", i);
            assert_true(mark_writer_take(&writer, &encoder, &mark, name));
        }
        assert_true(writer.names.count <= 65536);
        if (i % 10000 == 0)
            told += names_told(&writer.payload, &last);
        if (encoder_full(&encoder)) { /* as session_flush() does, without a file */
            encoder_destroy(&encoder);
            assert_int_equal(encoder_init(&encoder, 0, 0), 0);
        }
    }
    told += names_told(&writer.payload, &last);
    assert_true(told >= 1000000 && told <= 1000016); /* once more, where everything has just been forgotten */
    mark_writer_free(&writer);
    encoder_destroy(&encoder);
}

/* ---- a whole trace ---- */

struct open_now {
    uint64_t occurrence;
    uint32_t name, thread;
    bool all_threads;
};

struct follower {
    const struct mark_table *table;
    struct made_trace_truth found;
    struct open_now open[64];
    unsigned open_count;
};

/* The truth tells names by the first number of equal ones. */
static uint32_t made_name(const struct mark_table *table, uint32_t name)
{
    size_t length;
    const char *text = mark_table_text(table, name, &length);
    for (uint32_t i = 1; i <= MADE_NAMES; i++)
        if (length == strlen(made_mark_names[i]) && memcmp(text, made_mark_names[i], length) == 0)
            return i;
    fail();
    return 0;
}

static void follow_mark(struct follower *follower, const struct event *event)
{
    const struct mark_table *table = follower->table;
    if (event->mark == HSK_MARK_NAMED) {
        follower->found.marked[made_name(table, mark_table_name(table, event->mark_number))]++;
    } else if (event->mark == HSK_MARK_REGION_BEGIN) {
        const struct mark_occurrence *occurrence = mark_table_occurrence(table, event->mark_number);
        assert_non_null(occurrence);
        uint32_t name = made_name(table, occurrence->name);
        assert_true(follower->open_count < HS_COUNT_OF(follower->open));
        follower->open[follower->open_count++] =
            (struct open_now){event->mark_number, name, event->thread, occurrence->flags & HSK_REGION_ALL_THREADS};
        follower->found.regions[name].occurrences++;
        follower->found.regions[name].open++;
    } else if (event->mark == HSK_MARK_REGION_END) {
        unsigned i = 0;
        while (i < follower->open_count && follower->open[i].occurrence != event->mark_number)
            i++;
        assert_true(i < follower->open_count);
        follower->found.regions[follower->open[i].name].open--;
        follower->open[i] = follower->open[--follower->open_count];
    }
}

static void follow(void *context, const struct event *event)
{
    struct follower *follower = context;
    if (event->kind == HSK_OP_MARK)
        follow_mark(follower, event);
    if (event->kind != HSK_OP_ALLOC || event->domain == HSK_DOMAIN_ARENA)
        return;
    for (unsigned i = 0; i < follower->open_count; i++)
        if (follower->open[i].all_threads || follower->open[i].thread == event->thread) {
            follower->found.regions[follower->open[i].name].allocations++;
            follower->found.regions[follower->open[i].name].allocated_bytes += event->size;
        }
}

static void test_synthetic(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct made_trace_plan plan = {.events = 20000,
                                       .seed = seed,
                                       .threads = (uint32_t)seed,
                                       .nodes = 20,
                                       .flush_ops = seed % 2 ? 0 : 700,
                                       .event_ns = 1000,
                                       .marks = true};
        struct made_trace_truth truth;
        struct trace_reader *reader;
        struct error error = {0};
        struct mark_table table;
        struct follower follower = {.table = &table};
        assert_int_equal(made_trace_synthetic(temporary_file, &plan, &truth), 0);
        assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
        assert_int_equal(mark_table_load(&table, reader, &error), 0);
        assert_true(table.any);
        each_event(reader, false, follow, &follower);
        assert_true(trace_reader_complete(reader));
        assert_memory_equal(follower.found.marked, truth.marked, sizeof truth.marked);
        assert_memory_equal(follower.found.regions, truth.regions, sizeof truth.regions);
        mark_table_free(&table);
        trace_reader_close(reader);
    }
}

static void test_records(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {2, 1}, cut[] = {0, 1, 5, 'a'}, half[] = {1, 1};
    struct mark_record record;
    struct cursor cursor = {.at = unknown, .end = unknown + sizeof unknown};
    assert_false(mark_records_next(&cursor, &record));
    assert_true(cursor.failed);
    cursor = (struct cursor){.at = cut, .end = cut + sizeof cut};
    assert_false(mark_records_next(&cursor, &record));
    assert_true(cursor.failed);
    cursor = (struct cursor){.at = half, .end = half + sizeof half};
    assert_false(mark_records_next(&cursor, &record));
    assert_true(cursor.failed);
    cursor = (struct cursor){.at = cut, .end = cut};
    assert_false(mark_records_next(&cursor, &record));
    assert_false(cursor.failed);
    assert_string_equal(mark_kind_name(HSK_MARK_REGION_END), "region-end");
    assert_string_equal(mark_kind_name(7), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_regions),
        cmocka_unit_test(test_too_many_regions),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test_setup_teardown(test_synthetic, temporary_file_make, temporary_file_remove),
        cmocka_unit_test(test_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
