/*
 * test_reach.c - reachability, loss, components, dominators and retained sizes: against their definitions on small
 * random graphs, and on graphs whose answers are known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "make_graph.h"
#include "model/reach.h"
#include "temporary_file.h"

#define NODES 11
#define EDGES 40

static uint64_t random_state = 1;

static uint32_t below(uint32_t limit)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) % limit);
}

/* A random graph without a file: the arrays as ref_graph_load() would leave them. */
struct small {
    struct ref_graph graph;
    struct ref_node nodes[NODES];
    struct ref_edge edges[EDGES];
    uint64_t first[NODES + 1], own[NODES];
    struct ref_type type;
    struct text string;
    /* relations by definition: one step and any number of steps (0 too) */
    bool holds[NODES][NODES], reaches[NODES][NODES];
};

static void close_relation(bool relation[NODES][NODES], uint32_t count)
{
    for (uint32_t n = 0; n < count; n++)
        relation[n][n] = true;
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t j = 0; j < count; j++)
                relation[i][j] |= relation[i][k] && relation[k][j];
}

static void make_small(struct small *s)
{
    static const uint8_t kinds[] = {HSK_EDGE_REFERENCE, HSK_EDGE_ATTRIBUTE, HSK_EDGE_WEAK,    HSK_EDGE_BORROWED,
                                    HSK_EDGE_HIDDEN,    HSK_EDGE_OWNS,      HSK_EDGE_POINTER, HSK_EDGE_INTERIOR};
    memset(s, 0, sizeof *s);
    uint32_t count = 1 + below(NODES), density = 1 + below(4);
    s->graph = (struct ref_graph){.nodes = s->nodes,
                                  .node_count = count,
                                  .edges = s->edges,
                                  .first = s->first,
                                  .types = &s->type,
                                  .type_count = 1,
                                  .strings = &s->string,
                                  .string_count = 1};
    s->string = (struct text){"", 0};
    uint32_t address = 1000;
    for (uint32_t n = 0; n < count; n++) {
        unsigned kind = below(8) == 0 ? REF_ROOT : below(2) ? REF_BLOCK : REF_OBJECT;
        s->nodes[n] = (struct ref_node){.ordinal_kind = (uint64_t)n << 8 | kind};
        s->nodes[n].address = address + (below(2) ? 16 * n : 500 - 16 * n);
        s->nodes[n].type = kind == REF_ROOT ? 1 + below(6) : 0;
        if (kind == REF_OBJECT)
            s->nodes[n].flags = below(12) == 0 ? HSK_OBJECT_IMMORTAL : below(12) == 0 ? HSK_OBJECT_STATIC : 0;
        s->own[n] = UINT64_C(1) << n;
    }
    for (uint32_t n = 0; n < count; n++) {
        s->first[n] = s->graph.edge_count;
        for (uint32_t e = below(density + 1); e > 0 && s->graph.edge_count < EDGES; e--)
            s->edges[s->graph.edge_count++] =
                (struct ref_edge){.target = below(count), .name = kinds[below(below(2) ? 8 : 2)]};
    }
    s->first[count] = s->graph.edge_count;
    for (uint32_t n = 0; n < count; n++) {
        if (ref_kind(&s->nodes[n]) != REF_OBJECT)
            continue;
        for (uint64_t e = 0; e < s->graph.edge_count; e++)
            s->nodes[n].refcount += s->edges[e].target == n && HSK_EDGE_COUNTED(ref_edge_kind(s->edges[e]));
        s->nodes[n].refcount += below(3) == 0;
    }
}

