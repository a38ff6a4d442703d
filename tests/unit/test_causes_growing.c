/*
 * test_causes_growing.c - what grows all the time is told from what is bounded, has warmed up, or is filled by imports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "leak_story.h"
#include "temporary_file.h"

/* --- growing --- */

static void story_of_cache(struct buf *text, int count, int keep)
{
    buf_printf(text, STAGE "object cache dict stack=main\nedge appdict cache key cache\n");
    for (int i = 0; i < count; i++) {
        buf_printf(text, "time %d\nobject s%d app.Session stack=work size=200 tracked\nedge cache s%d value str\n",
                   100 + i, i, i);
        if (keep && i >= keep)
            buf_printf(text, "free s%d\n", i - keep);
        churn(text, "t", 2 * i, 2 * i + 2);
    }
}

static void test_growing(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_cache(&text, 300, 0);
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_GROWING, "app.Session", 300);
    assert_true(leak->confidence > 0.7);
    assert_int_equal(leak->bytes, 300 * 200);
    assert_string_equal(innermost(a, leak->stack), "work");
    assert_string_equal(innermost(a, leak->culprit), "work");
    assert_int_equal(leak->why_count, 2);
    assert_string_equal(leak->why[0], "module app");
    assert_non_null(strstr(leak->why[1], "cache"));
    assert_string_equal(fact(leak, "holder"), "dict");
    done(a);
}

static void test_bounded(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_cache(&text, 400, 128);
    silent(&text);
}

static void test_warmed_up(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_cache(&text, 128, 0);
    churn(&text, "later", 0, 600);
    silent(&text);
}

static void test_too_few(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_cache(&text, 40, 0);
    silent(&text);
}

/* What imports fill, to the end of the run: registries of modules, caches of patterns. */
static void test_imports_fill(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object cache dict stack=main\nedge appdict cache key cache\n");
    for (int i = 0; i < 200; i++) {
        buf_printf(&text, "object p%d re.Pattern stack=imported\nedge cache p%d value str\n", i, i);
        churn(&text, "t", 2 * i, 2 * i + 2);
    }
    silent(&text);
}

/* The names of a module, and sys.modules. */
static void test_namespaces_grow(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE);
    for (int i = 0; i < 100; i++)
        buf_printf(&text, "object f%d function stack=work\nedge appdict f%d key f%d\n", i, i, i);
    silent(&text);
}

/* A default argument that collects. */
static void test_default_argument(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object f function stack=main\nedge appdict f key f\n"
                            "object defaults tuple stack=main\nedge f defaults special __defaults__\n"
                            "object acc list stack=main\nedge defaults acc index 0\n");
    for (int i = 0; i < 300; i++) {
        buf_printf(&text, "object s%d app.Session stack=work size=100\nedge acc s%d index %d\n", i, i, i);
        churn(&text, "t", i, i + 1);
    }
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_HELD, "app.Session", 300);
    assert_true(leak->confidence > 0.5);
    assert_string_equal(fact(leak, "through"), "a default argument");
    done(a);
}

/* In a local variable of a function that runs: not over one half. */
static void test_running_function(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "root frame frame main app.py 3\nobject acc list stack=main\nedge frame acc local acc\n");
    for (int i = 0; i < 300; i++) {
        buf_printf(&text, "object s%d app.Session stack=work size=100\nedge acc s%d index %d\n", i, i, i);
        churn(&text, "t", i, i + 1);
    }
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_GROWING, "app.Session", 300)->confidence <= 0.5);
    done(a);
}

/* Lists of many users that each grow: one entry. */
static void test_many_containers(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object users dict stack=main\nedge appdict users key users\n");
    for (int u = 0; u < 4; u++)
        buf_printf(&text, "object u%d list stack=main\nedge users u%d value str\n", u, u);
    for (int i = 0; i < 400; i++)
        buf_printf(&text, "object s%d app.Session stack=work size=100\nedge u%d s%d index %d\n", i, i % 4, i, i);
    struct analysis *a = analyse(&text, true);
    only(a, LEAK_GROWING, "app.Session", 400);
    done(a);
}

/* Of lists of many users, one grows all the time, others have stopped or have few: all are counted. */
static void test_containers_that_rest(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object users dict stack=main\nedge appdict users key users\n");
    for (int u = 0; u < 4; u++)
        buf_printf(&text, "object u%d list stack=main\nedge users u%d key u%d\n", u, u, u);
    for (int i = 0; i < 300; i++) {
        int user = i % 2 ? 0 : i < 150 ? 1 : i < 290 ? 2 : 3;
        buf_printf(&text, "object s%d app.Session stack=work size=100\nedge u%d s%d index %d\n", i, user, i, i);
    }
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_GROWING, "app.Session", 300);
    assert_true(leak->confidence > 0.5);
    assert_int_equal(leak->bytes, 300 * 100);
    done(a);
}

/* What two owners call by the same name is alike; what one owner calls otherwise is not, also with the same in it. */
static void test_alike_by_name(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE);
    for (int p = 0; p < 2; p++)
        buf_printf(&text,
                   "object p%d app.Parent stack=main\nedge appdict p%d key p%d\n"
                   "object served%d list stack=main\nedge p%d served%d attribute served\n"
                   "object first%d list stack=main\nedge p%d first%d attribute first\n",
                   p, p, p, p, p, p, p, p, p);
    for (int i = 0; i < 320; i++) {
        int owner = i < 100 ? i % 2 : 0;
        buf_printf(&text, "object s%d app.Session stack=work size=100\nedge %s%d s%d index %d\n", i,
                   i < 40 ? "first" : "served", owner, i, i);
    }
    struct analysis *a = analyse(&text, true);
    only(a, LEAK_GROWING, "app.Session", 280);
    done(a);
}

/* A list that is linked: found below what holds its head. */
static void test_chain(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object head app.Parent stack=main\nedge appdict head key head\n");
    for (int i = 0; i < 400; i++) {
        buf_printf(&text, "object s%d app.Session stack=work size=100\n", i);
        if (i > 0)
            buf_printf(&text, "edge s%d s%d attribute next\ncut head s%d\n", i, i - 1, i - 1);
        buf_printf(&text, "edge head s%d attribute first\n", i);
    }
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_GROWING, "app.Session", 400);
    assert_string_equal(fact(leak, "holder"), "app.Parent");
    done(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growing),          cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_warmed_up),        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_imports_fill),     cmocka_unit_test(test_namespaces_grow),
        cmocka_unit_test(test_default_argument), cmocka_unit_test(test_running_function),
        cmocka_unit_test(test_many_containers),  cmocka_unit_test(test_containers_that_rest),
        cmocka_unit_test(test_alike_by_name),    cmocka_unit_test(test_chain),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
