/* test_ref_graph.c - the graph of a snapshot is what its description says, also where the file lost parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "make_graph.h"
#include "model/ref_graph.h"
#include "record/trace_writer.h"
#include "temporary_file.h"

static const char family[] = "stack load load_users app.py 12\n"
                             "type app.User gc heap finalizer\n"
                             "time 100\n"
                             "object parent app.User size=64 refs=+1 stack=load tracked\n"
                             "object child app.Child.Inner size=48 refs=7\n"
                             "object fixed int size=28 noblock static immortal at=0x555500000041\n"
                             "block buffer 4096 stack=load\n"
                             "root main frame main src/app.py 20\n"
                             "root data data - /usr/lib/libfoo.so 64\n"
                             "edge main parent local user\n"
                             "edge parent child attribute child\n"
                             "edge child parent attribute parent\n"
                             "edge child fixed index 3\n"
                             "edge parent buffer owns 16\n"
                             "edge parent child weak\n"
                             "edge data buffer interior 8\n"
                             "snapshot asked\n"
                             "free buffer\n"
                             "split parent\n"
                             "parts 1\n"
                             "problem 'no memory' left\n"
                             "not-whole\n"
                             "snapshot exit\n";

static struct trace_reader *reader;
static struct graph_snapshots snapshots;
static struct ref_graph graph;

static void load(size_t index)
{
    struct error error = {0};
    assert_int_equal(ref_graph_load(&graph, reader, &snapshots.list[index], &error), 0);
}

static void open_text(const char *text)
{
    struct error error = {0};
    assert_int_equal(made_graph_write(temporary_file, text), 0);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(graph_snapshots_list(&snapshots, reader, &error), 0);
}

static void close_text(void)
{
    ref_graph_free(&graph);
    graph_snapshots_free(&snapshots);
    trace_reader_close(reader);
}

static const struct ref_edge *edge_of(const char *from, size_t index)
{
    uint32_t node = (uint32_t)made_graph_node(from);
    assert_true(graph.first[node] + index < graph.first[node + 1]);
    return &graph.edges[graph.first[node] + index];
}

static const char *edge_text(const char *from, size_t index)
{
    static char text[64];
    return ref_edge_text(&graph, *edge_of(from, index), text, sizeof text);
}

static void test_family(void **state)
{
    (void)state;
    char text[64];
    open_text(family);
    assert_int_equal(snapshots.count, 2);
    assert_int_equal(snapshots.list[0].number, 1);
    assert_string_equal(snapshots.list[0].reason, "asked");
    assert_true(snapshots.list[0].whole);
    assert_int_equal(snapshots.list[0].event, 3);
    assert_int_equal(snapshots.list[0].time_ns, 100000000);
    assert_int_equal(snapshots.list[0].edges, 7);
    load(0);
    assert_int_equal(graph.node_count, 6);
    assert_int_equal(graph.edge_count, 7);
    assert_int_equal(graph.missing_parts, 0);
    const struct ref_node *parent = &graph.nodes[made_graph_node("parent")];
    assert_int_equal(ref_kind(parent), REF_OBJECT);
    assert_int_equal(ref_ordinal(parent), 0);
    assert_int_equal(parent->refcount, 3);
    assert_int_equal(parent->flags, HSK_OBJECT_TRACKED);
    assert_int_equal(graph.types[parent->type].flags, HSK_TYPE_GC | HSK_TYPE_HEAP | HSK_TYPE_FINALIZER);
    assert_string_equal(ref_type_name(&graph, parent->type, text, sizeof text), "app.User");
    assert_string_equal(ref_type_name(&graph, parent->type, text, 6), "app.U");
    const struct ref_node *child = &graph.nodes[made_graph_node("child")];
    assert_int_equal(ref_ordinal(child), 1);
    assert_int_equal(child->refcount, 7);
    assert_string_equal(ref_type_name(&graph, child->type, text, sizeof text), "app.Child.Inner");
    const struct ref_node *fixed = &graph.nodes[made_graph_node("fixed")];
    assert_int_equal(ref_ordinal(fixed), REF_NO_ORDINAL);
    assert_int_equal(fixed->address, 0x555500000041);
    assert_int_equal(fixed->size, 28);
    assert_int_equal(fixed->flags, HSK_OBJECT_STATIC | HSK_OBJECT_IMMORTAL);
    assert_string_equal(ref_type_name(&graph, fixed->type, text, sizeof text), "int");
    const struct ref_node *buffer = &graph.nodes[made_graph_node("buffer")];
    assert_int_equal(ref_kind(buffer), REF_BLOCK);
    assert_int_equal(ref_ordinal(buffer), 2);
    uint32_t main_node = (uint32_t)made_graph_node("main"), data = (uint32_t)made_graph_node("data");
    assert_string_equal(ref_root_text(&graph, main_node, text, sizeof text), "frame main() app.py:20");
    assert_string_equal(ref_root_text(&graph, data, text, sizeof text), "data of libfoo.so+0x40");
    assert_string_equal(ref_root_text(&graph, 0, text, sizeof text), "?");
    assert_string_equal(edge_text("main", 0), "local user");
    assert_string_equal(edge_text("parent", 0), ".child");
    assert_string_equal(edge_text("child", 1), "[3]");
    assert_string_equal(edge_text("parent", 1), "memory at +16");
    assert_string_equal(edge_text("parent", 2), "weak reference");
    assert_string_equal(edge_text("data", 0), "inner pointer at +8");
    /* reverse: who refers to the parent */
    uint32_t number = (uint32_t)made_graph_node("parent");
    assert_int_equal(graph.source_first[number + 1] - graph.source_first[number], 2);
    assert_int_equal(graph.sources[graph.source_first[number]], made_graph_node("child"));
    assert_int_equal(graph.sources[graph.source_first[number] + 1], main_node);
    close_text();
}