/* holds[][] in words of reach.h, from refcounts that this test counts itself. */
static void relate(struct small *s)
{
    for (uint32_t n = 0; n < s->graph.node_count; n++) {
        for (uint64_t e = s->first[n]; e < s->first[n + 1]; e++) {
            uint32_t target = s->edges[e].target;
            enum hsk_edge kind = ref_edge_kind(s->edges[e]);
            uint32_t counted = 0;
            for (uint64_t other = 0; other < s->graph.edge_count; other++)
                counted += s->edges[other].target == target && HSK_EDGE_COUNTED(ref_edge_kind(s->edges[other]));
            bool word = kind == HSK_EDGE_HIDDEN || kind == HSK_EDGE_POINTER || kind == HSK_EDGE_INTERIOR;
            bool believed = ref_kind(&s->nodes[target]) != REF_OBJECT ||
                            (s->nodes[target].refcount != counted && !(s->nodes[target].flags & HSK_OBJECT_IMMORTAL));
            if (HSK_EDGE_COUNTED(kind) || kind == HSK_EDGE_OWNS || (word && believed) ||
                (kind == HSK_EDGE_BORROWED && ref_kind(&s->nodes[n]) == REF_ROOT))
                s->holds[n][target] = true;
        }
    }
    memcpy(s->reaches, s->holds, sizeof s->reaches);
    close_relation(s->reaches, s->graph.node_count);
}

static bool is_root(const struct small *s, uint32_t n)
{
    return ref_kind(&s->nodes[n]) == REF_ROOT ||
           (ref_kind(&s->nodes[n]) == REF_OBJECT && s->nodes[n].flags & (HSK_OBJECT_IMMORTAL | HSK_OBJECT_STATIC));
}

static bool from_roots(const struct small *s, bool relation[NODES][NODES], uint32_t n)
{
    for (uint32_t root = 0; root < s->graph.node_count; root++)
        if (is_root(s, root) && relation[root][n])
            return true;
    return false;
}

static void check_classes(const struct small *s, const struct reach *reach)
{
    bool start[NODES][NODES] = {0}, lost[NODES][NODES] = {0};
    uint32_t count = s->graph.node_count;
    for (uint32_t n = 0; n < count; n++)
        for (uint64_t e = s->first[n]; e < s->first[n + 1]; e++)
            start[n][s->edges[e].target] |=
                reach_holds(&s->graph, reach, n, s->edges[e]) && ref_edge_kind(s->edges[e]) != HSK_EDGE_INTERIOR;
    close_relation(start, count);
    for (uint32_t n = 0; n < count; n++) {
        assert_int_equal(reach_alive(reach, n), from_roots(s, (bool(*)[NODES])s->reaches, n));
        assert_int_equal(reach->class[n] == REACH_REACHABLE, from_roots(s, start, n));
        struct reach_path way;
        assert_int_equal(reach_path(reach, &s->graph, n, &way), 0);
        assert_int_equal(way.length > 0, reach_alive(reach, n));
        if (way.length > 0) {
            assert_true(is_root(s, way.nodes[0]));
            assert_int_equal(way.nodes[way.length - 1], n);
            for (size_t i = 0; i + 1 < way.length; i++) {
                uint32_t from = way.nodes[i];
                assert_true(way.edges[i] >= s->first[from] && way.edges[i] < s->first[from + 1]);
                assert_int_equal(s->edges[way.edges[i]].target, way.nodes[i + 1]);
                assert_true(s->holds[from][way.nodes[i + 1]]);
            }
        }
        reach_path_free(&way);
    }
    /* what is lost: ways that lead through blocks only */
    for (uint32_t n = 0; n < count; n++)
        for (uint32_t m = 0; m < count; m++)
            lost[n][m] = s->holds[n][m] && !reach_alive(reach, n) && !reach_alive(reach, m) &&
                         ref_kind(&s->nodes[m]) == REF_BLOCK;
    close_relation(lost, count);
    for (uint32_t n = 0; n < count; n++) {
        if (reach_alive(reach, n) || ref_kind(&s->nodes[n]) != REF_BLOCK) {
            assert_int_equal(reach->leader[n], n);
            assert_int_not_equal(reach->class[n], REACH_INDIRECT);
            continue;
        }
        bool leads = true, first_of_cycle = true, cycle = false;
        for (uint32_t m = 0; m < count; m++) {
            bool before =
                s->nodes[m].address != s->nodes[n].address ? s->nodes[m].address < s->nodes[n].address : m < n;
            bool both = m != n && lost[m][n] && lost[n][m];
            cycle |= both;
            first_of_cycle &= !both || !before;
            if (m != n && lost[m][n] && (!lost[n][m] || before))
                leads = false;
        }
        /* as in Memcheck, what comes later and points into a cycle, not at its first block, does not take it over */
        if (leads || !cycle || !first_of_cycle)
            assert_int_equal(reach->class[n], leads ? REACH_GARBAGE : REACH_INDIRECT);
        assert_true(lost[reach->leader[n]][n]);
        assert_int_equal(reach->class[reach->leader[n]], REACH_GARBAGE);
        assert_int_equal(reach->leader[n] == n, reach->class[n] == REACH_GARBAGE);
    }
}

