/* test_snapshot_graph.c - the snapshot child's tables and stream (preload/snapshot), read back from the area. */
#include <linux/futex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "session.h"
#include "snapshot/child.h"
#include "snapshot/graph.h"
#include "snapshot/nodes.h"
#include "snapshot/present.h"
#include "snapshot/scan.h"
#include "snapshot/stream.h"

struct child_guard *child_guard;
static struct hs_session fake_session;

/* ---- an area, and its reader ---- */

static struct hs_area *area;
static uint8_t *parts; /* the payloads of GRAPH frames, one behind the other */
static size_t part_ends[4096];
static unsigned part_count;
static uint8_t fields[65536];
static size_t fields_length;
static bool ended;

static int setup(void **state)
{
    (void)state;
    size_t size = HS_AREA_STREAM + HS_STREAM_BYTES;
    area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    area->magic = HS_AREA_MAGIC;
    area->number = 7;
    parts = mmap(NULL, (size_t)256 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    part_count = 0;
    fields_length = 0;
    ended = false;
    session.shared = &fake_session;
    *(uint32_t *)&fake_session.recorder_alive = 1;
    assert_true(graph_begin(area));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nodes_end();
    munmap(area, HS_AREA_STREAM + HS_STREAM_BYTES);
    munmap(parts, (size_t)256 << 20);
    return 0;
}

static void copy_out(uint64_t at, void *to, size_t length)
{
    const uint8_t *ring = (const uint8_t *)area + HS_AREA_STREAM;
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = ring[(at + i) & (HS_STREAM_BYTES - 1)];
}

/* Reads all frames that have been written, as a recorder does. */
static void drain(void)
{
    uint64_t tail = atomic_load(&area->tail), head = atomic_load(&area->head);
    while (tail < head) {
        assert_false(ended);
        struct hs_stream_frame frame;
        copy_out(tail, &frame, sizeof frame);
        assert_true(frame.length <= HS_STREAM_FRAME_MAX);
        size_t begin = part_count ? part_ends[part_count - 1] : 0;
        if (frame.kind == HS_STREAM_GRAPH) {
            copy_out(tail + sizeof frame, parts + begin, frame.length);
            part_ends[part_count++] = begin + frame.length;
        } else if (frame.kind == HS_STREAM_FIELDS) {
            assert_true(frame.length <= sizeof fields);
            copy_out(tail + sizeof frame, fields, fields_length = frame.length);
        } else {
            assert_int_equal(frame.kind, HS_STREAM_END);
            ended = true;
        }
        tail += sizeof frame + ((frame.length + 7) & ~7u);
    }
    assert_int_equal(tail, head);
    atomic_store(&area->tail, tail);
}

/* ---- a decoder ---- */

struct edge {
    unsigned kind;
    uint64_t argument;
    uint32_t target;
};

struct node {
    unsigned kind, records, edge_count;
    uint64_t flags, address, ordinal, size, type, refcount, name, where, line;
    bool in_block;
    struct edge *edges;
};

static struct node *decoded; /* by number */
static char (*strings)[64];
static unsigned string_count, type_count;
#define NODES_MAX 300000
#define STRINGS_MAX 40000

static uint64_t varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        value |= (uint64_t)(**at & 0x7f) << shift;
        if (*(*at)++ < 0x80)
            return value;
    }
}

static uint64_t difference(const uint8_t **at)
{
    uint64_t coded = varint(at);
    return coded >> 1 ^ -(coded & 1);
}

static void decode_string(const uint8_t **at)
{
    uint64_t number = varint(at), length = varint(at);
    assert_int_equal(number, string_count + 1); /* each once, in order */
    memcpy(strings[number], *at, length < 63 ? length : 63);
    *at += length;
    string_count++;
}

static void decode_type(const uint8_t **at)
{
    assert_int_equal(varint(at), ++type_count);
    for (unsigned i = 0; i < 3; i++)
        varint(at);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t length = varint(at);
        *at += length;
    }
}

static void decode_edges(const uint8_t **at, uint32_t number)
{
    struct node *node = &decoded[number];
    uint64_t count = varint(at);
    node->edges = realloc(node->edges, (node->edge_count + count + 1) * sizeof *node->edges);
    uint32_t target = number;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t head = varint(at);
        target += (uint32_t)difference(at);
        node->edges[node->edge_count++] = (struct edge){head & 15, head >> 4, target};
    }
}