/* The second snapshot: without the buffer, in many parts, with one node in several records. */
static void test_parts(void **state)
{
    (void)state;
    open_text(family);
    assert_false(snapshots.list[1].whole);
    assert_int_equal(snapshots.list[1].problem_count, 1);
    assert_string_equal(snapshots.list[1].problems[0], "no memory left");
    assert_int_equal(snapshots.list[1].parts, 5);
    load(1);
    assert_int_equal(graph.missing_parts, 0);
    assert_int_equal(graph.edge_count, 5);
    assert_int_equal(ref_kind(&graph.nodes[made_graph_node("buffer")]), REF_MISSING);
    assert_int_equal(graph.nodes[made_graph_node("parent")].refcount, 3);
    assert_string_equal(edge_text("parent", 0), ".child");
    assert_string_equal(edge_text("parent", 1), "weak reference");
    assert_true(trace_reader_complete(reader));
    close_text();
}

/* Each part in turn is lost: what it described is missing, the rest is there. */
static void test_lost_parts(void **state)
{
    (void)state;
    open_text(family);
    size_t parts[8], count = 0;
    for (size_t i = 0; i < reader->chunk_count; i++)
        if (reader->chunks[i].header.type == HSK_CHUNK_GRAPH && count < 8)
            parts[count++] = i;
    assert_int_equal(count, 6);
    for (size_t lost = 1; lost < count; lost++) {
        reader->chunks[parts[lost]].state = TRACE_CHUNK_DAMAGED;
        load(1);
        reader->chunks[parts[lost]].state = TRACE_CHUNK_WHOLE;
        assert_int_equal(graph.missing_parts, 1);
        assert_int_equal(graph.node_count, lost == 5 ? 5 : 6); /* the last one is named nowhere else */
        uint64_t edges = 0;
        for (uint32_t n = 0; n < graph.node_count; n++) {
            assert_true(graph.first[n] <= graph.first[n + 1]);
            edges += graph.first[n + 1] - graph.first[n];
        }
        assert_int_equal(edges, graph.edge_count);
        ref_graph_free(&graph);
    }
    close_text();
}

