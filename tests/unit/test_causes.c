/*
 * test_causes.c - a cause for what leaks, and silence about what does not: on graphs whose story is told line by line.
 * What grows is in test_causes_growing.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "leak_story.h"
#include "temporary_file.h"

/* --- over-referenced --- */

static void story_of_excess(struct buf *text, const char *type, int count, const char *stack)
{
    buf_printf(text, STAGE);
    for (int i = 0; i < count; i++)
        buf_printf(text, "object o%d %s stack=%s size=100 refs=+1 tracked\n", i, type, stack);
}

static void test_over_referenced(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_excess(&text, "dict", 20, "work");
    /* what hangs on one of them: counted as retained, and no cycle of its own */
    buf_printf(&text,
               "object a app.Parent stack=work size=1000\nobject b app.Child stack=work\nedge a b attribute b\n"
               "edge b a attribute a\nedge o3 a value str\nblock buffer 5000 stack=work\nedge a buffer owns 16\n");
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_OVER_REFERENCED, "dict", 20);
    assert_true(leak->confidence > 0.9);
    assert_int_equal(leak->bytes, 2000);
    assert_int_equal(leak->retained_bytes, 2000 + 1000 + 48 + 5000);
    assert_string_equal(innermost(a, leak->culprit), "work");
    done(a);
}

/* Without births of objects, what a freelist kept may have the stack of the object before it: said where it may be so.
 */
static void test_recycled(void **state)
{
    (void)state;
    for (int recycles = 0; recycles < 2; recycles++) {
        struct buf text = BUF_INIT;
        buf_printf(&text, STAGE "type deque gc%s\n", recycles ? " recycles" : "");
        for (int i = 0; i < 20; i++)
            buf_printf(&text, "object o%d deque stack=work size=100 refs=+1 tracked\n", i);
        struct analysis *a = analyse(&text, true);
        const struct leak *leak = only(a, LEAK_OVER_REFERENCED, "deque", 20);
        bool told = strstr(leak->explanation, "earlier object") != NULL;
        assert_int_equal(told, recycles);
        if (recycles)
            assert_string_equal(fact(leak, "stack_of"), "block");
        else
            assert_null(fact(leak, "stack_of"));
        done(a);
    }
}

static void test_one_over_referenced(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_excess(&text, "app.Session", 1, "work");
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_OVER_REFERENCED, "app.Session", 1)->confidence > 0.5);
    done(a);
}

/* A pointer in a live block, or in a module's data, is where the reference is. */
static void test_pointed(void **state)
{
    (void)state;
    for (int data = 0; data < 2; data++) {
        struct buf text = BUF_INIT;
        story_of_excess(&text, "dict", 20, "work");
        buf_printf(&text, data ? "root data data - lib.so 64\n"
                               : "root d data - lib.so 64\nblock data 400 stack=imported\nedge d data pointer 0\n");
        for (int i = 0; i < 20; i++)
            buf_printf(&text, "edge data o%d pointer %d\n", i, 8 * i);
        silent(&text);
    }
}

/* Words on stacks may be stale: believed while most have none. */
static void test_stale_words(void **state)
{
    (void)state;
    for (int stale = 5; stale <= 15; stale += 10) {
        struct buf text = BUF_INIT;
        story_of_excess(&text, "dict", 20, "work");
        buf_printf(&text, "root thread stack - - 7\n");
        for (int i = 0; i < stale; i++)
            buf_printf(&text, "edge thread o%d pointer %d\n", i, 8 * i);
        struct analysis *a = analyse(&text, true);
        if (stale < 10)
            only(a, LEAK_OVER_REFERENCED, "dict", 20);
        else
            assert_int_equal(a->leaks.count, 0);
        done(a);
    }
}

static void test_few_strings(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_excess(&text, "str", 20, "work");
    silent(&text);
    text = BUF_INIT;
    story_of_excess(&text, "str", 40, "work");
    struct analysis *a = analyse(&text, true);
    only(a, LEAK_OVER_REFERENCED, "str", 40);
    done(a);
}

/* Singletons that C code keeps, immortals, types. */
static void test_known_noise(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_excess(&text, "ast.Load", 5, "imported");
    buf_printf(&text, "object i dict stack=work immortal refs=5\nobject st dict noblock static refs=9\n"
                      "object t type stack=work type refs=+20\n");
    silent(&text);
}

static void test_excess_on_a_type(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object t type stack=imported type refs=+1000\nedge appdict t key Thing\n");
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_OVER_REFERENCED, "type", 1)->confidence > 0.5);
    done(a);
}

/* --- cycles --- */

