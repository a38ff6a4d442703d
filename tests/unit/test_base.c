/* test_base.c - buf and its varints, cursor, intern, map64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/intern.h"
#include "base/map64.h"

static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};

static void test_varints(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    for (size_t i = 0; i < HS_COUNT_OF(numbers); i++) {
        buf_append_varint(&buf, numbers[i]);
        buf_append_signed(&buf, (int64_t)numbers[i]);
        buf_append_signed(&buf, -(int64_t)(numbers[i] / 2));
    }
    struct cursor cursor = {.at = buf.data, .end = buf.data + buf.length};
    for (size_t i = 0; i < HS_COUNT_OF(numbers); i++) {
        assert_int_equal(cursor_varint(&cursor), numbers[i]);
        assert_int_equal(cursor_signed(&cursor), (int64_t)numbers[i]);
        assert_int_equal(cursor_signed(&cursor), -(int64_t)(numbers[i] / 2));
    }
    assert_false(cursor.failed);
    assert_ptr_equal(cursor.at, cursor.end);
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    buf_free(&buf);
}

static void test_varints_that_are_none(void **state)
{
    (void)state;
    static const uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    struct cursor cursor = {.at = endless, .end = endless + sizeof endless};
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
    cursor = (struct cursor){.at = endless, .end = endless + 2};
    assert_int_equal(cursor_varint(&cursor), 0);
    assert_true(cursor.failed);
}

static void test_strings(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    buf_append_string(&buf, "a\0b", 3);
    buf_append_string(&buf, "", 0);
    buf_append_varint(&buf, 5);
    buf_append(&buf, "four", 4);
    struct cursor cursor = {.at = buf.data, .end = buf.data + buf.length};
    size_t length;
    const char *string = cursor_string(&cursor, &length);
    assert_int_equal(length, 3);
    assert_memory_equal(string, "a\0b", 3);
    assert_non_null(cursor_string(&cursor, &length));
    assert_int_equal(length, 0);
    assert_null(cursor_string(&cursor, &length)); /* says five, has four */
    assert_true(cursor.failed);
    buf_free(&buf);
}

static void test_ceiling(void **state)
{
    (void)state;
    struct buf buf = {.ceiling = 1000};
    for (int i = 0; i < 100; i++)
        buf_append(&buf, "0123456789", 10);
    assert_false(buf.failed);
    assert_int_equal(buf.length, 1000);
    buf_append_byte(&buf, 'x');
    assert_true(buf.failed);
    buf_clear(&buf);
    buf_append(&buf, "x", 1);
    assert_false(buf.failed); /* one mistake is no reason to give up */
    assert_false(buf_reserve(&buf, SIZE_MAX));
    buf_free(&buf);
    assert_int_equal(buf.ceiling, 1000);
    buf_printf(&buf, "%s %d", "text", 42);
    assert_int_equal(buf.length, 7);
    assert_memory_equal(buf.data, "text 42", 7);
    buf_free(&buf);
}

static void test_intern(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct intern intern = INTERN_INIT;
    char text[32];
    assert_string_equal(intern_get(&intern, 0, NULL), "");
    assert_string_equal(intern_get(&intern, 1, NULL), "");
    assert_int_equal(intern_find(&intern, "string 1", 8), 0);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(text, sizeof text, "string %u", i);
            assert_int_equal(intern_string(&intern, text), i + 1);
        }
    assert_int_equal(intern.count, COUNT);
    size_t length;
    assert_string_equal(intern_get(&intern, 12346, &length), "string 12345");
    assert_int_equal(length, 12);
    uint32_t with_nul = intern_bytes(&intern, "a\0b", 3), without = intern_bytes(&intern, "a\0c", 3);
    assert_int_not_equal(with_nul, without);
    assert_int_equal(intern_bytes(&intern, "a\0b", 3), with_nul);
    assert_int_equal(intern_find(&intern, "a\0b", 3), with_nul);
    assert_int_equal(intern_find(&intern, "a\0d", 3), 0);
    assert_int_equal(intern_find(&intern, "string 12345", 12), 12346);
    uint32_t empty = intern_bytes(&intern, NULL, 0);
    assert_int_not_equal(empty, 0);
    assert_int_equal(intern_string(&intern, ""), empty);
    static char large[200000];
    memset(large, 'x', sizeof large);
    uint32_t number = intern_bytes(&intern, large, sizeof large);
    assert_memory_equal(intern_get(&intern, number, &length), large, sizeof large);
    assert_int_equal(length, sizeof large);
    assert_string_equal(intern_get(&intern, 1, NULL), "string 0");
    intern_free(&intern);
}

static void test_map64(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct map64 map = MAP64_INIT;
    uint32_t value = 77;
    assert_false(map64_get(&map, 0, &value));
    for (uint32_t i = 0; i < COUNT; i++)
        assert_true(map64_put(&map, (uint64_t)i << 32 | i % 3, i));
    assert_true(map64_put(&map, UINT64_MAX, 5));
    assert_true(map64_put(&map, UINT64_MAX, 6));
    assert_int_equal(map.count, COUNT + 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(map64_get(&map, (uint64_t)i << 32 | i % 3, &value));
        assert_int_equal(value, i);
        assert_false(map64_get(&map, (uint64_t)i << 32 | 3, &value));
        assert_int_equal(value, i);
    }
    assert_true(map64_get(&map, UINT64_MAX, &value));
    assert_int_equal(value, 6);
    map64_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varints), cmocka_unit_test(test_varints_that_are_none),
        cmocka_unit_test(test_strings), cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_intern),  cmocka_unit_test(test_map64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
