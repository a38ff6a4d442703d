/*
 * graph_speed.c - how long the analyzer takes for a large snapshot, and how much memory.
 *
 *     ninja -C build tests/graph_speed && build/tests/graph_speed /tmp/large.hsk [OBJECTS [EDGES-PER-OBJECT]]
 *
 * Makes a trace with a graph in which most edges lead near (as in trees and lists), some anywhere (as through caches),
 * and one object in sixteen is garbage, half of it in cycles; then does all that reports do with it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "model/lifetimes.h"
#include "model/reach.h"
#include "record/encode.h"
#include "record/trace_writer.h"

#define PART_BYTES (1u << 18)

static uint64_t random_state = 1;

static uint64_t below(uint64_t limit)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % limit;
}

static void must(int code, const struct error *error)
{
    if (code != 0) {
        error_print(error);
        exit(3);
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* other programs do not count */
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void begin_part(struct buf *raw, uint64_t *part)
{
    buf_clear(raw);
    buf_append_varint(raw, 1);
    buf_append_varint(raw, (*part)++);
}

/* Nodes 1 .. count are objects, 0 is the root of all that is not garbage. */
static void make(const char *path, uint64_t count, uint64_t degree)
{
    struct error error = {0};
    struct trace_writer *writer;
    struct encoder encoder;
    struct buf raw = BUF_INIT;
    uint64_t part = 0, node = 0, address = 0, ordinal = 0;
    must(trace_writer_open(&writer, path, true, &error), &error);
    must(encoder_init(&encoder, 0, 0), &error);
    for (uint64_t i = 0; i < count; i++) {
        encoder_alloc(&encoder, UINT64_C(0x7f0000000000) + 64 * i, 56, 0, HSK_DOMAIN_PY_OBJECT, false);
        if (encoder_full(&encoder))
            must(encoder_flush(&encoder, writer, &error), &error);
    }
    must(encoder_flush(&encoder, writer, &error), &error);
    begin_part(&raw, &part);
    buf_append_varint(&raw, HSK_GRAPH_ROOT | HSK_ROOT_INTERPRETER << 3);
    buf_append_signed(&raw, 0);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 0);
    buf_append_varint(&raw, 1);
    buf_append_varint(&raw, HSK_EDGE_REFERENCE);
    buf_append_signed(&raw, 1);
    for (uint64_t i = 1; i <= count; i++) {
        if (raw.length > PART_BYTES) {
            must(trace_writer_buf(writer, HSK_CHUNK_GRAPH, &raw, 0, 0, &error), &error);
            begin_part(&raw, &part);
            node = address = ordinal = 0;
        }
        int64_t delta = (int64_t)(UINT64_C(0x7f0000000000) + 64 * (i - 1) - address);
        bool garbage = i % 16 == 0;
        buf_append_varint(&raw, HSK_GRAPH_OBJECT | HSK_OBJECT_TRACKED << 3);
        buf_append_signed(&raw, (int64_t)(i - node));
        buf_append_varint(&raw, zigzag(delta / 8) * 2);
        buf_append_varint(&raw, 1 + zigzag((int64_t)(i - 1 - ordinal)));
        buf_append_varint(&raw, 0);
        buf_append_varint(&raw, degree);
        buf_append_varint(&raw, degree);
        node = i;
        address += (uint64_t)delta;
        ordinal = i - 1;
        uint64_t target = i;
        for (uint64_t e = 0; e < degree; e++) {
            uint64_t next = e == 0 ? i + 1 : below(8) ? i + 1 + below(64) : 1 + below(count);
            if (garbage && below(2))
                next = i - 16 * below(4);
            if (!garbage && next % 16 == 0) /* what is alive does not hold garbage */
                next++;
            next = next < 1 || next > count ? 1 : next;
            buf_append_varint(&raw, HSK_EDGE_INDEX | e << 4);
            buf_append_signed(&raw, (int64_t)(next - target));
            target = next;
        }
    }
    must(trace_writer_buf(writer, HSK_CHUNK_GRAPH, &raw, 0, 0, &error), &error);
    buf_clear(&raw);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_NUMBER, 1);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_EVENT, count);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_PARTS, part);
    trace_field_number(&raw, HSK_FIELD_SNAPSHOT_WHOLE, 1);
    must(trace_writer_buf(writer, HSK_CHUNK_SNAPSHOT, &raw, 0, 0, &error), &error);
    must(trace_writer_finish(writer, &error), &error);
    encoder_destroy(&encoder);
    buf_free(&raw);
}

static double last;

static void lap(const char *what)
{
    double now = seconds();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%-12s %6.2f s   %5ld MiB at most\n", what, now - last, usage.ru_maxrss / 1024);
    fflush(stdout);
    last = seconds();
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: graph_speed FILE [OBJECTS [EDGES-PER-OBJECT]]\n");
        return 2;
    }
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 0) : 10000000;
    uint64_t degree = argc > 3 ? strtoull(argv[3], NULL, 0) : 3;
    struct error error = {0};
    struct trace_reader *reader;
    struct snapshots snapshots;
    struct ref_graph graph;
    struct reach reach;
    struct components components;
    struct dominators dominators;
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX};
    last = seconds();
    make(argv[1], count, degree);
    lap("make");
    double begin = last;
    must(trace_reader_open(argv[1], &reader, &error), &error);
    must(snapshots_list(&snapshots, reader, &error), &error);
    must(ref_graph_load(&graph, reader, &snapshots.list[0], &error), &error);
    lap("load");
    struct lifetimes *lifetimes = lifetimes_new();
    must(lifetimes_replay(lifetimes, reader, &replay, &error), &error);
    uint64_t *own = calloc((size_t)graph.node_count + 1, sizeof *own);
    for (uint32_t n = 0; own && n < graph.node_count; n++) {
        const struct life_block *block = lifetimes_find(lifetimes, ref_ordinal(&graph.nodes[n]));
        own[n] = block ? life_block_size(block) : 0;
    }
    lap("sizes");
    must(reach_compute(&reach, &graph, &error), &error);
    lap("reach");
    must(components_compute(&components, &graph, &reach, &error), &error);
    lap("components");
    must(dominators_compute(&dominators, &graph, &reach, own, &error), &error);
    lap("dominators");
    uint64_t garbage = 0, cyclic = 0;
    for (uint32_t n = 0; n < graph.node_count; n++) {
        garbage += !reach_alive(&reach, n);
        cyclic += components.of[n] != 0;
    }
    printf("%" PRIu32 " nodes, %" PRIu64 " edges, %" PRIu64 " garbage, %" PRIu64 " in %" PRIu32
           " cycles, %.1f MiB of trace: %.2f s\n",
           graph.node_count, graph.edge_count, garbage, cyclic, components.count - 1, (double)reader->bytes / 1048576,
           seconds() - begin);
    dominators_free(&dominators);
    components_free(&components);
    reach_free(&reach);
    free(own);
    lifetimes_free(lifetimes);
    ref_graph_free(&graph);
    snapshots_free(&snapshots);
    trace_reader_close(reader);
    return 0;
}