static void pair(struct buf *text, int i, const char *flags)
{
    buf_printf(text,
               "object p%d app.Parent stack=work tracked %s\nobject l%d list stack=work tracked %s\n"
               "object c%d app.Child stack=work tracked %s\nedge p%d l%d attribute children\nedge l%d c%d index 0\n"
               "edge c%d p%d attribute parent\n",
               i, flags, i, flags, i, flags, i, i, i, i, i, i);
}

static void test_frozen_cycles(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE);
    for (int i = 0; i < 10; i++)
        pair(&text, i, "frozen");
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_CYCLE, "app.Parent", 10);
    assert_true(leak->confidence > 0.8);
    assert_string_equal(fact(leak, "reason"), "frozen");
    assert_string_equal(fact(leak, "pattern"), "app.Parent.children → list[0] → app.Child.parent");
    assert_int_equal(leak->bytes, 10 * 3 * 48);
    done(a);
}

/* What an import dropped, and a freeze kept: once, and not the program's. */
static void test_frozen_by_import(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text,
               STAGE "object p app.Parent stack=imported tracked frozen\nobject c app.Child stack=imported tracked "
                     "frozen\nedge p c attribute child\nedge c p attribute parent\n");
    churn(&text, "t", 0, 50);
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_CYCLE, "app.Parent", 1)->confidence <= 0.5);
    done(a);
}

/* The next collection would take them. */
static void test_young_cycles(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE);
    for (int i = 0; i < 10; i++)
        pair(&text, i, "");
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_CYCLE, "app.Parent", 10)->confidence <= 0.5);
    done(a);
}

/* So many that the collector must have come by; but that it is disabled is told by the snapshot, so it is a guess. */
static void test_collector_off(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE);
    for (int i = 0; i < 1500; i++)
        pair(&text, i, "");
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_CYCLE, "app.Parent", 1500);
    assert_true(leak->confidence <= 0.5);
    assert_string_equal(fact(leak, "reason"), "collector off");
    done(a);
}

/* A native type that does not tell of its reference. */
static void test_hidden_cycle(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object a app.Parent stack=work tracked refs=+1\nobject b ext.Box stack=work opaque\n"
                            "edge a b attribute box\nedge b a hidden 16\n"
                            "object kept app.Parent stack=work size=100\nedge a kept attribute kept\n");
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_CYCLE, "app.Parent", 1);
    assert_true(leak->confidence > 0.8);
    assert_string_equal(fact(leak, "reason_type"), "ext.Box");
    assert_string_equal(fact(leak, "pattern"), "app.Parent.box → ext.Box hidden at +16");
    assert_int_equal(leak->retained_bytes, 48 + 48 + 100);
    done(a);
}

/* --- lost --- */

static void test_lost(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "root data data - prog 64\nblock live 100 stack=work\nedge data live pointer 0\n");
    for (int i = 0; i < 3; i++)
        buf_printf(&text, "block head%d 64 stack=work\nblock tail%d 1000 stack=other\nedge head%d tail%d pointer 8\n",
                   i, i, i, i);
    struct analysis *a = analyse(&text, false);
    const struct leak *leak = only(a, LEAK_LOST, NULL, 3);
    assert_true(leak->confidence > 0.9);
    assert_int_equal(leak->bytes, 3 * 64);
    assert_int_equal(leak->retained_bytes, 3 * 1064);
    assert_string_equal(fact(leak, "reachability"), "definitely");
    assert_int_equal(a->leaks.definite.bytes, 192);
    assert_int_equal(a->leaks.indirect.bytes, 3000);
    assert_int_equal(a->leaks.reachable.bytes, 100);
    assert_int_equal(a->leaks.possible.blocks, 0);
    done(a);
}

static void test_possibly_lost(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "root data data - prog 64\nblock b 100 stack=work\nedge data b interior 0\n");
    struct analysis *a = analyse(&text, false);
    const struct leak *leak = only(a, LEAK_LOST, NULL, 1);
    assert_true(leak->confidence <= 0.5);
    assert_string_equal(fact(leak, "reachability"), "possibly");
    assert_int_equal(a->leaks.possible.bytes, 100);
    done(a);
}

/* Blocks of objects, even of garbage; freed objects' blocks in pools; blocks that start-up lost. */
static void test_not_lost(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text,
               STAGE "block b 100 stack=work\nedge start b owns 8\nblock inner 50 stack=work\nedge b inner pointer 0\n"
                     "block pool 48 stack=work domain=py_object\nblock map 4096 stack=work domain=mmap\n");
    silent(&text);
    text = BUF_INIT;
    buf_printf(&text, STAGE "block table 100 stack=imported\n");
    struct analysis *a = analyse(&text, true);
    assert_true(only(a, LEAK_LOST, NULL, 1)->confidence <= 0.5);
    done(a);
}

/* --- held --- */

