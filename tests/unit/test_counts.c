/* Counts and their balance: histories as a recorder writes them, and who is left with what was never undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/count_balance.h"
#include "model/counts.h"
#include "record/encode.h"
#include "record/trace_writer.h"
#include "temporary_file.h"
#include "trace/trace_info.h"

#define INTERPRETER "/usr/lib/libpython3.12.so.1.0"
#define EXTENSION "/app/ext.so"

/* A trace in the making: stacks of told frames (their numbers are their nodes), counts, and marks. */
struct maker {
    struct trace_writer *writer;
    struct encoder encoder;
    struct buf nodes, places, codes, watches;
    uint32_t node, place, code;
};

static void begin(struct maker *m)
{
    struct error error = {0};
    *m = (struct maker){0};
    assert_int_equal(temporary_file_make(NULL), 0);
    assert_int_equal(trace_writer_open(&m->writer, temporary_file, true, &error), 0);
    assert_int_equal(encoder_init(&m->encoder, 0, 0), 0);
    buf_append_varint(&m->nodes, 1);
}

/* A native frame on top of `parent`; its node. */
static uint32_t native(struct maker *m, uint32_t parent, const char *function, uint32_t line, const char *module)
{
    buf_append_varint(&m->places, ++m->place);
    buf_append_varint(&m->places, line);
    buf_append_string(&m->places, "source.c", 8);
    buf_append_string(&m->places, function, strlen(function));
    buf_append_string(&m->places, module, strlen(module));
    uint32_t node = ++m->node;
    buf_append_varint(&m->nodes, HSK_NODE_SOURCE);
    buf_append_varint(&m->nodes, parent ? node - parent : 0);
    buf_append_varint(&m->nodes, m->place);
    return node;
}

/* A Python frame; each line is a code object of its own, whose first line it is. */
static uint32_t python(struct maker *m, uint32_t parent, const char *function, uint32_t line)
{
    buf_append_varint(&m->codes, ++m->code);
    buf_append_varint(&m->codes, line);
    buf_append_varint(&m->codes, 0);
    buf_append_varint(&m->codes, 12);
    buf_append_varint(&m->codes, 1);
    buf_append_string(&m->codes, "app.py", 6);
    buf_append_string(&m->codes, function, strlen(function));
    buf_append_string(&m->codes, "", 0);
    uint32_t node = ++m->node;
    buf_append_varint(&m->nodes, HSK_NODE_PYTHON);
    buf_append_varint(&m->nodes, parent ? node - parent : 0);
    buf_append_signed(&m->nodes, 1); /* the code after the one before */
    buf_append_varint(&m->nodes, 0);
    return node;
}

static void watch(struct maker *m, uint32_t number, uint64_t count, uint64_t ordinal, uint32_t birth)
{
    const uint64_t numbers[] = {0,           number, 1,     0x1000 * (uint64_t)number,         4, count,
                                ordinal + 1, 0,      birth, HSK_WATCH_PYTHON | HSK_WATCH_BORN, 0};
    for (size_t i = 0; i < HS_COUNT_OF(numbers); i++)
        buf_append_varint(&m->watches, numbers[i]);
}

static void end(struct maker *m, struct counts *counts, struct stacks **stacks)
{
    struct error error = {0};
    struct trace_reader *reader;
    assert_int_equal(trace_writer_buf(m->writer, HSK_CHUNK_PLACES, &m->places, 0, 0, &error), 0);
    assert_int_equal(trace_writer_buf(m->writer, HSK_CHUNK_CODES, &m->codes, 0, 0, &error), 0);
    assert_int_equal(trace_writer_buf(m->writer, HSK_CHUNK_NODES, &m->nodes, 0, 0, &error), 0);
    assert_int_equal(trace_writer_buf(m->writer, HSK_CHUNK_WATCHES, &m->watches, 0, 0, &error), 0);
    assert_int_equal(encoder_flush(&m->encoder, m->writer, &error), 0);
    assert_int_equal(trace_writer_finish(m->writer, &error), 0);
    encoder_destroy(&m->encoder);
    buf_free(&m->places);
    buf_free(&m->codes);
    buf_free(&m->nodes);
    buf_free(&m->watches);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(temporary_file_remove(NULL), 0);
    assert_int_equal(counts_load(counts, reader, &error), 0);
    assert_int_equal(stacks_load(stacks, reader, &error), 0);
    assert_int_equal(reader->problem_count, 1); /* no END */
    trace_reader_close(reader);
}