static void decode_part(const uint8_t *at, const uint8_t *end, unsigned part)
{
    assert_int_equal(varint(&at), 7);
    assert_int_equal(varint(&at), part);
    uint64_t number = 0, address = 0, ordinal = 0;
    while (at < end) {
        uint64_t head = varint(&at);
        unsigned kind = head & 7;
        if (kind == HSK_GRAPH_STRING) {
            decode_string(&at);
            continue;
        }
        if (kind == HSK_GRAPH_TYPE) {
            decode_type(&at);
            continue;
        }
        number += difference(&at);
        assert_true(number < NODES_MAX);
        struct node *node = &decoded[number];
        assert_true(node->records == 0 || node->kind == kind);
        node->kind = kind;
        node->records++;
        if (kind != HSK_GRAPH_ROOT) {
            uint64_t coded = varint(&at), delta = (coded >> 2) ^ -(coded >> 1 & 1);
            address += coded & 1 ? delta : delta * 8;
            uint64_t in_block = varint(&at);
            node->in_block = in_block != 0;
            if (in_block) {
                uint64_t zigzag = in_block - 1;
                node->ordinal = ordinal += zigzag >> 1 ^ -(zigzag & 1);
            } else {
                node->size = varint(&at);
            }
            node->address = address;
        }
        if (kind == HSK_GRAPH_OBJECT) {
            node->flags |= head >> 3;
            node->type = varint(&at);
            node->refcount = varint(&at);
        } else if (kind == HSK_GRAPH_ROOT) {
            node->flags = head >> 3;
            node->name = varint(&at);
            node->where = varint(&at);
            node->line = varint(&at);
        } else {
            assert_int_equal(kind, HSK_GRAPH_BLOCK);
        }
        decode_edges(&at, (uint32_t)number);
    }
    assert_ptr_equal(at, end);
}

static void decode(void)
{
    drain();
    for (unsigned i = 0; decoded && i < NODES_MAX; i++)
        free(decoded[i].edges);
    free(decoded);
    free(strings);
    decoded = calloc(NODES_MAX, sizeof *decoded);
    strings = calloc(STRINGS_MAX, sizeof *strings);
    string_count = type_count = 0;
    for (unsigned i = 0; i < part_count; i++)
        decode_part(parts + (i ? part_ends[i - 1] : 0), parts + part_ends[i], i);
}

static bool has_field(enum hsk_field tag, const char *text)
{
    const uint8_t *at = fields, *end = fields + fields_length;
    while (at < end) {
        uint64_t found = varint(&at), length = varint(&at);
        if (found == tag && length == strlen(text) && !memcmp(at, text, length))
            return true;
        at += length;
    }
    return false;
}

static const struct edge *find_edge(uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < decoded[from].edge_count; i++)
        if (decoded[from].edges[i].target == to)
            return &decoded[from].edges[i];
    return NULL;
}

/* ---- nodes ---- */

#define BLOCK(address, size, ordinal) hs_live_block_pack((uintptr_t)(address), size, ordinal)

static void every_address_of_many_blocks_is_found(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct hs_live_block *blocks = calloc(COUNT, sizeof *blocks);
    /* Scattered in three regions, in an order that has nothing to do with the addresses. */
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t place = i * 7919 % COUNT;
        uint64_t region = place % 3 == 0 ? 0x5555aaaa0000 : place % 3 == 1 ? 0x7f0012340000 : 0x10000;
        blocks[i] = BLOCK(region + place * 64, place % 5 == 0 ? 0 : 16 + place % 40, place);
    }
    assert_true(nodes_begin(blocks, COUNT));
    memset(blocks, 0xff, COUNT * sizeof *blocks); /* read once, then never again */
    assert_int_equal(nodes_block_count(), COUNT);
    for (uint64_t place = 0; place < COUNT; place++) {
        uint64_t region = place % 3 == 0 ? 0x5555aaaa0000 : place % 3 == 1 ? 0x7f0012340000 : 0x10000;
        uint64_t start = region + place * 64, size = place % 5 == 0 ? 0 : 16 + place % 40;
        uint32_t found = nodes_find_block(start);
        assert_true(found < COUNT);
        assert_int_equal(nodes_block(found).ordinal, place);
        assert_int_equal(nodes_block(found).start, start);
        assert_int_equal(nodes_block(found).size, size);
        if (size) {
            assert_int_equal(nodes_find_block(start + size - 1), found);
            assert_int_equal(nodes_find_block(start + size), BLOCK_NONE);
        } else {
            assert_int_equal(nodes_find_block(start + 1), BLOCK_NONE);
        }
        assert_int_equal(nodes_find_block(start - 1), BLOCK_NONE);
    }
    free(blocks);
}

