/* test_reports.c - JSON that jansson accepts whatever the names are, units, escapes, and stacks with gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/stacks.h"
#include "record/trace_writer.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "temporary_file.h"
#include "trace/trace_reader.h"

static void test_json(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length;
    for (int compact = 0; compact < 2; compact++) {
        FILE *memory = open_memstream(&text, &length);
        struct json json = {.out = memory, .compact = compact};
        open_object(&json, NULL);
        open_array(&json, "empty");
        close_array(&json);
        open_object(&json, "numbers");
        put_unsigned(&json, "large", INT64_MAX);
        put_signed(&json, "negative", -5);
        put_seconds(&json, "seconds", 1000000001);
        put_number(&json, "nothing", 0.0 / 0.0);
        put_address(&json, "address", 0x7f0000001000);
        close_object(&json);
        open_array(&json, "list");
        put_bool(&json, NULL, true);
        put_null(&json, NULL);
        put_string(&json, NULL, NULL);
        close_array(&json);
        close_object(&json);
        put_end(&json);
        fclose(memory);
        if (compact)
            assert_ptr_equal(strchr(text, '\n'), text + length - 1);
        json_t *root = json_loads(text, 0, NULL);
        assert_non_null(root);
        assert_int_equal(json_array_size(json_object_get(root, "empty")), 0);
        json_t *numbers = json_object_get(root, "numbers");
        assert_int_equal(json_integer_value(json_object_get(numbers, "large")), INT64_MAX);
        assert_int_equal(json_integer_value(json_object_get(numbers, "negative")), -5);
        assert_true(json_real_value(json_object_get(numbers, "seconds")) == 1.000000001);
        assert_true(json_is_null(json_object_get(numbers, "nothing")));
        assert_string_equal(json_string_value(json_object_get(numbers, "address")), "0x7f0000001000");
        assert_int_equal(json_array_size(json_object_get(root, "list")), 3);
        json_decref(root);
        free(text);
    }
}

/* Every pair and many triples of bytes are valid JSON as a string, and valid UTF-8 is kept as it is. */
static void test_json_strings(void **state)
{
    (void)state;
    char bytes[5] = "";
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second += first < 0xe0 ? 1 : 7) {
            char *text = NULL;
            size_t length;
            FILE *memory = open_memstream(&text, &length);
            struct json json = {.out = memory, .compact = true};
            open_array(&json, NULL);
            for (size_t count = 1; count <= 4; count++) {
                bytes[0] = (char)first;
                bytes[1] = (char)second;
                bytes[2] = (char)(0x80 + first % 0x50);
                bytes[3] = (char)(0x80 + second % 0x50);
                put_bytes(&json, NULL, bytes, count);
            }
            close_array(&json);
            fclose(memory);
            json_error_t why;
            json_t *root = json_loads(text, JSON_ALLOW_NUL, &why);
            if (!root)
                fail_msg("%02x %02x: %s", first, second, why.text);
            json_decref(root);
            free(text);
        }
    }
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    struct json json = {.out = memory, .compact = true};
    put_string(&json, NULL, "a\"b\\c\n\x1b \xc3\xb6 \xe2\x82\xac \xf0\x9f\x98\x80 \xff");
    fclose(memory);
    assert_string_equal(text, "\"a\\\"b\\\\c\\u000a\\u001b \xc3\xb6 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbd\"");
    free(text);
}

