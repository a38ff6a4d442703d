/*
 * test_causes.c - a cause for what leaks, and silence about what does not: on graphs whose story is told line by line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "make_graph.h"
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "report/graph_report.h"
#include "temporary_file.h"

/* Frames that every story has: the program's own, and an import. */
#define STAGE                                                                                                          \
    "stack main <module> app.py 1\n"                                                                                   \
    "stack work work app.py 10 main\n"                                                                                 \
    "stack other other app.py 20 main\n"                                                                               \
    "stack find _find_and_load '<frozen importlib._bootstrap>' 1 main\n"                                               \
    "stack imported <module> lib.py 1 find\n"                                                                          \
    "type app.Session gc heap\n"                                                                                       \
    "type app.Parent gc heap\n"                                                                                        \
    "type app.Child gc heap\n"                                                                                         \
    "type dict gc\n"                                                                                                   \
    "type list gc\n"                                                                                                   \
    "root modules interpreter sys.modules\n"                                                                           \
    "object allmodules dict stack=imported\n"                                                                          \
    "edge modules allmodules reference\n"                                                                              \
    "object app module stack=imported\n"                                                                               \
    "edge allmodules app key app\n"                                                                                    \
    "object appdict dict stack=imported\n"                                                                             \
    "edge app appdict special __dict__\n"                                                                              \
    "object start dict stack=main\n"                                                                                   \
    "edge appdict start key start\n"

struct analysis {
    struct report report;
    struct graph_report graph;
    struct leaks leaks;
};

/* Everything that `heapsake leaks` does before it prints. */
static struct analysis *analyse(struct buf *text, bool python)
{
    struct analysis *a = calloc(1, sizeof *a);
    struct error error = {0};
    buf_printf(text, "snapshot exit\n");
    buf_append_byte(text, 0);
    assert_false(text->failed);
    assert_int_equal(made_graph_write(temporary_file, (const char *)text->data), 0);
    buf_free(text);
    assert_int_equal(report_open(&a->report, temporary_file), EXIT_DONE);
    assert_int_equal(report_replay(&a->report, true), EXIT_DONE);
    assert_int_equal(graph_report_open_history(&a->graph, &a->report, -1), EXIT_DONE);
    assert_int_equal(graph_report_dominators(&a->graph), EXIT_DONE);
    assert_int_equal(graph_report_components(&a->graph), EXIT_DONE);
    struct evidence evidence = {.graph = &a->graph.graph,
                                .reach = &a->graph.reach,
                                .snapshot = a->graph.snapshot,
                                .lifetimes = a->graph.lifetimes,
                                .stacks = a->report.stacks,
                                .history = a->graph.history,
                                .python = python,
                                .components = a->graph.components,
                                .dominators = a->graph.dominators,
                                .own = a->graph.own};
    assert_int_equal(evidence_prepare(&evidence, &error), 0);
    assert_int_equal(leaks_find(&a->leaks, &evidence, &error), 0);
    evidence_free(&evidence);
    return a;
}

static void done(struct analysis *a)
{
    leaks_free(&a->leaks);
    graph_report_close(&a->graph);
    report_close(&a->report);
    free(a);
}

/* The one leak there is, and nothing else. */
static const struct leak *only(struct analysis *a, enum leak_cause cause, const char *type, uint64_t count)
{
    for (size_t i = 0; i < a->leaks.count && a->leaks.count != 1; i++)
        print_error("%s %s: %s\n", leak_cause_names[a->leaks.list[i].cause], a->leaks.list[i].type,
                    a->leaks.list[i].explanation);
    assert_int_equal(a->leaks.count, 1);
    const struct leak *leak = &a->leaks.list[0];
    assert_string_equal(leak_cause_names[leak->cause], leak_cause_names[cause]);
    if (type)
        assert_string_equal(leak->type, type);
    else
        assert_null(leak->type);
    assert_int_equal(leak->count, count);
    assert_non_null(leak->explanation);
    return leak;
}

static void silent(struct buf *text)
{
    struct analysis *a = analyse(text, true);
    for (size_t i = 0; i < a->leaks.count; i++)
        print_error("%s %s: %s\n", leak_cause_names[a->leaks.list[i].cause], a->leaks.list[i].type,
                    a->leaks.list[i].explanation);
    assert_int_equal(a->leaks.count, 0);
    done(a);
}

static const char *fact(const struct leak *leak, const char *key)
{
    for (unsigned i = 0; i < leak->fact_count; i++)
        if (strcmp(leak->facts[i].key, key) == 0)
            return leak->facts[i].text;
    return NULL;
}

static const char *innermost(struct analysis *a, uint32_t stack)
{
    static char name[64];
    assert_int_not_equal(stack, 0);
    struct frame frame = stacks_frame(a->report.stacks, stack);
    snprintf(name, sizeof name, "%.*s", (int)frame.function.length, frame.function.bytes);
    return name;
}

/* Something allocated and freed: the program goes on. */
static void churn(struct buf *text, const char *name, int from, int to)
{
    for (int i = from; i < to; i++)
        buf_printf(text, "object %s%d list stack=other\nfree %s%d\n", name, i, name, i);
}

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
        cmocka_unit_test(test_growing),          cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_warmed_up),        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_imports_fill),     cmocka_unit_test(test_namespaces_grow),
        cmocka_unit_test(test_default_argument), cmocka_unit_test(test_running_function),
        cmocka_unit_test(test_many_containers),  cmocka_unit_test(test_chain),
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
        cmocka_unit_test(test_alike_by_name),    cmocka_unit_test(test_containers_that_rest),
        cmocka_unit_test(test_recycled),         cmocka_unit_test(test_frozen_by_import),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