static void large_blocks_and_blocks_inside_of_them_are_found(void **state)
{
    (void)state;
    const uint64_t big = 0x7f1000000000, gib = UINT64_C(1) << 30;
    struct hs_live_block blocks[] = {
        BLOCK(big, 3 * gib + 5, 1),
        BLOCK(big + gib, 100, 2),                   /* the program's own block in its own mapping */
        BLOCK(big + 4 * gib, 5 * 4096, 3),          /* a few pages */
        BLOCK(big + 5 * gib + 4000, 200, 4),        /* across a page's end */
        BLOCK(big + 6 * gib - 4096, 300 * 4096, 5), /* across a gibibyte's end, and large */
    };
    assert_true(nodes_begin(blocks, HS_COUNT_OF(blocks)));
    const struct {
        uint64_t address, ordinal;
    } expected[] = {
        {big, 1},
        {big + 12345678, 1},
        {big + gib - 1, 1},
        {big + gib, 2},
        {big + gib + 99, 2},
        {big + gib + 100, 1},
        {big + 3 * gib + 4, 1},
        {big + 4 * gib + 3 * 4096, 3},
        {big + 5 * gib + 4096, 4},
        {big + 5 * gib + 4199, 4},
        {big + 6 * gib + 200 * 4096, 5},
    };
    for (unsigned i = 0; i < HS_COUNT_OF(expected); i++) {
        uint32_t found = nodes_find_block(expected[i].address);
        assert_true(found < HS_COUNT_OF(blocks));
        assert_int_equal(nodes_block(found).ordinal, expected[i].ordinal);
    }
    const uint64_t nobodys[] = {0, 1, big - 1, big + 3 * gib + 5, big + 5 * gib + 4200, big + 9 * gib, UINT64_MAX};
    for (unsigned i = 0; i < HS_COUNT_OF(nobodys); i++)
        assert_int_equal(nodes_find_block(nobodys[i]), BLOCK_NONE);
}

static void objects_are_numbered_and_queued_once(void **state)
{
    (void)state;
    struct hs_live_block blocks[] = {BLOCK(0x10000, 64, 0), BLOCK(0x20000, 4096, 1), BLOCK(0x30000, 64, 2)};
    assert_true(nodes_begin(blocks, 3));
    uint32_t in_block = nodes_of_object((void *)0x10010);
    uint32_t first_inside = nodes_of_object((void *)0x20010);
    uint32_t second_inside = nodes_of_object((void *)0x20800);
    assert_int_equal(nodes_of_object((void *)0x10010), in_block);
    assert_int_equal(nodes_of_object((void *)0x20800), second_inside);
    assert_int_not_equal(first_inside, second_inside);
    assert_int_equal(nodes_object_in_block(1), 0x20010);
    assert_int_equal(nodes_known_object(0x20800), second_inside);
    assert_int_equal(nodes_known_object(0x20808), NODE_NONE);
    assert_int_equal(nodes_known_object(0x30010), NODE_NONE);
    /* Enough of those in no block to enlarge the table several times. */
    enum { STATICS = 50000 };
    uint32_t statics[STATICS];
    for (uintptr_t i = 0; i < STATICS; i++)
        statics[i] = nodes_of_object((void *)(0x900000 + i * 48));
    for (uintptr_t i = 0; i < STATICS; i++) {
        assert_int_equal(nodes_known_object(0x900000 + i * 48), statics[i]);
        assert_int_equal(nodes_known_object(0x900000 + i * 48 + 8), NODE_NONE);
    }
    /* A block that was met as plain memory becomes the object's, also behind the queue's back. */
    uint32_t plain = nodes_of_block(2);
    const void *object;
    uint32_t node, seen = 0;
    while (nodes_next_object(&object, &node)) {
        assert_int_equal(nodes_of_object(object), node);
        seen++;
    }
    assert_int_equal(seen, 3 + STATICS);
    assert_int_equal(nodes_of_object((void *)0x30010), plain);
    assert_true(nodes_next_object(&object, &node));
    assert_int_equal(node, plain);
    assert_ptr_equal(object, (void *)0x30010);
    assert_false(nodes_next_object(&object, &node));
    assert_int_equal(nodes_count(), 4 + STATICS);
}

/* ---- graph ---- */