/* The sites that are left with something, as "function:line net" in their order. */
static void expect_left(const struct counts *counts, struct stacks *stacks, const char *const *expected, size_t count)
{
    struct count_balance balance;
    char text[256];
    size_t found = 0;
    balance_begin(&balance, stacks);
    for (size_t i = 0; i < counts->object_count; i++)
        if (!counts->objects[i].shadowed)
            balance_add(&balance, counts, &counts->objects[i]);
    assert_true(balance_finish(&balance));
    for (size_t i = 0; i < balance.site_count; i++) {
        const struct balance_site *site = &balance.sites[i];
        if (site->net == 0)
            continue;
        struct frame frame = stacks_frame(stacks, site->stack);
        snprintf(text, sizeof text, "%.*s:%u %+d", (int)frame.function.length, frame.function.bytes, frame.line,
                 (int)site->net);
        assert_true(found < count);
        assert_string_equal(text, expected[found++]);
    }
    assert_int_equal(found, count);
    balance_free(&balance);
}

#define LEFT(...)                                                                                                      \
    do {                                                                                                               \
        static const char *const left[] = {__VA_ARGS__};                                                               \
        expect_left(&counts, stacks, left, HS_COUNT_OF(left));                                                         \
        counts_free(&counts);                                                                                          \
        stacks_free(stacks);                                                                                           \
    } while (0)

/* A function that borrows, one that forgets its Py_DECREF, and the frame that lets go: seven objects, one leaks twice.
 */
static void test_missing_decref(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t main_ = python(&m, 0, "<module>", 3);
    uint32_t born = python(&m, main_, "handle", 10), load = python(&m, main_, "handle", 11);
    uint32_t call = python(&m, main_, "handle", 12), drop = python(&m, main_, "handle", 13);
    uint32_t borrow_up = native(&m, call, "borrow", 50, EXTENSION),
             borrow_down = native(&m, call, "borrow", 55, EXTENSION);
    uint32_t leak = native(&m, call, "forget", 60, EXTENSION);
    uint32_t counting = native(&m, leak, "Py_INCREF", 700, EXTENSION);
    for (uint32_t object = 1; object <= 7; object++) {
        uint32_t count = 1;
        watch(&m, object, count, object - 1, born);
        encoder_alloc(&m.encoder, 0x1000 * object, 64, born, HSK_DOMAIN_PY_OBJECT, false);
        encoder_watch(&m.encoder, object, ++count, load);
        encoder_watch(&m.encoder, object, ++count, borrow_up);
        if (object % 2)
            encoder_watch(&m.encoder, object, ++count, counting);
        if (object == 7)
            encoder_watch(&m.encoder, object, ++count, counting);
        encoder_watch(&m.encoder, object, --count, borrow_down);
        encoder_watch(&m.encoder, object, --count, call);
        encoder_watch(&m.encoder, object, --count, drop);
    }
    end(&m, &counts, &stacks);
    assert_int_equal(counts.object_count, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(counts.objects[i].count, i == 6 ? 2 : i % 2 == 0);
        assert_int_equal(counts.objects[i].dead, i % 2);
    }
    LEFT("forget:60 +5");
}

/* PyDict_SetItem takes a reference of its own: the new object's first one is the creator's to give back. */
static void test_dict_takes_its_own(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t call = python(&m, 0, "handle", 5), later = python(&m, 0, "handle", 9);
    uint32_t fill = native(&m, call, "fill", 20, EXTENSION), put = native(&m, call, "fill", 21, EXTENSION);
    uint32_t born = native(&m, fill, "PyList_New", 1, INTERPRETER);
    uint32_t insert = native(&m, native(&m, put, "PyDict_SetItemString", 2, INTERPRETER), "insertdict", 3, INTERPRETER);
    uint32_t gone = native(&m, later, "dict_dealloc", 4, INTERPRETER);
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, call, HSK_DOMAIN_PY_OBJECT, false);
    encoder_watch(&m.encoder, 1, 2, insert);
    encoder_watch(&m.encoder, 1, 1, gone);
    end(&m, &counts, &stacks);
    LEFT("PyList_New:1 +1");
}

