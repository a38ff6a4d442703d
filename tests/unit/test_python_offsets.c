/* The rows of offsets.c, and what they are compared with: _Py_DebugOffsets as each version publishes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "python/offsets.h"

#define WORDS 128

/* What 3.13.0, 3.14.10 and 3.15.2 have in front of _PyRuntime: word and value, as read from running interpreters. */
struct published {
    unsigned word;
    uint64_t value;
};

static const struct published of_3_13[] = {{23, 72},  {29, 8},   {30, 0},  {31, 56},  {33, 70}, {35, 112},
                                           {37, 128}, {38, 136}, {39, 68}, {43, 200}, {45, 8},  {65, 16},
                                           {66, 32},  {68, 32},  {69, 16}, {70, 40},  {0, 0}};
static const struct published of_3_14[] = {{26, 72},  {32, 8},   {33, 0},  {34, 56},  {36, 74}, {40, 112},
                                           {42, 128}, {43, 136}, {44, 68}, {48, 208}, {51, 8},  {75, 16},
                                           {76, 32},  {78, 32},  {79, 16}, {80, 40},  {0, 0}};
static const struct published of_3_15[] = {{26, 72},  {40, 8},   {41, 0},  {42, 56},  {44, 74}, {48, 112},
                                           {50, 128}, {51, 136}, {52, 68}, {56, 208}, {59, 8},  {87, 16},
                                           {88, 32},  {90, 32},  {91, 16}, {92, 40},  {0, 0}};

static const struct {
    unsigned minor;
    uint32_t version;
    const struct published *fields;
} versions[] = {
    {13, 0x030d00f0, of_3_13},
    {14, 0x030e0af0, of_3_14},
    {15, 0x030f02f0, of_3_15},
};

static void publish(uint64_t *runtime, uint32_t version, const struct published *fields)
{
    memset(runtime, 0x77, WORDS * sizeof runtime[0]);
    memcpy(runtime, "xdebugpy", 8);
    runtime[1] = version;
    runtime[2] = 0;
    for (; fields->word; fields++)
        runtime[fields->word] = fields->value;
}

static void rows_exist(void **state)
{
    (void)state;
    for (unsigned minor = 9; minor <= 15; minor++) {
        const struct python_offsets *offsets = python_offsets_find(minor, false);
        assert_non_null(offsets);
        assert_int_equal(offsets->minor, minor);
        assert_false(offsets->free_threaded);
    }
    assert_true(python_offsets_find(14, true)->free_threaded);
    assert_true(python_offsets_find(15, true)->free_threaded);
    assert_null(python_offsets_find(13, true));
    assert_null(python_offsets_find(8, false));
    assert_null(python_offsets_find(16, false));
}

static void rows_agree_with_interpreters(void **state)
{
    (void)state;
    uint64_t runtime[WORDS];
    for (unsigned i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        const struct python_offsets *offsets = python_offsets_find(versions[i].minor, false);
        publish(runtime, versions[i].version, versions[i].fields);
        assert_int_equal(python_offsets_check(offsets, runtime, versions[i].version), PYTHON_CHECK_AGREES);
    }
    assert_int_equal(python_offsets_check(python_offsets_find(11, false), NULL, 0x030b02f0), PYTHON_CHECK_AGREES);
}

static void every_difference_is_noticed(void **state)
{
    (void)state;
    uint64_t runtime[WORDS];
    for (unsigned i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        const struct python_offsets *offsets = python_offsets_find(versions[i].minor, false);
        uint32_t version = versions[i].version;
        for (const struct published *field = versions[i].fields; field->word; field++) {
            publish(runtime, version, versions[i].fields);
            runtime[field->word] += 8;
            assert_int_equal(python_offsets_check(offsets, runtime, version), PYTHON_CHECK_DIFFERS);
        }
        publish(runtime, version, versions[i].fields);
        runtime[0]++;
        assert_int_equal(python_offsets_check(offsets, runtime, version), PYTHON_CHECK_DIFFERS);
        publish(runtime, version, versions[i].fields);
        assert_int_equal(python_offsets_check(offsets, runtime, version + 0x100), PYTHON_CHECK_DIFFERS);
        assert_int_equal(python_offsets_check(offsets, NULL, version), PYTHON_CHECK_DIFFERS);
        runtime[2] = 1;
        assert_true(python_offsets_free_threaded(runtime));
        assert_int_equal(python_offsets_check(offsets, runtime, version), PYTHON_CHECK_DIFFERS);
    }
}

static void free_threading_is_recognized(void **state)
{
    (void)state;
    uint64_t runtime[WORDS];
    publish(runtime, 0x030e0af0, of_3_14);
    assert_false(python_offsets_free_threaded(runtime));
    assert_false(python_offsets_free_threaded(NULL));
    runtime[2] = 1;
    assert_true(python_offsets_free_threaded(runtime));
    runtime[0] = 0; /* 3.12 and older begin with something else */
    assert_false(python_offsets_free_threaded(runtime));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_exist),
        cmocka_unit_test(rows_agree_with_interpreters),
        cmocka_unit_test(every_difference_is_noticed),
        cmocka_unit_test(free_threading_is_recognized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