static void records_come_back_as_they_were_told(void **state)
{
    (void)state;
    struct hs_live_block blocks[] = {BLOCK(0x10000, 64, 500), BLOCK(0x20000, 32, 3)};
    assert_true(nodes_begin(blocks, 2));
    uint32_t object = nodes_of_object((void *)0x10010), outside = nodes_of_object((void *)0x77);
    uint32_t block = nodes_of_block(1), root = nodes_new();
    bool known;
    uint32_t type = graph_type((void *)0x5000, &known);
    assert_false(known);
    graph_type_describe(type, HSK_TYPE_GC, 48, NODE_NONE, "app", 3, "Thing", 5);
    assert_int_equal(graph_type((void *)0x5000, &known), type);
    assert_true(known);
    uint32_t name = graph_string("cache", 5);
    assert_int_equal(graph_string("cache", 5), name);
    assert_int_equal(graph_string("", 0), 0);

    graph_object_begin(&(struct graph_object){object, type, 0x10010, 48, 0xffffffff, HSK_OBJECT_TRACKED});
    assert_int_equal(graph_current_object(), 0x10010);
    assert_false(nodes_stamped(outside));
    graph_edge(HSK_EDGE_ATTRIBUTE, name, outside);
    assert_true(nodes_stamped(outside));
    graph_edge(HSK_EDGE_OWNS, 16, block);
    graph_object_flag(HSK_OBJECT_OPAQUE);
    graph_edge(HSK_EDGE_REFERENCE, 0, NODE_NONE); /* no memory for the target: left out */
    graph_end();
    graph_object_begin(&(struct graph_object){outside, type, 0x77, 24, 2, HSK_OBJECT_STATIC});
    graph_end();
    graph_block_begin(block, 1);
    assert_false(nodes_stamped(outside));
    graph_edge(HSK_EDGE_INTERIOR, 8, object);
    graph_end();
    graph_root_begin(root, HSK_ROOT_DATA, 0, name, 4096);
    graph_edge(HSK_EDGE_POINTER, 24, block);
    graph_end();
    graph_field(HSK_FIELD_SNAPSHOT_WALK, 12345);
    graph_problem("Something is missing.");
    graph_problem("Something is missing.");
    graph_finish();
    decode();
    assert_true(ended);

    assert_int_equal(decoded[object].kind, HSK_GRAPH_OBJECT);
    assert_int_equal(decoded[object].flags, HSK_OBJECT_TRACKED | HSK_OBJECT_OPAQUE);
    assert_int_equal(decoded[object].address, 0x10010);
    assert_int_equal(decoded[object].ordinal, 500);
    assert_int_equal(decoded[object].type, type);
    assert_int_equal(decoded[object].refcount, 0xffffffff);
    assert_int_equal(decoded[object].edge_count, 2);
    assert_int_equal(find_edge(object, outside)->kind, HSK_EDGE_ATTRIBUTE);
    assert_string_equal(strings[find_edge(object, outside)->argument], "cache");
    assert_int_equal(find_edge(object, block)->argument, 16);
    assert_false(decoded[outside].in_block);
    assert_int_equal(decoded[outside].address, 0x77);
    assert_int_equal(decoded[outside].size, 24);
    assert_int_equal(decoded[block].kind, HSK_GRAPH_BLOCK);
    assert_int_equal(decoded[block].address, 0x20000);
    assert_int_equal(decoded[block].ordinal, 3);
    assert_int_equal(find_edge(block, object)->kind, HSK_EDGE_INTERIOR);
    assert_int_equal(decoded[root].kind, HSK_GRAPH_ROOT);
    assert_int_equal(decoded[root].flags, HSK_ROOT_DATA);
    assert_int_equal(decoded[root].line, 4096);
    assert_string_equal(strings[decoded[root].where], "cache");
    assert_true(has_field(HSK_FIELD_SNAPSHOT_NODES, "4"));
    assert_true(has_field(HSK_FIELD_SNAPSHOT_EDGES, "4"));
    assert_true(has_field(HSK_FIELD_SNAPSHOT_WALK, "12345"));
    assert_true(has_field(HSK_FIELD_SNAPSHOT_PROBLEM, "Something is missing."));
}

