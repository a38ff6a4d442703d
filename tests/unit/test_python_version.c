/* test_python_version.c - what doctor says that is known of a version is what the library's tables have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "python/object_offsets.h"
#include "python/offsets.h"
#include "symbols/python_version.h"

static void support_is_as_the_tables_have_it(void **state)
{
    (void)state;
    for (unsigned minor = 0; minor < 40; minor++)
        for (int free_threaded = 0; free_threaded < 2; free_threaded++) {
            struct python_version version = {.major = 3, .minor = minor, .free_threaded = free_threaded};
            bool stacks = python_offsets_find(minor, free_threaded);
            bool objects = stacks && !free_threaded && python_object_offsets_find(minor);
            enum python_support expected = objects  ? PYTHON_SUPPORT_FULL
                                           : stacks ? PYTHON_SUPPORT_STACKS
                                                    : PYTHON_SUPPORT_NONE;
            assert_int_equal(python_version_support(&version), expected);
            assert_int_equal(python_version_lack(&version) == NULL, objects);
        }
    struct python_version older = {.major = 2, .minor = 11}, newer = {.major = 4, .minor = 11};
    assert_int_equal(python_version_support(&older), PYTHON_SUPPORT_NONE);
    assert_int_equal(python_version_support(&newer), PYTHON_SUPPORT_NONE);
}

static void texts(void **state)
{
    (void)state;
    char text[PYTHON_VERSION_TEXT];
    struct python_version version = {.major = 3, .minor = 14, .micro = 2, .free_threaded = true};
    assert_string_equal(python_version_text(&version, text), "CPython 3.14.2, free-threaded");
    version = (struct python_version){.major = 3, .minor = 10, .micro = -1};
    assert_string_equal(python_version_text(&version, text), "CPython 3.10");
    version = (struct python_version){.major = 3, .micro = -1};
    assert_string_equal(python_version_text(&version, text), "CPython before 3.11");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(support_is_as_the_tables_have_it), cmocka_unit_test(texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
