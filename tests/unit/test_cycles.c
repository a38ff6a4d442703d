/* test_cycles.c - patterns of cycles, why they stay, what to make weak; paths in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "make_graph.h"
#include "model/cycles.h"
#include "report/graph_report.h"
#include "temporary_file.h"

static struct report report;
static struct graph_report g;
static struct cycles cycles;

static uint32_t stack_of(void *context, uint32_t node)
{
    return graph_report_stack(context, node);
}

static void open_text(const char *text)
{
    struct error error = {0};
    assert_int_equal(made_graph_write(temporary_file, text), 0);
    assert_int_equal(report_open(&report, temporary_file), EXIT_DONE);
    assert_int_equal(graph_report_open(&g, &report, -1), EXIT_DONE);
    assert_int_equal(graph_report_components(&g), EXIT_DONE);
    assert_int_equal(graph_report_dominators(&g), EXIT_DONE);
    const struct cycles_sources sources = {.graph = &g.graph,
                                           .reach = &g.reach,
                                           .components = &g.components,
                                           .dominators = &g.dominators,
                                           .own = g.own,
                                           .stack_of = stack_of,
                                           .context = &g};
    assert_int_equal(cycles_find(&cycles, &sources, &error), 0);
}

static void close_text(void)
{
    cycles_free(&cycles);
    graph_report_close(&g);
    report_close(&report);
}

static const struct cycle_group *group(const char *pattern)
{
    for (size_t i = 0; i < cycles.count; i++)
        if (strcmp(cycles.groups[i].pattern, pattern) == 0)
            return &cycles.groups[i];
    for (size_t i = 0; i < cycles.count; i++)
        print_message("there is: %s\n", cycles.groups[i].pattern);
    fail_msg("no pattern %s", pattern);
    return NULL;
}

#define GC "type app.Parent gc heap\ntype app.Child gc heap\ntype dict gc\ntype list gc\n"

/* Instances with dicts, with slots, in any order of creation: one pattern each, and what hangs on them. */
static void test_families(void **state)
{
    (void)state;
    open_text(GC
              "stack s f app.py 3\nstack t g app.py 9\n"
              /* attributes in dicts */
              "object p app.Parent size=50 tracked stack=s\nobject pd dict size=100 tracked\n"
              "object l list size=10 tracked\nobject c app.Child size=50 tracked\nobject cd dict size=100 tracked\n"
              "object s str size=1000\nobject shared str size=5000\nobject t str size=1\n"
              "edge p pd special __dict__\nedge pd l key children\nedge l c index 0\nedge c cd special __dict__\n"
              "edge cd p key parent\nedge cd s key text\nedge pd shared key shared\n"
              /* the same, made the other way around, with two children */
              "object c2 app.Child size=50 tracked\nobject cd2 dict size=100 tracked\n"
              "object c3 app.Child size=50 tracked\nobject cd3 dict size=100 tracked\n"
              "object p2 app.Parent size=50 tracked stack=t\nobject pd2 dict size=100 tracked\n"
              "object l2 list size=10 tracked\n"
              "edge p2 pd2 special __dict__\nedge pd2 l2 key children\nedge l2 c3 index 7\nedge l2 c2 index 3\n"
              "edge c2 cd2 special __dict__\nedge cd2 p2 key parent\nedge c3 cd3 special __dict__\n"
              "edge cd3 p2 key parent\nedge pd2 shared key shared\n"
              /* a third one */
              "object p3 app.Parent size=50 tracked stack=t\nobject pd3 dict size=100 tracked\n"
              "object l3 list size=10 tracked\nobject c4 app.Child size=50 tracked\nobject cd4 dict size=100 tracked\n"
              "edge p3 pd3 special __dict__\nedge pd3 l3 key children\nedge l3 c4 index 0\n"
              "edge c4 cd4 special __dict__\nedge cd4 p3 key parent\n"
              "snapshot\n");
    assert_int_equal(cycles.count, 1);
    const struct cycle_group *family = group("Parent.children[] → Child.parent");
    assert_true(family->garbage);
    assert_int_equal(family->count, 3);
    /* p: 5 and its text; p2: 7; p3: 5. What two of them share hangs on neither */
    assert_int_equal(family->objects, 5 + 1 + 7 + 5);
    assert_int_equal(family->bytes, 310 + 1000 + 460 + 310);
    assert_int_equal(family->link_count, 2);
    assert_int_equal(family->weaken, 1);
    assert_string_equal(family->links[1].name, ".parent");
    assert_int_equal(family->reasons, 0);
    struct frame frame = stacks_frame(report.stacks, family->stack);
    assert_memory_equal(frame.function.bytes, "g", 1);
    close_text();
}

