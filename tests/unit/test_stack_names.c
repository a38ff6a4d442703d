/* test_stack_names.c - names that a trace does not have: which frames the source is asked for, and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/stacks.h"
#include "record/trace_writer.h"

#define EPOCH (INT64_C(1) << 48)
#define PLACE(n) ((uint64_t)EPOCH + 0x500000 + 0x10 * (n))
#define CALLS 8

static char path[] = "/tmp/heapsake-test-XXXXXX";

/* Names everything "called 1", "called 2" ...; remembers what it was asked for. */
struct fake {
    struct buf found[CALLS];
    uint64_t frames[CALLS][16];
    size_t counts[CALLS], calls;
    int answer;
};

static int find(void *context, const uint64_t *frames, size_t count)
{
    struct fake *fake = context;
    char name[16];
    assert_true(fake->calls < CALLS && count <= 16);
    memcpy(fake->frames[fake->calls], frames, count * sizeof *frames);
    fake->counts[fake->calls] = count;
    struct buf *payload = &fake->found[fake->calls++];
    snprintf(name, sizeof name, "called %zu", fake->calls);
    buf_append_varint(payload, 1);
    buf_append_string(payload, name, strlen(name));
    for (size_t i = 0; i < count; i++) {
        buf_append_varint(payload, frames[i]);
        buf_append_varint(payload, 0); /* no module */
        buf_append_varint(payload, 0);
        buf_append_varint(payload, 1); /* a function, with the name alone */
        buf_append_varint(payload, 1);
        buf_append_varint(payload, 0);
        buf_append_varint(payload, 0);
    }
    return fake->answer;
}

static const struct buf *found(void *context, size_t number)
{
    const struct fake *fake = context;
    return number < fake->calls ? &fake->found[number] : NULL;
}

static void forget(struct fake *fake)
{
    for (size_t i = 0; i < fake->calls; i++)
        buf_free(&fake->found[i]);
    *fake = (struct fake){0};
}

static bool asked(const struct fake *fake, size_t call, uint64_t frame)
{
    for (size_t i = 0; i < fake->counts[call]; i++)
        if (fake->frames[call][i] == frame)
            return true;
    return false;
}

/* Nodes 1 .. 5: 2 is called by 1, 4 by 3, 5 by nobody. 1 has a symbol in the trace, 5 is of the same place as 2. */
static struct trace_reader *open_trace(void)
{
    static const struct {
        uint64_t up, place;
    } nodes[] = {{0, 1}, {1, 2}, {0, 3}, {1, 4}, {0, 2}};
    struct error error = {0};
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct buf raw = BUF_INIT;
    uint64_t last = 0;
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(trace_writer_open(&writer, path, true, &error), 0);
    buf_append_varint(&raw, 1);
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        buf_append_varint(&raw, HSK_NODE_NATIVE);
        buf_append_varint(&raw, nodes[i].up);
        buf_append_signed(&raw, (int64_t)(PLACE(nodes[i].place) - last));
        last = PLACE(nodes[i].place);
    }
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NODES, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    buf_append_varint(&raw, 1);
    buf_append_string(&raw, "own", 3);
    buf_append_varint(&raw, PLACE(1));
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 1);
    buf_append_varint(&raw, 1);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SYMBOLS, &raw, 0, 0, &error), 0);
    buf_free(&raw);
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    unlink(path);
    return reader;
}

static struct stacks *load(struct trace_reader *reader, struct fake *fake)
{
    struct error error = {0};
    struct stacks *stacks;
    assert_int_equal(stacks_load(&stacks, reader, &error), 0);
    stacks_set_name_source(stacks, (struct name_source){.context = fake, .find = find, .found = found});
    return stacks;
}

static void check_name(struct stacks *stacks, uint32_t node, const char *name)
{
    struct frame frame = stacks_frame(stacks, stacks_of_node(stacks, node));
    assert_string_equal(frame.function.bytes, name);
}

static void test_expected_alone(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct trace_reader *reader = open_trace();
    struct stacks *stacks = load(reader, &fake);
    stacks_expect(stacks, 2);
    stacks_expect(stacks, 1);
    assert_int_equal(fake.calls, 0);
    check_name(stacks, 1, "own"); /* has a name: nobody is asked */
    assert_int_equal(fake.calls, 0);
    check_name(stacks, 2, "called 1");
    assert_int_equal(fake.calls, 1);
    assert_int_equal(fake.counts[0], 1);
    assert_true(asked(&fake, 0, PLACE(2)));
    check_name(stacks, 5, "called 1"); /* the same place */
    assert_int_equal(fake.calls, 1);
    assert_false(stacks_failed(stacks));
    stacks_free(stacks);
    trace_reader_close(reader);
    forget(&fake);
}

static void test_callers_too(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct trace_reader *reader = open_trace();
    struct stacks *stacks = load(reader, &fake);
    stacks_expect(stacks, 4);
    stacks_expect(stacks, 5000);
    check_name(stacks, 3, "called 1");
    check_name(stacks, 4, "called 1");
    assert_int_equal(fake.calls, 1);
    assert_true(asked(&fake, 0, PLACE(3)) && asked(&fake, 0, PLACE(4)) && !asked(&fake, 0, PLACE(2)));
    stacks_free(stacks);
    trace_reader_close(reader);
    forget(&fake);
}

/* What was not expected makes all of them wanted, once. */
static void test_unexpected(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct trace_reader *reader = open_trace();
    struct stacks *stacks = load(reader, &fake);
    check_name(stacks, 3, "called 1");
    check_name(stacks, 4, "called 1");
    check_name(stacks, 2, "called 1");
    assert_int_equal(fake.calls, 1);
    assert_false(asked(&fake, 0, PLACE(1)));
    stacks_free(stacks);
    trace_reader_close(reader);
    forget(&fake);
}

/* What was found for others is taken before anything is looked for. */
static void test_found_before(void **state)
{
    (void)state;
    struct fake fake = {0};
    struct trace_reader *reader = open_trace();
    struct stacks *first = load(reader, &fake);
    stacks_expect(first, 4);
    check_name(first, 4, "called 1");
    stacks_free(first);
    struct stacks *stacks = load(reader, &fake);
    check_name(stacks, 4, "called 1");
    check_name(stacks, 3, "called 1");
    assert_int_equal(fake.calls, 1);
    stacks_expect(stacks, 2);
    stacks_expect(stacks, 5);
    check_name(stacks, 2, "called 2");
    assert_int_equal(fake.counts[1], 2); /* given twice: nodes 2 and 5 are of one place */
    stacks_free(stacks);
    trace_reader_close(reader);
    forget(&fake);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    struct fake fake = {.answer = -12};
    struct trace_reader *reader = open_trace();
    struct stacks *stacks = load(reader, &fake);
    stacks_of_node(stacks, 3);
    assert_true(stacks_failed(stacks));
    stacks_free(stacks);
    trace_reader_close(reader);
    forget(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_alone), cmocka_unit_test(test_callers_too),   cmocka_unit_test(test_unexpected),
        cmocka_unit_test(test_found_before),   cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