static void check_components(const struct small *s, const struct reach *reach)
{
    struct components components;
    struct error error = {0};
    bool follows[NODES][NODES] = {0}, self[NODES];
    uint32_t count = s->graph.node_count;
    assert_int_equal(components_compute(&components, &s->graph, reach, &error), 0);
    for (uint32_t n = 0; n < count; n++)
        for (uint64_t e = s->first[n]; e < s->first[n + 1]; e++)
            follows[n][s->edges[e].target] |= components_follows(&s->graph, reach, n, s->edges[e]);
    for (uint32_t n = 0; n < count; n++)
        self[n] = follows[n][n];
    close_relation(follows, count);
    for (uint32_t n = 0; n < count; n++) {
        bool cycle = self[n];
        assert_true(components.of[n] < components.count);
        for (uint32_t m = 0; m < count; m++) {
            bool both = follows[n][m] && follows[m][n];
            cycle |= m != n && both;
            if (m != n && components.of[n] != 0)
                assert_int_equal(components.of[n] == components.of[m], both);
        }
        assert_int_equal(components.of[n] != 0, cycle);
    }
    components_free(&components);
}

/* What `starts` lead to when `without` is gone. */
static uint32_t led_to(const struct small *s, const struct reach *reach, uint32_t starts, uint32_t without)
{
    uint32_t met = starts & ~without, before;
    do {
        before = met;
        for (uint32_t n = 0; n < s->graph.node_count; n++)
            for (uint32_t m = 0; m < s->graph.node_count; m++)
                if (met & 1u << n && s->holds[n][m] && reach_alive(reach, n) == reach_alive(reach, m))
                    met |= 1u << m & ~without;
    } while (met != before);
    return met;
}

static void check_dominators(const struct small *s, const struct reach *reach)
{
    struct dominators dominators;
    struct error error = {0};
    uint32_t starts = 0, count = s->graph.node_count;
    assert_int_equal(dominators_compute(&dominators, &s->graph, reach, s->own, &error), 0);
    for (uint32_t n = 0; n < count; n++) {
        bool source = !reach_alive(reach, n) && dominators.immediate[n] == UINT32_MAX;
        for (uint32_t m = 0; m < count; m++)
            source &= reach_alive(reach, m) || !s->reaches[m][n] || s->reaches[n][m];
        starts |= (uint32_t)(is_root(s, n) || source) << n;
    }
    /* every group that holds itself and that nothing else holds has exactly one start */
    for (uint32_t n = 0; n < count; n++) {
        unsigned found = 0;
        bool source = !reach_alive(reach, n);
        for (uint32_t m = 0; m < count; m++) {
            source &= reach_alive(reach, m) || !s->reaches[m][n] || s->reaches[n][m];
            found += s->reaches[m][n] && s->reaches[n][m] && starts >> m & 1;
        }
        if (source)
            assert_int_equal(found, 1);
    }
    uint32_t all = led_to(s, reach, starts, 0);
    assert_int_equal(all, (1u << count) - 1);
    for (uint32_t n = 0; n < count; n++) {
        uint32_t gone = all & ~led_to(s, reach, starts, 1u << n);
        assert_int_equal(dominators.retained[n], gone); /* node n has 2^n bytes */
        uint32_t immediate = dominators.immediate[n];
        uint32_t above = 0; /* all that dominate n */
        for (uint32_t m = 0; m < count; m++)
            if (m != n && !(led_to(s, reach, starts, 1u << m) >> n & 1))
                above |= 1u << m;
        assert_int_equal(immediate == UINT32_MAX, above == 0);
        if (above) {
            assert_true(above >> immediate & 1);
            uint32_t further = 0;
            for (uint32_t m = 0; m < count; m++)
                if (m != immediate && !(led_to(s, reach, starts, 1u << m) >> immediate & 1))
                    further |= 1u << m;
            assert_int_equal(further, above & ~(1u << immediate));
        }
    }
    dominators_free(&dominators);
}