/* A GRAPH chunk with these bytes behind its head, among others that are whole. */
static void check_hostile(const uint8_t *bytes, size_t length, bool damaged)
{
    struct trace_writer *writer;
    struct error error = {0};
    struct buf raw = BUF_INIT;
    static const uint8_t good[] = {1, 0, HSK_GRAPH_BLOCK, 0, 16, 0, 32, 0};
    assert_int_equal(trace_writer_open(&writer, temporary_file, true, &error), 0);
    trace_field_number(&raw, HSK_FIELD_PID, 1);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_PROCESS, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    buf_append(&raw, good, sizeof good);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_GRAPH, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    buf_append_varint(&raw, 1);
    buf_append_varint(&raw, 1);
    buf_append(&raw, bytes, length);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_GRAPH, &raw, 0, 0, &error), 0);
    buf_clear(&raw);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_NUMBER, 1);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_PARTS, 2);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SNAPSHOT, &raw, 0, 0, &error), 0);
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    buf_free(&raw);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    assert_int_equal(graph_snapshots_list(&snapshots, reader, &error), 0);
    load(0);
    assert_int_equal(graph.missing_parts, damaged);
    assert_int_equal(reader->chunks[2].state == TRACE_CHUNK_DAMAGED, damaged);
    if (damaged) {
        assert_int_equal(graph.node_count, 1);
        assert_int_equal(graph.edge_count, 0);
    }
    assert_int_equal(ref_kind(&graph.nodes[0]), REF_BLOCK);
    assert_int_equal(graph.nodes[0].address, 32);
    close_text();
}

#define HOSTILE(damaged, ...)                                                                                          \
    check_hostile((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), damaged)

static void test_hostile(void **state)
{
    (void)state;
    HOSTILE(false, HSK_GRAPH_BLOCK, 2, 16, 0, 32, 1, HSK_EDGE_POINTER, 1); /* 1 -> 0                       */
    HOSTILE(false, HSK_GRAPH_OBJECT, 2, 16, 0, 32, 99, 1, 1, HSK_EDGE_ATTRIBUTE | 0x30, 1); /* unknown type, string  */
    HOSTILE(true, HSK_GRAPH_BLOCK, 1, 16, 0, 32, 0);                            /* node -1                      */
    HOSTILE(true, HSK_GRAPH_BLOCK, 2, 16, 0, 32, 1, HSK_EDGE_POINTER, 3);       /* edge to node -1               */
    HOSTILE(true, HSK_GRAPH_BLOCK, 2, 16, 0, 32, 2, HSK_EDGE_POINTER, 1);       /* an edge too few               */
    HOSTILE(true, HSK_GRAPH_BLOCK, 2, 16, 0, 32, 0xff, 0xff, 0xff, 0xff, 0x7f); /* 2^35 edges                    */
    HOSTILE(true, HSK_GRAPH_BLOCK, 0xfe, 0xff, 0xff, 0xff, 0x0f, 16, 0, 32, 0); /* node 2^31                     */
    HOSTILE(true, HSK_GRAPH_BLOCK, 2, 16, 2, 0);                                /* ordinal -1                    */
    HOSTILE(true, HSK_GRAPH_STRING, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 'a');      /* string 2^32                   */
    HOSTILE(true, HSK_GRAPH_STRING, 1, 5, 'a');                                 /* a string too long             */
    HOSTILE(true, HSK_GRAPH_TYPE, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0); /* type object 2^32              */
    HOSTILE(true, 6);                                                           /* an unknown record             */
    HOSTILE(true, HSK_GRAPH_ROOT, 2, 0);                                        /* ends in the midst             */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_lost_parts),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