/* Each reason for which the collector leaves a cycle alone. */
static void test_reasons(void **state)
{
    (void)state;
    open_text(
        GC
        "type ext.NoGC heap\ntype ext.Opaque gc\ntype ext.Forgets gc\n"
        "object a app.A1 tracked refs=+1\nobject b app.Child tracked\n"
        "edge a b attribute x1\nedge b a attribute y\n"
        "object c ext.NoGC\nobject d app.Child tracked\nedge c d attribute x2\nedge d c attribute y\n"
        "object e ext.Opaque tracked opaque\nobject f app.Child tracked\n"
        "edge e f attribute x3\nedge f e attribute y\n"
        "object h ext.Forgets tracked\nobject i app.Child tracked refs=+1\nedge h i hidden 24\nedge i h attribute y\n"
        "object j app.Parent\nobject k app.Child tracked\nedge j k attribute x5\nedge k j attribute y\n"
        "object m app.Parent tracked frozen finalized\nobject n app.Child tracked frozen\n"
        "edge m n attribute x6\nedge n m attribute y\n"
        "type app.A1 gc heap\n"
        "snapshot\n");
    assert_int_equal(cycles.count, 6);
    assert_int_equal(group("Child.y → A1.x1")->reasons, CYCLE_REFERENCES);
    assert_int_equal(group("Child.y → NoGC.x2")->reasons, CYCLE_NO_GC);
    assert_int_equal(group("Child.y → Opaque.x3")->reasons, CYCLE_OPAQUE);
    assert_int_equal(group("Forgets hidden at +24 → Child.y")->reasons, CYCLE_HIDDEN);
    assert_int_equal(group("Parent.x5 → Child.y")->reasons, CYCLE_UNTRACKED);
    assert_int_equal(group("Parent.x6 → Child.y")->reasons, CYCLE_FROZEN | CYCLE_FINALIZED);
    close_text();
}

/* Reachable ones, an object in itself, tracebacks; blocks alone are none. Names that lead back, and targets that live.
 */
static void test_shapes(void **state)
{
    (void)state;
    open_text(GC "type frame gc\ntype traceback gc\ntype ValueError gc\ntype function gc\ntype cell gc\n"
                 "root main frame main app.py 1\nobject held app.Parent tracked\nobject in app.Child tracked\n"
                 "edge main held local x\nedge held in attribute child\nedge in held attribute _owner\n"
                 "object self list tracked\nedge self self index 0\n"
                 "object e ValueError tracked\nobject tb traceback tracked\nobject fr frame tracked\n"
                 "edge e tb special __traceback__\nedge tb fr special tb_frame\nedge fr e local error\n"
                 "object f function tracked\nobject cell cell tracked\nobject cells tuple tracked\ntype tuple gc\n"
                 "edge f cells special __closure__\nedge cells cell cell me\nedge cell f special cell_contents\n"
                 "object left app.Parent tracked\nobject right app.Child tracked\nobject friend app.Child tracked\n"
                 "edge left right attribute one\nedge right left attribute two\nedge friend left attribute three\n"
                 "block b1 10\nblock b2 10\nedge b1 b2 pointer 0\nedge b2 b1 pointer 0\n"
                 "snapshot\n");
    assert_int_equal(cycles.count, 5);
    assert_false(cycles.groups[4].garbage);
    assert_string_equal(cycles.groups[4].pattern, "Parent.child → Child._owner");
    assert_int_equal(cycles.groups[4].weaken, 1);
    assert_int_equal(group("list[]")->objects, 1);
    assert_int_equal(group("list[]")->weaken, -1);
    const struct cycle_group *traceback = group("ValueError.__traceback__ → traceback.tb_frame → frame local error");
    assert_int_equal(traceback->weaken, 2);
    assert_int_equal(group("cell.cell_contents → function closure variable me")->weaken, 1);
    /* `left` has another referrer: it is the one that lives on */
    const struct cycle_group *pair = group("Parent.one → Child.two");
    assert_int_equal(pair->weaken, 1);
    close_text();
}