static void a_node_with_many_edges_is_told_in_several_records(void **state)
{
    (void)state;
    enum { EDGES = 200000 };
    assert_true(nodes_begin(NULL, 0));
    uint32_t dict = nodes_of_object((void *)0x1000);
    for (uint32_t i = 1; i <= EDGES; i++)
        assert_int_equal(nodes_of_object((void *)(uintptr_t)(0x100000 + i * 16)), i);
    graph_object_begin(&(struct graph_object){dict, 0, 0x1000, 64, 1, 0});
    for (uint32_t i = EDGES; i > 0; i--) {
        char key[32];
        size_t length = (size_t)snprintf(key, sizeof key, "key_%u", i % 30000);
        graph_edge(HSK_EDGE_KEY, graph_string(key, length), i);
        if (i % 1000 == 0)
            drain();
    }
    graph_end();
    graph_finish();
    decode();
    assert_true(part_count > 1);
    assert_true(decoded[dict].records > 1);
    assert_int_equal(decoded[dict].edge_count, EDGES);
    for (uint32_t i = 0; i < EDGES; i++) {
        const struct edge *edge = &decoded[dict].edges[i];
        assert_int_equal(edge->target, EDGES - i);
        char key[32];
        snprintf(key, sizeof key, "key_%u", (EDGES - i) % 30000);
        assert_string_equal(strings[edge->argument], key);
    }
    assert_int_equal(string_count, 30000);
}

static void a_stop_ends_everything(void **state)
{
    (void)state;
    assert_true(nodes_begin(NULL, 0));
    atomic_store(&area->stop, 1);
    for (uintptr_t i = 0; i < 100000 && !graph_stopped(); i++) {
        uint32_t node = nodes_of_object((void *)(0x1000 + i * 16));
        graph_object_begin(&(struct graph_object){node, 0, 0x1000 + i * 16, 64, 1, 0});
        graph_end();
    }
    assert_true(graph_stopped());
    graph_finish();
    assert_int_equal(atomic_load(&area->head), 0);
}

static void a_recorder_that_died_ends_the_waiting(void **state)
{
    (void)state;
    *(uint32_t *)&fake_session.recorder_alive = 1 | FUTEX_OWNER_DIED;
    char *bytes = calloc(1, HS_STREAM_FRAME_MAX);
    for (unsigned i = 0; i < 20; i++) /* more than the ring holds, and nobody reads */
        stream_write(HS_STREAM_GRAPH, bytes, HS_STREAM_FRAME_MAX);
    assert_true(stream_stopped());
    assert_true(atomic_load(&area->head) <= HS_STREAM_BYTES);
    free(bytes);
}

/* ---- scan ---- */

static uint32_t node_of_block_at(const void *address)
{
    return nodes_of_block(nodes_find_block((uintptr_t)address));
}

static void words_become_edges_by_what_they_point_to(void **state)
{
    (void)state;
    /* a: an object; it points to the raw blocks b, which points to c (raw), and into the object d */
    static _Alignas(16) uintptr_t a[8], b[4], c[4], d[4], e[4], f[4], g[4];
    struct hs_live_block blocks[] = {BLOCK(a, sizeof a, 0), BLOCK(b, sizeof b, 1), BLOCK(c, sizeof c, 2),
                                     BLOCK(d, sizeof d, 3), BLOCK(e, sizeof e, 4), BLOCK(f, sizeof f, 5),
                                     BLOCK(g, sizeof g, 6)};
    assert_true(nodes_begin(blocks, 7));
    uint32_t object_a = nodes_of_object(a), object_d = nodes_of_object(d), object_e = nodes_of_object(e);
    a[0] = (uintptr_t)f; /* the head is passed over */
    a[2] = (uintptr_t)b;
    a[3] = (uintptr_t)e; /* told already */
    a[4] = (uintptr_t)a;
    a[5] = 12;
    b[1] = (uintptr_t)c;
    b[2] = (uintptr_t)e;
    c[0] = (uintptr_t)&d[2];
    c[1] = (uintptr_t)a;
    d[2] = (uintptr_t)b;
    g[1] = (uintptr_t)b; /* what is dead refers to nothing */
    graph_object_begin(&(struct graph_object){object_a, 0, (uintptr_t)a, sizeof a, 1, 0});
    graph_edge(HSK_EDGE_REFERENCE, 0, object_e);
    scan_object((uintptr_t)a, (uintptr_t)(a + 8));
    graph_end();
    graph_object_begin(&(struct graph_object){object_d, 0, (uintptr_t)d, sizeof d, 1, 0});
    scan_object((uintptr_t)d, (uintptr_t)(d + 4));
    graph_end();
    assert_true(scan_is_owned(nodes_find_block((uintptr_t)b)) && !scan_is_owned(nodes_find_block((uintptr_t)g)));
    scan_stale(nodes_find_block((uintptr_t)g));
    scan_blocks();
    graph_finish();
    decode();
    uint32_t node_b = node_of_block_at(b), node_c = node_of_block_at(c), node_f = node_of_block_at(f);
    assert_int_equal(decoded[node_of_block_at(g)].edge_count, 0);
    assert_int_equal(decoded[object_a].edge_count, 4);
    assert_int_equal(find_edge(object_a, node_b)->kind, HSK_EDGE_OWNS);
    assert_int_equal(find_edge(object_a, node_b)->argument, 16);
    assert_int_equal(find_edge(object_a, node_c)->kind, HSK_EDGE_OWNS);
    assert_int_equal(find_edge(object_a, object_d)->kind, HSK_EDGE_HIDDEN);
    assert_int_equal(find_edge(object_a, object_d)->argument, 16);
    assert_int_equal(find_edge(object_a, object_e)->kind, HSK_EDGE_REFERENCE);
    assert_int_equal(decoded[object_d].edge_count, 1);
    assert_int_equal(find_edge(object_d, node_b)->kind, HSK_EDGE_HIDDEN); /* it belongs to a */
    assert_int_equal(decoded[node_b].kind, HSK_GRAPH_BLOCK);
    assert_int_equal(decoded[node_b].edge_count, 2);
    assert_int_equal(find_edge(node_b, node_c)->kind, HSK_EDGE_POINTER);
    assert_int_equal(find_edge(node_b, node_c)->argument, 8);
    assert_int_equal(find_edge(node_c, object_d)->kind, HSK_EDGE_INTERIOR);
    assert_int_equal(find_edge(node_c, object_a)->kind, HSK_EDGE_POINTER);
    assert_int_equal(decoded[node_f].kind, HSK_GRAPH_BLOCK);
    assert_int_equal(decoded[node_f].edge_count, 0);
}