static void test_exception(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object e ValueError stack=work\nedge appdict e key saved\n"
                            "object tb traceback stack=work\nedge e tb special __traceback__\n"
                            "object f frame stack=work\nedge tb f special tb_frame\n"
                            "object big bytearray stack=work size=4000000\nedge f big local big\n");
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_HELD, "ValueError", 1);
    assert_true(leak->confidence > 0.5);
    assert_true(leak->retained_bytes > 4000000);
    assert_string_equal(fact(leak, "largest"), "bytearray");
    assert_string_equal(leak->why[0], "module app");
    done(a);
}

static void test_generator(void **state)
{
    (void)state;
    for (int running = 0; running < 2; running++) {
        struct buf text = BUF_INIT;
        buf_printf(&text, STAGE "object g generator stack=work\nobject big bytearray stack=work size=4000000\n"
                                "edge g big local big\n");
        buf_printf(&text,
                   running ? "root frame frame main app.py 3\nedge frame g local g\n" : "edge appdict g key g\n");
        struct analysis *a = analyse(&text, true);
        double confidence = only(a, LEAK_HELD, "generator", 1)->confidence;
        assert_true(running ? confidence <= 0.5 : confidence > 0.5);
        done(a);
    }
}

/* Large, but in an ordinary way; small, but through a closure. */
static void test_ordinary_data(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object big bytearray stack=work size=4000000\nedge start big value str\n"
                            "object f function stack=main\nedge appdict f key f\nobject cell cell stack=main\n"
                            "edge f cell cell x\nobject x list stack=main size=500\nedge cell x reference\n");
    silent(&text);
}

/* --- fragmentation --- */

static void test_heap_holes(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_printf(&text, STAGE "object keep list stack=main\nedge appdict keep key keep\n");
    for (int i = 0; i < 200; i++)
        buf_printf(
            &text,
            "block large%d 100000 stack=other at=0x%x\nobject small%d bytes stack=work size=600 domain=malloc at=0x%x\n"
            "edge keep small%d index %d\n",
            i, 0x10000000 + i * 101000, i, 0x10000000 + i * 101000 + 100016, i, i);
    for (int i = 0; i < 200; i++)
        buf_printf(&text, "free large%d\n", i);
    churn(&text, "t", 0, 500);
    struct analysis *a = analyse(&text, true);
    const struct leak *leak = only(a, LEAK_FRAGMENTATION, "bytes", 199);
    assert_true(leak->confidence > 0.5);
    assert_true(leak->retained_bytes > 199 * 100000);
    assert_string_equal(innermost(a, leak->stack), "work");
    done(a);
}

static void test_arenas(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct buf text = BUF_INIT;
        buf_printf(&text, STAGE);
        for (int i = 0; i < 8; i++) {
            unsigned at = 0x20000000 + i * 0x100000;
            buf_printf(&text, "block arena%d 0x100000 stack=imported domain=arena at=0x%x\n", i, at);
            buf_printf(&text, "object o%d app.Session stack=work size=%d at=0x%x\nedge start o%d value str\n", i,
                       full ? 700000 : 500, at + 64, i);
        }
        churn(&text, "t", 0, 100);
        struct analysis *a = analyse(&text, true);
        if (full)
            assert_int_equal(a->leaks.count, 0);
        else
            only(a, LEAK_FRAGMENTATION, "app.Session", 8);
        done(a);
    }
}

/* --- snapshots that are not whole --- */

/* What was not told looks like garbage: then nothing is said about it. */
static void test_not_whole(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    story_of_excess(&text, "dict", 20, "work");
    buf_printf(&text, "block lost 100 stack=work\n");
    pair(&text, 1, "frozen");
    buf_printf(&text, "not-whole\n");
    silent(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_over_referenced),  cmocka_unit_test(test_one_over_referenced),
        cmocka_unit_test(test_pointed),          cmocka_unit_test(test_stale_words),
        cmocka_unit_test(test_few_strings),      cmocka_unit_test(test_known_noise),
        cmocka_unit_test(test_excess_on_a_type), cmocka_unit_test(test_frozen_cycles),
        cmocka_unit_test(test_young_cycles),     cmocka_unit_test(test_collector_off),
        cmocka_unit_test(test_hidden_cycle),     cmocka_unit_test(test_lost),
        cmocka_unit_test(test_possibly_lost),    cmocka_unit_test(test_not_lost),
        cmocka_unit_test(test_exception),        cmocka_unit_test(test_generator),
        cmocka_unit_test(test_ordinary_data),    cmocka_unit_test(test_heap_holes),
        cmocka_unit_test(test_arenas),           cmocka_unit_test(test_not_whole),
        cmocka_unit_test(test_recycled),         cmocka_unit_test(test_frozen_by_import),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
