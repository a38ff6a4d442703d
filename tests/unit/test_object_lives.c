/* test_object_lives.c - births and deaths against what make_trace.c counted, and the cases that it cannot make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "make_trace.h"
#include "model/object_lives.h"
#include "report/report.h"
#include "report/type_totals.h"
#include "temporary_file.h"

static const struct type_total *find_total(const struct type_totals *totals, const char *name)
{
    for (size_t i = 0; i < totals->count; i++)
        if (strcmp(totals->list[i].name, name) == 0)
            return &totals->list[i];
    return NULL;
}

static void check_plan(const struct made_trace_plan *plan)
{
    struct made_trace_truth truth;
    struct report report;
    struct type_totals totals;
    struct error error = {0};
    assert_int_equal(made_trace_synthetic(temporary_file, plan, &truth), 0);
    assert_int_equal(report_open(&report, temporary_file), EXIT_DONE);
    assert_int_equal(report_load_objects(&report), EXIT_DONE);
    assert_int_equal(report_replay(&report, false), EXIT_DONE);
    assert_true(trace_reader_complete(report.reader));
    assert_int_equal(report.objects->lost, 0);
    assert_int_equal(report.objects->told, truth.births);
    assert_int_equal(type_totals_get(&totals, &report, &error), 0);
    assert_true(totals.births);
    for (uint32_t type = 1; type <= MADE_TYPES; type++) {
        uint64_t created = 0, died = 0;
        for (uint32_t same = 1; same <= MADE_TYPES; same++)
            if (strcmp(made_type_names[same], made_type_names[type]) == 0) {
                created += truth.created[same];
                died += truth.died[same];
            }
        const struct type_total *total = find_total(&totals, made_type_names[type]);
        assert_non_null(total);
        assert_true(created > 0);
        assert_int_equal(total->created, created);
        assert_int_equal(total->died, died);
        assert_int_equal(total->live, created - died);
        assert_true(total->live == 0 || total->live_bytes > 0);
    }
    assert_int_equal(totals.count, MADE_TYPES - 1);
    type_totals_free(&totals);
    report_close(&report);
}

static void test_synthetic(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        check_plan(&(struct made_trace_plan){.events = seed * 20000,
                                             .seed = seed,
                                             .threads = (uint32_t)(seed * seed),
                                             .nodes = 100,
                                             .inherited = seed % 2 ? 0 : 900,
                                             .flush_ops = seed % 3 ? 0 : 1000,
                                             .event_ns = 777,
                                             .finalize = seed > 2,
                                             .objects = true});
}

/* A trace without births says what it is. */
static void test_absent(void **state)
{
    (void)state;
    struct made_trace_truth truth;
    struct report report;
    struct type_totals totals;
    struct error error = {0};
    struct made_trace_plan plan = {.events = 1000, .seed = 1, .threads = 1, .nodes = 20, .event_ns = 1000};
    assert_int_equal(made_trace_synthetic(temporary_file, &plan, &truth), 0);
    assert_int_equal(report_open(&report, temporary_file), EXIT_DONE);
    assert_int_equal(report_load_objects(&report), EXIT_DONE);
    assert_int_equal(report_replay(&report, false), EXIT_DONE);
    assert_int_equal(type_totals_get(&totals, &report, &error), -ENODATA);
    assert_non_null(strstr(error.text, "Python 3.12.1 does not tell when objects are born"));
    report_close(&report);
}

/* ---- by hand ---- */

struct feed {
    struct lifetimes *lifetimes;
    struct object_lives lives;
    struct type_names names; /* of types 1 and 2, and 3 called as 2 */
    uint64_t next, time_ns;
};

static struct feed *feed_new(void)
{
    struct feed *feed = calloc(1, sizeof *feed);
    feed->lifetimes = lifetimes_new();
    uint32_t one = intern_string(&feed->names.names, "one"), two = intern_string(&feed->names.names, "two");
    map64_put(&feed->names.by_type, 1, one);
    map64_put(&feed->names.by_type, 2, two);
    map64_put(&feed->names.by_type, 3, two);
    assert_int_equal(object_lives_init(&feed->lives, &feed->names), 0);
    return feed;
}

static void feed_free(struct feed *feed)
{
    assert_false(feed->lives.failed);
    object_lives_free(&feed->lives);
    lifetimes_free(feed->lifetimes);
    type_names_free(&feed->names);
    free(feed);
}

static void give(struct feed *feed, struct event event)
{
    event.time_ns = feed->time_ns;
    object_lives_event(&feed->lives, feed->lifetimes, &event);
    lifetimes_event(feed->lifetimes, &event);
}

static uint64_t allocate(struct feed *feed, uint64_t size, uint32_t thread, bool is_realloc)
{
    give(feed, (struct event){.kind = HSK_OP_ALLOC,
                              .domain = HSK_DOMAIN_PY_OBJECT,
                              .ordinal = feed->next,
                              .size = size,
                              .thread = thread,
                              .is_realloc = is_realloc});
    return feed->next++;
}

static void end(struct feed *feed, uint64_t ordinal, uint32_t thread, bool is_realloc)
{
    give(feed, (struct event){.kind = HSK_OP_FREE, .ordinal = ordinal, .thread = thread, .is_realloc = is_realloc});
}

static void birth(struct feed *feed, uint64_t ordinal, uint32_t type)
{
    give(feed, (struct event){.kind = HSK_OP_OBJECT, .ordinal = ordinal, .type = type, .same_stack = true});
}