/* What a list steals it gives back; a getter's new reference is the caller's; threads pass references on. */
static void test_what_is_right(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), drop = python(&m, 0, "work", 9);
    uint32_t at = python(&m, 0, "work", 5), other = python(&m, 0, "thread", 30);
    uint32_t steal = native(&m, at, "steal", 70, EXTENSION), freed = native(&m, drop, "list_dealloc", 5, INTERPRETER);
    uint32_t get = native(&m, at, "get", 80, EXTENSION);
    uint32_t push = native(&m, at, "queue_push", 90, EXTENSION), pop = native(&m, other, "queue_pop", 95, EXTENSION);
    uint32_t count = 1;
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_watch(&m.encoder, 1, ++count, steal);
    for (unsigned i = 0; i < 50; i++) {
        encoder_watch(&m.encoder, 1, ++count, get);
        encoder_watch(&m.encoder, 1, --count, at);
    }
    encoder_watch(&m.encoder, 1, ++count, push);
    encoder_thread(&m.encoder, 1);
    encoder_watch(&m.encoder, 1, --count, pop);
    encoder_thread(&m.encoder, 0);
    encoder_watch(&m.encoder, 1, --count, freed);
    encoder_watch(&m.encoder, 1, --count, drop);
    end(&m, &counts, &stacks);
    assert_true(counts.objects[0].dead);
    counts_free(&counts);
    stacks_free(stacks);

    /* the same, but the getter is called once more, and nobody drops that; the frame lets go all the same */
    begin(&m);
    born = python(&m, 0, "work", 1), drop = python(&m, 0, "work", 9), at = python(&m, 0, "work", 5);
    get = native(&m, at, "get", 80, EXTENSION);
    uint32_t lost = native(&m, native(&m, at, "use", 85, EXTENSION), "get", 80, EXTENSION);
    count = 1;
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    for (unsigned i = 0; i < 50; i++) {
        encoder_watch(&m.encoder, 1, ++count, get);
        if (i == 25)
            encoder_watch(&m.encoder, 1, ++count, lost);
        encoder_watch(&m.encoder, 1, --count, at);
    }
    encoder_watch(&m.encoder, 1, --count, drop);
    end(&m, &counts, &stacks);
    LEFT("get:80 +1");
}