static void test_random(void **state)
{
    (void)state;
    static struct small s;
    unsigned indirect = 0, possible = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct reach reach;
        struct error error = {0};
        make_small(&s);
        relate(&s);
        assert_int_equal(reach_compute(&reach, &s.graph, &error), 0);
        check_classes(&s, &reach);
        check_components(&s, &reach);
        check_dominators(&s, &reach);
        for (uint32_t n = 0; n < s.graph.node_count; n++) {
            indirect += reach.class[n] == REACH_INDIRECT;
            possible += reach.class[n] == REACH_POSSIBLE;
        }
        reach_free(&reach);
    }
    assert_true(indirect > 1000 && possible > 1000);
}

static struct trace_reader *reader;
static struct graph_snapshots snapshots;
static struct ref_graph graph;
static struct reach reach;

static void open_text(const char *text)
{
    struct error error = {0};
    assert_int_equal(made_graph_write(temporary_file, text), 0);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(graph_snapshots_list(&snapshots, reader, &error), 0);
    assert_int_equal(ref_graph_load(&graph, reader, &snapshots.list[0], &error), 0);
    assert_int_equal(reach_compute(&reach, &graph, &error), 0);
}

static void close_text(void)
{
    reach_free(&reach);
    ref_graph_free(&graph);
    graph_snapshots_free(&snapshots);
    trace_reader_close(reader);
}

static enum reach_class class_of(const char *name)
{
    return reach.class[made_graph_node(name)];
}

/* The nine cases of Memcheck's manual: a pointer, an inner pointer (?) or none from the roots to A, from A to B. */
static void test_memcheck(void **state)
{
    (void)state;
    open_text("root data data - libc.so 0\n"
              "block b1 16\nblock a2 16\nblock b2 16\nblock b3 16\nblock a4 16\nblock b4 16\nblock b5 16\n"
              "block a6 16\nblock b6 16\nblock a7 16\nblock b7 16\nblock a8 16\nblock b8 16\nblock a9 16\nblock b9 16\n"
              "edge data b1 pointer 0\n"
              "edge data a2 pointer 8\nedge a2 b2 pointer 0\n"
              "edge a4 b4 pointer 0\n"
              "edge data b5 interior 16\n"
              "edge data a6 pointer 24\nedge a6 b6 interior 0\n"
              "edge data a7 interior 32\nedge a7 b7 pointer 0\n"
              "edge data a8 interior 40\nedge a8 b8 interior 0\n"
              "edge a9 b9 interior 0\n"
              "snapshot\n");
    assert_int_equal(class_of("b1"), REACH_REACHABLE);
    assert_int_equal(class_of("a2"), REACH_REACHABLE);
    assert_int_equal(class_of("b2"), REACH_REACHABLE);
    assert_int_equal(class_of("b3"), REACH_GARBAGE);
    assert_int_equal(class_of("a4"), REACH_GARBAGE);
    assert_int_equal(class_of("b4"), REACH_INDIRECT);
    assert_int_equal(reach.leader[made_graph_node("b4")], made_graph_node("a4"));
    assert_int_equal(class_of("b5"), REACH_POSSIBLE);
    assert_int_equal(class_of("a6"), REACH_REACHABLE);
    assert_int_equal(class_of("b6"), REACH_POSSIBLE);
    assert_int_equal(class_of("a7"), REACH_POSSIBLE);
    assert_int_equal(class_of("b7"), REACH_POSSIBLE);
    assert_int_equal(class_of("a8"), REACH_POSSIBLE);
    assert_int_equal(class_of("b8"), REACH_POSSIBLE);
    assert_int_equal(class_of("a9"), REACH_GARBAGE);
    assert_int_equal(class_of("b9"), REACH_INDIRECT);
    close_text();
}