static void death(struct feed *feed, uint64_t ordinal)
{
    give(feed, (struct event){.kind = HSK_OP_OBJECT_END, .ordinal = ordinal});
}

#define EXPECT(feed, type, n_created, n_died, n_bytes)                                                                 \
    do {                                                                                                               \
        const struct object_type *t = &(feed)->lives.types[type_names_find(&(feed)->names, type)];                     \
        assert_int_equal(t->created, n_created);                                                                       \
        assert_int_equal(t->died, n_died);                                                                             \
        assert_int_equal(t->live, t->created - t->died);                                                               \
        assert_int_equal(t->live_bytes, n_bytes);                                                                      \
    } while (0)

static void test_deaths(void **state)
{
    (void)state;
    struct feed *feed = feed_new();
    uint64_t block = allocate(feed, 48, 0, false);
    birth(feed, block, 1);
    EXPECT(feed, 1, 1, 0, 48);
    death(feed, block);
    death(feed, block); /* told twice: died once */
    EXPECT(feed, 1, 1, 1, 0);
    birth(feed, block, 2); /* recycled */
    assert_int_equal(object_lives_find(&feed->lives, block)->node, OBJECT_LIFE_SAME);
    birth(feed, block, 1); /* again, and nobody had told the death */
    EXPECT(feed, 2, 1, 1, 0);
    EXPECT(feed, 1, 2, 1, 48);
    end(feed, block, 0, false);
    EXPECT(feed, 1, 2, 2, 0);
    assert_null(object_lives_find(&feed->lives, block));
    birth(feed, block, 1); /* in a block that is gone, and in ones that never were */
    birth(feed, 1000, 1);
    birth(feed, UINT64_MAX, 1);
    death(feed, UINT64_MAX);
    EXPECT(feed, 1, 2, 2, 0);
    assert_int_equal(feed->lives.lost, 4);
    assert_int_equal(feed->lives.told, 6);
    uint64_t unknown = allocate(feed, 16, 0, false);
    birth(feed, unknown, 77);
    EXPECT(feed, 0, 1, 0, 16);
    feed_free(feed);
}

static void test_reallocs(void **state)
{
    (void)state;
    struct feed *feed = feed_new();
    uint64_t first = allocate(feed, 40, 1, false);
    birth(feed, first, 2);
    end(feed, first, 1, true);
    EXPECT(feed, 2, 1, 0, 40);
    allocate(feed, 8, 2, false); /* of another thread, in between */
    uint64_t second = allocate(feed, 80, 1, true);
    EXPECT(feed, 2, 1, 0, 80);
    birth(feed, second, 3); /* the same once more, by a type of that name */
    EXPECT(feed, 2, 1, 0, 80);
    birth(feed, second, 2); /* but not a second time */
    EXPECT(feed, 2, 2, 1, 80);

    uint64_t third = allocate(feed, 24, 1, false);
    birth(feed, third, 1);
    end(feed, third, 1, true);
    uint64_t fourth = allocate(feed, 96, 1, true);
    birth(feed, fourth, 2); /* of another type: the first has died */
    EXPECT(feed, 1, 1, 1, 0);
    EXPECT(feed, 2, 3, 1, 176);

    uint64_t fifth = allocate(feed, 24, 1, false);
    birth(feed, fifth, 1);
    end(feed, fifth, 1, true);
    allocate(feed, 24, 1, false); /* the other half is missing */
    EXPECT(feed, 1, 2, 2, 0);

    end(feed, second, 1, true); /* moved, then dead before it is told again */
    uint64_t sixth = allocate(feed, 160, 1, true);
    death(feed, sixth);
    birth(feed, sixth, 2);
    EXPECT(feed, 2, 4, 2, 256);
    feed_free(feed);
}

static void test_median(void **state)
{
    (void)state;
    struct feed *feed = feed_new();
    static const uint64_t lives[] = {0, 0, 1000, 1100, 1200, 5000, 900000};
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        feed->time_ns = 1000000 * i;
        uint64_t block = allocate(feed, 32, 0, false);
        birth(feed, block, 1);
        feed->time_ns += lives[i];
        end(feed, block, 0, false);
    }
    uint64_t median = object_type_median(&feed->lives.types[type_names_find(&feed->names, 1)]);
    assert_true(median >= 1024 && median <= 2047); /* the power of two that 1100 lies in */
    feed_free(feed);
}

/* Memory follows the live objects: many that die one after the other, at ordinals that would meet in a plain table. */
static void test_many(void **state)
{
    (void)state;
    struct feed *feed = feed_new();
    enum { WINDOW = 1000, ALL = 300000 };
    static uint64_t window[WINDOW];
    for (uint64_t i = 0; i < ALL; i++) {
        if (i >= WINDOW)
            end(feed, window[i % WINDOW], 0, false);
        window[i % WINDOW] = allocate(feed, 16, 0, false);
        birth(feed, window[i % WINDOW], 1);
        if (i % 100 == 0)
            feed->next += 1024;
    }
    EXPECT(feed, 1, ALL, ALL - WINDOW, 16 * WINDOW);
    assert_true(feed->lives.mask < 8 * WINDOW);
    for (unsigned i = 0; i < WINDOW; i++)
        assert_int_equal(object_lives_find(&feed->lives, window[i])->ordinal, window[i]);
    feed_free(feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synthetic), cmocka_unit_test(test_absent), cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_reallocs),  cmocka_unit_test(test_median), cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