/* A reference that is dropped twice: what undoes nothing is told of who did it; and teardown does not count. */
static void test_ends(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), twice = native(&m, python(&m, 0, "work", 2), "twice", 40, EXTENSION);
    watch(&m, 1, 1, 0, born);
    watch(&m, 2, 1, 1, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_alloc(&m.encoder, 0x2000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_watch(&m.encoder, 1, 0, twice);
    encoder_mark(&m.encoder, HSK_MARK_FINALIZE, 0);
    encoder_watch(&m.encoder, 2, 0, twice);
    end(&m, &counts, &stacks);
    assert_true(counts.objects[0].dead);
    assert_false(counts.objects[1].dead);
    assert_int_equal(counts.objects[1].count, 1);
    assert_int_equal(counts.objects[1].kept, 1);
    assert_int_equal(counts.objects[1].length, 2);
    LEFT("work:1 +1");
}

/* Others than watches: by block, a recycled block is another object; loose ones by address until they die. */
static void test_told(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), place = native(&m, born, "keep", 5, EXTENSION);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_count(&m.encoder, HSK_COUNT_INSTRUMENTED, 0, 2, false, place);
    encoder_count(&m.encoder, HSK_COUNT_INSTRUMENTED, 0, 1, true, place);
    encoder_object(&m.encoder, 0, 0, born, false);
    encoder_count(&m.encoder, HSK_COUNT_INSTRUMENTED, 0, 2, false, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_GOBJECT, 0x9990, 2, false, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_GOBJECT, 0x9990, 1, true, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_GOBJECT, 0x9990, 0, true, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_GOBJECT, 0x9990, 3, false, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_PAIR, 0x7770, 0, false, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_PAIR, 0x7770, 0, false, 0, place);
    encoder_count_loose(&m.encoder, HSK_COUNT_PAIR, 0x7770, 0, true, 0, place);
    end(&m, &counts, &stacks);
    assert_int_equal(counts.object_count, 5);
    static const struct {
        uint64_t ordinal, begin, count;
        bool dead;
    } expected[] = {{0, 0, 1, true},
                    {0, 0, 2, false},
                    {COUNTED_NO_ORDINAL, 1, 0, true},
                    {COUNTED_NO_ORDINAL, 2, 3, false},
                    {COUNTED_NO_ORDINAL, 0, 1, false}};
    for (size_t i = 0; i < HS_COUNT_OF(expected); i++) {
        assert_int_equal(counts.objects[i].ordinal, expected[i].ordinal);
        assert_int_equal(counts.objects[i].begin_count, expected[i].begin);
        assert_int_equal(counts.objects[i].count, expected[i].count);
        assert_int_equal(counts.objects[i].dead, expected[i].dead);
    }
    LEFT("keep:5 +2"); /* 1 + 1 + 1, and a decrement of what had been there before; of births nothing is known */
}

/* Millions of references to one object, of which one stays: read in a second, not in minutes. */
static void test_many_changes(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    struct error error = {0};
    uint32_t half = 1000000, count = 1;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), take = native(&m, born, "take", 5, EXTENSION);
    uint32_t lose = native(&m, born, "lose", 6, EXTENSION), give = native(&m, born, "take", 9, EXTENSION);
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    for (uint32_t i = 0; i < 2 * half; i++) {
        if (i == half / 2)
            encoder_watch(&m.encoder, 1, ++count, lose);
        count += i < half ? 1 : -1;
        encoder_watch(&m.encoder, 1, count, i < half ? take : give);
        if (i % 4096 == 0)
            assert_int_equal(encoder_flush(&m.encoder, m.writer, &error), 0);
    }
    end(&m, &counts, &stacks);
    assert_int_equal(counts.objects[0].count, 2);
    LEFT("lose:6 +1", "work:1 +1");
}

/* An extension's function is one site, whichever way the interpreter calls it. */
static void test_specialized_call(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), call = python(&m, 0, "work", 5);
    uint32_t generic = native(&m, call, "PyObject_Vectorcall", 327, INTERPRETER);
    uint32_t first = native(&m, generic, "hold", 7, EXTENSION), later = native(&m, call, "hold", 7, EXTENSION);
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_watch(&m.encoder, 1, 2, first);
    encoder_watch(&m.encoder, 1, 3, later);
    end(&m, &counts, &stacks);
    LEFT("hold:7 +2", "work:1 +1");
}

/* What both a watch and others tell is believed once. */
static void test_shadow(void **state)
{
    (void)state;
    struct maker m;
    struct counts counts;
    struct stacks *stacks;
    begin(&m);
    uint32_t born = python(&m, 0, "work", 1), place = native(&m, born, "keep", 5, EXTENSION);
    watch(&m, 1, 1, 0, born);
    encoder_alloc(&m.encoder, 0x1000, 64, born, HSK_DOMAIN_PY_OBJECT, false);
    encoder_watch(&m.encoder, 1, 2, place);
    encoder_count(&m.encoder, HSK_COUNT_INSTRUMENTED, 0, 2, false, place);
    end(&m, &counts, &stacks);
    assert_int_equal(counts.object_count, 2);
    assert_true(counts.objects[1].shadowed);
    LEFT("keep:5 +1", "work:1 +1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_decref), cmocka_unit_test(test_dict_takes_its_own),
        cmocka_unit_test(test_what_is_right),  cmocka_unit_test(test_ends),
        cmocka_unit_test(test_told),           cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_many_changes),   cmocka_unit_test(test_specialized_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