static const char *words(const char *name)
{
    static char line[1024];
    struct reach_path way;
    struct path_text text;
    line[0] = '\0';
    assert_int_equal(reach_path(&g.reach, &g.graph, (uint32_t)made_graph_node(name), &way), 0);
    assert_int_equal(path_text_make(&text, &g.graph, &way), 0);
    for (size_t i = 0; i < text.piece_count; i++) {
        strcat(line, i ? " > " : "");
        strcat(line, text.pieces[i]);
    }
    path_text_free(&text);
    reach_path_free(&way);
    return line;
}

static void test_paths(void **state)
{
    (void)state;
    open_text(
        "root modules interpreter sys.modules\nroot main frame Server.run app.py 12\nroot data data - /lib/ext.so 16\n"
        "object md dict\nobject app module\nobject ad dict\nobject cache dict\nobject s app.Session\nobject sd dict\n"
        "object user app.User\nobject tuple tuple\nobject f function\nobject list list\nobject deep app.User\n"
        "object set set\nobject member app.User\nblock memory 100\nobject fixed type static noblock\nobject doc str\n"
        "object value app.User\nobject local app.User\nobject c app.Held refs=+1\nobject nobody app.User\n"
        "edge modules md reference\nedge md app key app\nedge app ad special __dict__\nedge ad cache key cache\n"
        "edge cache s key u42\nedge s sd special __dict__\nedge sd user key user\n"
        "edge ad f key handler\nedge f tuple special __defaults__\nedge tuple list index 1\nedge list deep index 3\n"
        "edge s set attribute tags\nedge set member item\nedge user memory owns 8\nedge fixed doc attribute doc\n"
        "object class type type\ntype app.Session node=class\nobject registry dict\nobject entry app.User\n"
        "object cd dict\nedge ad class key Session\nedge class cd special __dict__\nedge cd registry key all\n"
        "object bare type type\nobject bd dict\nobject of_bare app.User\nedge ad bare key Bare\n"
        "edge bare bd special __dict__\nedge bd of_bare key x\n"
        "edge registry entry key k\n"
        "edge cache value value tuple\nedge main local local self\nedge data c pointer 8\n"
        "snapshot\n");
    assert_string_equal(words("app"), "module app");
    assert_string_equal(words("cache"), "module app > cache");
    assert_string_equal(words("user"), "module app > cache (dict) > ['u42'] > Session.user");
    assert_string_equal(words("sd"), "module app > cache (dict) > ['u42'] > Session.__dict__");
    assert_string_equal(words("deep"), "module app > handler > function.__defaults__ (tuple) > [1] (list) > [3]");
    assert_string_equal(words("member"), "module app > cache (dict) > ['u42'] > Session.tags (set) > {}");
    assert_string_equal(words("memory"), "module app > cache (dict) > ['u42'] > Session.user (User) > memory at +8");
    assert_string_equal(words("value"), "module app > cache (dict) > [<tuple>]");
    assert_string_equal(words("local"), "frame Server.run() app.py:12 > local self");
    assert_string_equal(words("doc"), "static type > type.doc");
    assert_string_equal(words("c"), "data of ext.so+0x10 > pointer at +8");
    assert_string_equal(words("md"), "sys.modules > reference");
    assert_string_equal(words("entry"), "module app > Session > Session.all (dict) > ['k']");
    assert_string_equal(words("of_bare"), "module app > Bare > Bare.x");
    assert_string_equal(words("nobody"), "");
    close_text();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