/* A word on a stack holds an object only when its refcount says that somebody does. */
static void test_belief(void **state)
{
    (void)state;
    open_text(
        "root stack stack main - 77\n"
        "root frame frame f app.py 3\n"
        "object stale app.A tracked\nobject held app.A refs=+1 tracked\nobject borrowed app.A refs=1 tracked\n"
        "object weak app.A refs=1 tracked\nobject fixed int immortal noblock\nobject of_fixed app.A\n"
        "object fewer app.A refs=0\nobject other app.A refs=+1\nblock buffer 100\nblock hidden 10\n"
        "edge stale stale reference\n"
        "edge stack stale pointer 0\nedge stack held pointer 8\nedge frame borrowed borrowed x\n"
        "edge held weak weak\nedge fixed of_fixed attribute x\nedge stale buffer owns 8\nedge buffer hidden pointer 0\n"
        "edge held fewer hidden 16\nedge other fewer attribute x\n"
        "edge borrowed other borrowed\n"
        "snapshot\n");
    assert_int_equal(class_of("stale"), REACH_GARBAGE);
    assert_int_equal(class_of("held"), REACH_REACHABLE);
    assert_int_equal(class_of("borrowed"), REACH_REACHABLE);
    assert_int_equal(class_of("weak"), REACH_GARBAGE);
    assert_int_equal(class_of("fixed"), REACH_REACHABLE);
    assert_int_equal(class_of("of_fixed"), REACH_REACHABLE);
    assert_int_equal(class_of("fewer"), REACH_REACHABLE);
    assert_int_equal(class_of("other"), REACH_GARBAGE);
    assert_int_equal(class_of("buffer"), REACH_INDIRECT);
    assert_int_equal(reach.leader[made_graph_node("buffer")], made_graph_node("stale"));
    assert_int_equal(reach.leader[made_graph_node("hidden")], made_graph_node("stale"));
    assert_int_equal(reach.unexplained[made_graph_node("held")], 1);
    assert_int_equal(reach.unexplained[made_graph_node("stale")], 0);
    assert_int_equal(reach.unexplained[made_graph_node("fewer")], -1);
    assert_int_equal(reach.unexplained[made_graph_node("fixed")], 0);
    close_text();
}

/* A path begins at what Python names, though the way from a stack is shorter. */
static void test_certain_roots(void **state)
{
    (void)state;
    open_text("root stack stack main - 77\n"
              "root modules interpreter sys.modules\n"
              "object dict dict\nobject list list\nobject item app.A refs=+1\n"
              "edge stack item pointer 0\nedge modules dict reference\nedge dict list key x\nedge list item index 4\n"
              "snapshot\n");
    struct reach_path way;
    assert_int_equal(reach_path(&reach, &graph, (uint32_t)made_graph_node("item"), &way), 0);
    assert_int_equal(way.length, 4);
    assert_int_equal(way.nodes[0], made_graph_node("modules"));
    reach_path_free(&way);
    close_text();
}

/* A running function refers to its module's globals; what they hold is not held by it, but its own locals are. */
static void test_globals_of_a_frame(void **state)
{
    (void)state;
    open_text("root main frame main app.py 3\n"
              "root modules interpreter sys.modules\n"
              "object dict dict\nobject module module\nobject globals dict\nobject item app.A\nobject local app.A\n"
              "edge main globals borrowed f_globals\nedge main local local x\n"
              "edge modules dict reference\nedge dict module key app\nedge module globals special __dict__\n"
              "edge globals item key x\nsnapshot\n");
    struct reach_path way;
    assert_int_equal(reach_path(&reach, &graph, (uint32_t)made_graph_node("item"), &way), 0);
    assert_int_equal(way.nodes[0], made_graph_node("modules"));
    reach_path_free(&way);
    assert_int_equal(reach_path(&reach, &graph, (uint32_t)made_graph_node("local"), &way), 0);
    assert_int_equal(way.nodes[0], made_graph_node("main"));
    reach_path_free(&way);
    close_text();
}