static void test_units(void **state)
{
    (void)state;
    char text[OUT_NUMBER_SIZE];
    assert_string_equal(out_bytes(text, 0), "0 B");
    assert_string_equal(out_bytes(text, 1023), "1023 B");
    assert_string_equal(out_bytes(text, 1024), "1.00 KiB");
    assert_string_equal(out_bytes(text, 1536 * 1024), "1.50 MiB");
    assert_string_equal(out_bytes(text, 1048575), "1.00 MiB");
    assert_string_equal(out_bytes(text, UINT64_MAX), "16.0 EiB");
    assert_string_equal(out_count(text, 0), "0");
    assert_string_equal(out_count(text, 999), "999");
    assert_string_equal(out_count(text, 1000), "1,000");
    assert_string_equal(out_count(text, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(out_seconds(text, 0), "0 s");
    assert_string_equal(out_seconds(text, 999), "999 ns");
    assert_string_equal(out_seconds(text, 1500), "1.5 us");
    assert_string_equal(out_seconds(text, 12000000), "12 ms");
    assert_string_equal(out_seconds(text, 1234567890), "1.235 s");
    assert_string_equal(out_seconds(text, UINT64_C(123456789012)), "123.5 s");
}

static void test_untrusted(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    unsetenv("GITHUB_ACTIONS");
    static const char name[] = "a\x1b[31m\n\0\x7f\xc2\x9b \xc3\xb6\xff\xc3";
    out_untrusted(memory, name, sizeof name - 1);
    fclose(memory);
    assert_string_equal(text, "a\\x1b[31m\\x0a\\x00\\x7f\\xc2\\x9b \xc3\xb6\\xff\\xc3");
    free(text);
    struct text path = {"/usr/lib/libc.so.6", 18};
    assert_int_equal(out_base_name(path).length, 9);
    path = (struct text){"name", 4};
    assert_int_equal(out_base_name(path).length, 4);
    path = (struct text){"/", 1};
    assert_int_equal(out_base_name(path).length, 1);
}

/* Whatever a name is, and wherever it is printed, no line becomes a command to the runner of a workflow. */
static void test_workflow(void **state)
{
    (void)state;
    static const struct {
        const char *name, *shown;
    } names[] = {{"::error::x", "\\x3a:error::x"},
                 {" \t::x", " \\x09\\x3a:x"},
                 {"\xe2\x80\x83::x", "\xe2\x80\x83\\x3a:x"},
                 {"std::vector", "std::vector"},
                 {"a##[x]", "a\\x23#[x]"},
                 {"#[x]", "#[x]"},
                 {":", ":"},
                 {"::", "\\x3a:"}};
    char *text = NULL;
    size_t length;
    setenv("GITHUB_ACTIONS", "true", 1);
    for (size_t i = 0; i < HS_COUNT_OF(names); i++) {
        FILE *memory = open_memstream(&text, &length);
        out_untrusted(memory, names[i].name, strlen(names[i].name));
        fclose(memory);
        assert_string_equal(text, names[i].shown);
        free(text);
    }
    unsetenv("GITHUB_ACTIONS");
}

static void put_native(struct buf *raw, uint64_t up, int64_t delta)
{
    buf_append_varint(raw, HSK_NODE_NATIVE);
    buf_append_varint(raw, up);
    buf_append_signed(raw, delta);
}

static void put_module(struct buf *raw, uint64_t index, uint64_t start, uint64_t end, uint64_t epoch, const char *name)
{
    buf_append_varint(raw, index);
    buf_append_varint(raw, start);
    buf_append_varint(raw, end);
    buf_append_signed(raw, (int64_t)start - 0x1000);
    buf_append_varint(raw, epoch);
    buf_append_varint(raw, 0);
    buf_append_string(raw, "", 0);
    buf_append_string(raw, name, strlen(name));
}

static void expect(const struct stacks *stacks, uint32_t stack, const char *function, const char *module)
{
    struct frame frame = stacks_frame(stacks, stack);
    assert_string_equal(frame.function.bytes, function);
    if (module)
        assert_string_equal(frame.module.bytes, module);
    else
        assert_null(frame.module.bytes);
}

/* Frames of which the trace knows less and less; modules that take each other's place; equal nodes. */
static void test_stacks(void **state)
{
    (void)state;
    struct error error = {0};
    struct trace_writer *writer;
    assert_int_equal(temporary_file_make(NULL), 0);
    assert_int_equal(trace_writer_open(&writer, temporary_file, true, &error), 0);
    struct buf raw = BUF_INIT;
    const int64_t epoch1 = INT64_C(1) << 48, epoch2 = INT64_C(2) << 48;
    buf_append_varint(&raw, 1);
    put_native(&raw, 0, epoch1 + 0x500010);   /* 1: in the first module      */
    put_native(&raw, 0, 0);                   /* 2: the same once more         */
    put_native(&raw, 1, epoch2 - epoch1);     /* 3: the same place, later module */
    put_native(&raw, 1, 0x1000000);           /* 4: in no module               */
    buf_append_varint(&raw, HSK_NODE_PYTHON); /* 5: a code that is missing     */
    buf_append_varint(&raw, 1);
    buf_append_signed(&raw, 99);
    buf_append_varint(&raw, 4);
    buf_append_varint(&raw, HSK_NODE_TRUNCATED); /* 6 */
    buf_append_varint(&raw, 0);
    put_native(&raw, 1, -0x1000000 + 0x20); /* 7: has a symbol with inlines, below 6 */
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NODES, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    buf_append_varint(&raw, 100);
    put_native(&raw, 50, epoch1 + 0x500010); /* 100: called by 50, which is missing */
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NODES, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    put_module(&raw, 0, 0x500000, 0x600000, 1, "/lib/first.so");
    put_module(&raw, 1, 0x500000, 0x600000, 2, "/lib/second.so");
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_MODULES, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    buf_append_varint(&raw, 2);
    buf_append_string(&raw, "inner", 5);
    buf_append_string(&raw, "outer.c", 7);
    buf_append_varint(&raw, (uint64_t)(epoch2 + 0x500030)); /* frame */
    buf_append_varint(&raw, 2);                             /* module 1 */
    buf_append_varint(&raw, 0x4242);
    buf_append_varint(&raw, 2);
    buf_append_varint(&raw, 1); /* inner, no file */
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0); /* no name, in outer.c:17 */
    buf_append_varint(&raw, 2);
    buf_append_varint(&raw, 17);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SYMBOLS, &raw, 0, 0, &error), 0);
    buf_free(&raw);
    assert_int_equal(trace_writer_finish(writer, &error), 0);

    struct trace_reader *reader;
    struct stacks *stacks;
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(temporary_file_remove(NULL), 0);
    assert_int_equal(stacks_load(&stacks, reader, &error), 0);
    assert_int_equal(reader->problem_count, 1); /* no END */
    assert_int_equal(stacks_of_node(stacks, 0), 0);
    uint32_t one = stacks_of_node(stacks, 1);
    assert_int_equal(stacks_of_node(stacks, 2), one);
    expect(stacks, one, "0x1010", "/lib/first.so");
    assert_int_equal(stacks_caller(stacks, one), 0);
    uint32_t three = stacks_of_node(stacks, 3);
    expect(stacks, three, "0x1010", "/lib/second.so");
    assert_int_equal(stacks_caller(stacks, three), one);
    expect(stacks, stacks_of_node(stacks, 4), "0x1500010", NULL);
    uint32_t five = stacks_of_node(stacks, 5);
    expect(stacks, five, "unknown code 99", NULL);
    assert_int_equal(stacks_frame(stacks, five).language, FRAME_PYTHON);
    assert_int_equal(stacks_frame(stacks, stacks_of_node(stacks, 6)).language, FRAME_MISSING);
    uint32_t seven = stacks_of_node(stacks, 7);
    expect(stacks, seven, "inner", "/lib/second.so");
    uint32_t outer = stacks_caller(stacks, seven);
    expect(stacks, outer, "0x4242", "/lib/second.so");
    assert_string_equal(stacks_frame(stacks, outer).file.bytes, "outer.c");
    assert_int_equal(stacks_frame(stacks, outer).line, 17);
    assert_int_equal(stacks_caller(stacks, outer), stacks_of_node(stacks, 6));
    uint32_t hundred = stacks_of_node(stacks, 100);
    expect(stacks, hundred, "0x1010", "/lib/first.so");
    expect(stacks, stacks_caller(stacks, hundred), "unknown", NULL);
    expect(stacks, stacks_of_node(stacks, 5000), "unknown", NULL);
    expect(stacks, stacks_of_node(stacks, UINT32_MAX), "unknown", NULL);
    assert_false(stacks_failed(stacks));
    stacks_free(stacks);
    trace_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),      cmocka_unit_test(test_json_strings), cmocka_unit_test(test_units),
        cmocka_unit_test(test_untrusted), cmocka_unit_test(test_workflow),     cmocka_unit_test(test_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