static void a_pointer_to_the_start_counts_also_behind_one_into_the_midst(void **state)
{
    (void)state;
    static _Alignas(16) uintptr_t from[4], to[4];
    struct hs_live_block blocks[] = {BLOCK(to, sizeof to, 0)};
    assert_true(nodes_begin(blocks, 1));
    from[0] = from[1] = (uintptr_t)&to[1];
    from[2] = from[3] = (uintptr_t)to;
    uint32_t root = nodes_new();
    graph_root_begin(root, HSK_ROOT_STACK, 0, 0, 0);
    scan_words((uintptr_t)from, (uintptr_t)(from + 4), 100, BLOCK_NONE);
    graph_end();
    graph_finish();
    decode();
    assert_int_equal(decoded[root].edge_count, 2);
    assert_int_equal(decoded[root].edges[0].kind, HSK_EDGE_INTERIOR);
    assert_int_equal(decoded[root].edges[0].argument, 100);
    assert_int_equal(decoded[root].edges[1].kind, HSK_EDGE_POINTER);
    assert_int_equal(decoded[root].edges[1].argument, 116);
}

/* A terabyte that was reserved and hardly used takes neither memory nor time. */
static void untouched_pages_are_passed_over(void **state)
{
    (void)state;
    size_t size = (size_t)1 << 36;
    char *reserve = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserve == MAP_FAILED)
        skip();
    static _Alignas(16) uintptr_t target[2];
    struct hs_live_block blocks[] = {BLOCK(reserve, size, 0), BLOCK(target, sizeof target, 1)};
    *(uintptr_t *)(reserve + (size / 2) + 40) = (uintptr_t)target;
    assert_true(nodes_begin(blocks, 2));
    present_begin();
    scan_blocks();
    graph_finish();
    decode();
    uint32_t from = node_of_block_at(reserve), to = node_of_block_at(target);
    assert_int_equal(decoded[from].edge_count, 1);
    assert_int_equal(find_edge(from, to)->argument, size / 2 + 40);
    unsigned char resident;
    assert_int_equal(mincore(reserve + 4096, 1, &resident), 0);
    assert_int_equal(resident & 1, 0);
    munmap(reserve, size);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_address_of_many_blocks_is_found),
        TEST(large_blocks_and_blocks_inside_of_them_are_found),
        TEST(objects_are_numbered_and_queued_once),
        TEST(records_come_back_as_they_were_told),
        TEST(a_node_with_many_edges_is_told_in_several_records),
        TEST(a_stop_ends_everything),
        TEST(a_recorder_that_died_ends_the_waiting),
        TEST(words_become_edges_by_what_they_point_to),
        TEST(a_pointer_to_the_start_counts_also_behind_one_into_the_midst),
        TEST(untouched_pages_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