/* What is alive is not one component because of its types; what is garbage is, with its types. */
static void test_program_edges(void **state)
{
    (void)state;
    struct components components;
    struct error error = {0};
    open_text("root modules interpreter sys.modules\n"
              "object module module\nobject globals dict\nobject class type type\nobject a app.A\nobject f function\n"
              "object g function\n"
              "edge modules module reference\nedge module globals special __dict__\nedge globals class key A\n"
              "edge globals a key a\nedge globals f key f\nedge a class special __class__\n"
              "edge class globals special __dict__\nedge f globals special __globals__\nedge f g cell other\n"
              "edge g f cell other\n"
              "object lost_class type type\nobject lost_dict dict\n"
              "edge lost_class lost_dict special __dict__\nedge lost_dict lost_class key x\n"
              "snapshot\n");
    assert_int_equal(components_compute(&components, &graph, &reach, &error), 0);
    assert_int_equal(components.of[made_graph_node("globals")], 0);
    assert_int_equal(components.of[made_graph_node("a")], 0);
    assert_int_not_equal(components.of[made_graph_node("f")], 0);
    assert_int_equal(components.of[made_graph_node("f")], components.of[made_graph_node("g")]);
    assert_int_not_equal(components.of[made_graph_node("lost_class")], 0);
    assert_int_equal(components.of[made_graph_node("lost_class")], components.of[made_graph_node("lost_dict")]);
    components_free(&components);
    close_text();
}

/* A list of a hundred thousand nodes needs no deep stack. */
static void test_long_chain(void **state)
{
    (void)state;
    enum { LENGTH = 100000 };
    struct ref_graph chain = {.node_count = LENGTH, .edge_count = LENGTH - 1, .type_count = 1, .string_count = 1};
    struct ref_type type = {0};
    struct text string = {"", 0};
    struct error error = {0};
    uint64_t *own = calloc(LENGTH, sizeof *own);
    chain.nodes = calloc(LENGTH, sizeof *chain.nodes);
    chain.edges = calloc(LENGTH, sizeof *chain.edges);
    chain.first = calloc(LENGTH + 1, sizeof *chain.first);
    chain.types = &type;
    chain.strings = &string;
    for (uint32_t n = 0; n < LENGTH; n++) {
        chain.nodes[n].ordinal_kind = n == 0 ? REF_ROOT : REF_OBJECT;
        chain.nodes[n].refcount = n > 0;
        own[n] = 1;
        chain.first[n + 1] = n + 1 < LENGTH ? n + 1 : n;
        if (n + 1 < LENGTH)
            chain.edges[n] = (struct ref_edge){.target = n + 1};
    }
    struct reach r;
    struct components components;
    struct dominators dominators;
    assert_int_equal(reach_compute(&r, &chain, &error), 0);
    assert_int_equal(components_compute(&components, &chain, &r, &error), 0);
    assert_int_equal(dominators_compute(&dominators, &chain, &r, own, &error), 0);
    for (uint32_t n = 0; n < LENGTH; n++) {
        assert_int_equal(r.class[n], REACH_REACHABLE);
        assert_int_equal(components.of[n], 0);
        assert_int_equal(dominators.retained[n], LENGTH - n);
    }
    reach_free(&r);
    components_free(&components);
    dominators_free(&dominators);
    free(own);
    free(chain.nodes);
    free(chain.edges);
    free(chain.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_memcheck),
        cmocka_unit_test(test_belief),
        cmocka_unit_test(test_certain_roots),
        cmocka_unit_test(test_globals_of_a_frame),
        cmocka_unit_test(test_program_edges),
        cmocka_unit_test(test_long_chain),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
