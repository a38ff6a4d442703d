/*
 * graph.c - see graph.h
 *
 * `part` holds whole records alone; the edges of the node that is being told gather in `edges` until graph_end(). A
 * node with more of them than fit is told in several records, which add up. So a STRING or TYPE that is named
 * meanwhile goes into the part at once, before the record that names it.
 */
#include "graph.h"

#include <string.h>

#include "../proc_text.h"
#include "growing.h"
#include "nodes.h"
#include "stream.h"

#define PART_BYTES HS_STREAM_FRAME_MAX
/* The first ones are small: the recorder compresses while we walk, and the end of a short program is
 * not kept waiting. */
#define EARLY_PART_BYTES ((size_t)64 << 10)
#define EARLY_PARTS 16
#define EDGES_BYTES ((size_t)64 << 10)
#define EDGE_MAX 30  /* two varints */
#define HEAD_MAX 128 /* a record up to its edges: fewer than 12 varints */
#define STRING_MAX ((size_t)4 << 10)
#define FIELDS_BYTES ((size_t)32 << 10)
#define PROBLEMS_MAX 64

struct known_string {
    uint64_t hash;
    const char *bytes;
    uint32_t length, number; /* number 0: an empty place */
};

struct known_type {
    const void *type;
    uint32_t number;
};

static struct {
    uint32_t snapshot;
    uint64_t parts;
    uint64_t edge_count;

    char *part;
    size_t part_used, part_head;
    /* predictors of the part */
    uint64_t last_node, last_address, last_ordinal;

    /* the node that is being told */
    enum { NOTHING, AN_OBJECT, A_BLOCK, A_ROOT } telling;
    uint32_t node;
    struct graph_object object;
    struct nodes_block block;
    bool in_block;
    enum hsk_root root_kind;
    uint32_t root_name, root_where;
    uint64_t root_line;
    char *edges;
    size_t edges_used;
    uint32_t edges_here; /* in `edges` */
    uint32_t last_target;
    bool told; /* once at least */

    struct known_string *strings;
    uint32_t string_count, string_capacity;
    struct known_type *types;
    uint32_t type_count, type_capacity;

    char *fields;
    size_t fields_used;
    const char *problems[PROBLEMS_MAX];
    unsigned problem_count;
} graph;

/* ---- bytes ---- */

static char *varint(char *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (char)(value | 0x80);
        value >>= 7;
    }
    *out++ = (char)value;
    return out;
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static char *difference(char *out, uint64_t value, uint64_t from)
{
    return varint(out, zigzag((int64_t)(value - from)));
}

static void begin_part(void)
{
    graph.last_node = graph.last_address = graph.last_ordinal = 0;
    char *out = varint(graph.part, graph.snapshot);
    graph.part_used = graph.part_head = (size_t)(varint(out, graph.parts) - graph.part);
}

static void flush_part(void)
{
    if (graph.part_used == graph.part_head)
        return;
    stream_write(HS_STREAM_GRAPH, graph.part, graph.part_used);
    graph.parts++;
    begin_part();
}

/* Where a record of at most `size` bytes goes; end_record() takes it into the part. */
static char *begin_record(size_t size)
{
    if (PART_BYTES - graph.part_used < size || (graph.parts < EARLY_PARTS && graph.part_used >= EARLY_PART_BYTES))
        flush_part();
    return graph.part + graph.part_used;
}

static void end_record(const char *end)
{
    graph.part_used = (size_t)(end - graph.part);
}

bool graph_begin(struct hs_area *area)
{
    memset(&graph, 0, sizeof graph);
    graph.snapshot = area->number;
    graph.part = arena_map(PART_BYTES);
    graph.edges = arena_map(EDGES_BYTES);
    graph.fields = arena_map(FIELDS_BYTES);
    graph.string_capacity = graph.type_capacity = 1u << 12;
    graph.strings = arena_map(graph.string_capacity * sizeof *graph.strings);
    graph.types = arena_map(graph.type_capacity * sizeof *graph.types);
    if (!graph.part || !graph.edges || !graph.fields || !graph.strings || !graph.types)
        return false;
    stream_begin(area);
    begin_part();
    return true;
}

bool graph_stopped(void)
{
    return stream_stopped();
}
uint64_t graph_edge_count(void)
{
    return graph.edge_count;
}

/* ---- strings and types ---- */

static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = length * UINT64_C(0x9e3779b97f4a7c15);
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, length);
    hash = (hash ^ rest) * UINT64_C(0x9fb21c651e98df25);
    return hash ^ hash >> 29;
}

static struct known_string *string_place(struct known_string *table, uint32_t capacity, uint64_t hash,
                                         const char *bytes, size_t length)
{
    for (uint32_t at = (uint32_t)hash;; at++) {
        struct known_string *place = &table[at & (capacity - 1)];
        if (!place->number || (place->hash == hash && place->length == length && !memcmp(place->bytes, bytes, length)))
            return place;
    }
}

static bool enlarge_strings(void)
{
    uint32_t capacity = graph.string_capacity * 2;
    struct known_string *table = arena_map(capacity * sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < graph.string_capacity; i++) {
        const struct known_string *old = &graph.strings[i];
        if (old->number)
            *string_place(table, capacity, old->hash, old->bytes, old->length) = *old;
    }
    arena_unmap(graph.strings, graph.string_capacity * sizeof *table);
    graph.strings = table;
    graph.string_capacity = capacity;
    return true;
}

uint32_t graph_string(const char *foreign, size_t length)
{
    if (length == 0 || stream_stopped())
        return 0;
    /* Copied before anything of ours changes: reading it may be a fault, which ends this call (child.h). */
    char bytes[STRING_MAX];
    if (length > sizeof bytes)
        length = sizeof bytes;
    memcpy(bytes, foreign, length);
    if (graph.string_count >= graph.string_capacity / 2 && !enlarge_strings())
        return 0;
    uint64_t hash = hash_bytes(bytes, length);
    struct known_string *place = string_place(graph.strings, graph.string_capacity, hash, bytes, length);
    if (place->number)
        return place->number;
    char *copy = arena_alloc(length);
    if (!copy)
        return 0;
    memcpy(copy, bytes, length);
    *place = (struct known_string){hash, copy, (uint32_t)length, ++graph.string_count};
    char *out = begin_record(HEAD_MAX + length);
    out = varint(out, HSK_GRAPH_STRING);
    out = varint(out, place->number);
    out = varint(out, length);
    memcpy(out, bytes, length);
    end_record(out + length);
    return place->number;
}

static struct known_type *type_place(struct known_type *table, uint32_t capacity, const void *type)
{
    uint32_t at = (uint32_t)(((uintptr_t)type >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    while (table[at & (capacity - 1)].type && table[at & (capacity - 1)].type != type)
        at++;
    return &table[at & (capacity - 1)];
}

static bool enlarge_types(void)
{
    uint32_t capacity = graph.type_capacity * 2;
    struct known_type *table = arena_map(capacity * sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = 0; i < graph.type_capacity; i++)
        if (graph.types[i].type)
            *type_place(table, capacity, graph.types[i].type) = graph.types[i];
    arena_unmap(graph.types, graph.type_capacity * sizeof *table);
    graph.types = table;
    graph.type_capacity = capacity;
    return true;
}

uint32_t graph_type(const void *type, bool *known)
{
    *known = true;
    if (!type || (graph.type_count >= graph.type_capacity / 2 && !enlarge_types()))
        return 0;
    struct known_type *place = type_place(graph.types, graph.type_capacity, type);
    if (!place->type) {
        *place = (struct known_type){type, ++graph.type_count};
        *known = false;
    }
    return place->number;
}

static char *put_string(char *out, const char *bytes, size_t length)
{
    out = varint(out, length);
    memcpy(out, bytes, length);
    return out + length;
}

void graph_type_describe(uint32_t number, uint32_t flags, uint64_t basic_size, uint32_t node, const char *module,
                         size_t module_length, const char *name, size_t name_length)
{
    if (stream_stopped())
        return;
    module_length = module_length < STRING_MAX ? module_length : STRING_MAX;
    name_length = name_length < STRING_MAX ? name_length : STRING_MAX;
    /* A fault in here leaves the part as it was. */
    char *out = begin_record(HEAD_MAX + module_length + name_length);
    out = varint(out, HSK_GRAPH_TYPE);
    out = varint(out, number);
    out = varint(out, flags);
    out = varint(out, basic_size);
    out = varint(out, node == NODE_NONE ? 0 : (uint64_t)node + 1);
    out = put_string(out, module, module_length);
    end_record(put_string(out, name, name_length));
}

/* ---- nodes ---- */

static char *put_place(char *out, uint64_t address, uint64_t size)
{
    out = difference(out, graph.node, graph.last_node);
    graph.last_node = graph.node;
    int64_t delta = (int64_t)(address - graph.last_address);
    out = varint(out, delta % 8 == 0 ? zigzag(delta / 8) * 2 : zigzag(delta) * 2 + 1);
    graph.last_address = address;
    if (!graph.in_block) {
        *out++ = 0;
        return varint(out, size);
    }
    out = varint(out, 1 + zigzag((int64_t)(graph.block.ordinal - graph.last_ordinal)));
    graph.last_ordinal = graph.block.ordinal;
    return out;
}

static void begin_node(uint32_t node)
{
    graph.node = node;
    graph.edges_used = 0;
    graph.edges_here = 0;
    graph.last_target = node;
    graph.told = false;
    nodes_stamp_begin(node);
}

void graph_object_begin(const struct graph_object *object)
{
    graph.telling = stream_stopped() || object->node == NODE_NONE ? NOTHING : AN_OBJECT;
    graph.object = *object;
    begin_node(object->node);
    uint32_t block = nodes_find_block(object->address);
    graph.in_block = block != BLOCK_NONE;
    if (graph.in_block)
        graph.block = nodes_block(block);
}

void graph_block_begin(uint32_t node, uint32_t block_index)
{
    graph.telling = stream_stopped() || node == NODE_NONE ? NOTHING : A_BLOCK;
    begin_node(node);
    graph.in_block = true;
    graph.block = nodes_block(block_index);
}

void graph_root_begin(uint32_t node, enum hsk_root kind, uint32_t name, uint32_t where, uint64_t line)
{
    graph.telling = stream_stopped() || node == NODE_NONE ? NOTHING : A_ROOT;
    begin_node(node);
    graph.root_kind = kind;
    graph.root_name = name;
    graph.root_where = where;
    graph.root_line = line;
}

/* The record of the node with the edges that have gathered. */
static void tell_node(void)
{
    char *out = begin_record(HEAD_MAX + graph.edges_used);
    switch (graph.telling) {
    case AN_OBJECT:
        out = varint(out, HSK_GRAPH_OBJECT | (uint64_t)graph.object.flags << 3);
        out = put_place(out, graph.object.address, graph.object.size);
        out = varint(out, graph.object.type);
        out = varint(out, graph.object.refcount);
        break;
    case A_BLOCK:
        out = varint(out, HSK_GRAPH_BLOCK);
        out = put_place(out, graph.block.start, 0);
        break;
    case A_ROOT:
        out = varint(out, HSK_GRAPH_ROOT | (uint64_t)graph.root_kind << 3);
        out = difference(out, graph.node, graph.last_node);
        graph.last_node = graph.node;
        out = varint(out, graph.root_name);
        out = varint(out, graph.root_where);
        out = varint(out, graph.root_line);
        break;
    case NOTHING:
        return;
    }
    out = varint(out, graph.edges_here);
    memcpy(out, graph.edges, graph.edges_used);
    end_record(out + graph.edges_used);
    graph.edges_used = 0;
    graph.edges_here = 0;
    graph.last_target = graph.node;
    graph.told = true;
}

void graph_edge(enum hsk_edge kind, uint64_t argument, uint32_t target)
{
    if (graph.telling == NOTHING || target == NODE_NONE)
        return;
    if (EDGES_BYTES - graph.edges_used < EDGE_MAX)
        tell_node();
    char *out = graph.edges + graph.edges_used;
    out = varint(out, kind | argument << 4);
    out = difference(out, target, graph.last_target);
    graph.edges_used = (size_t)(out - graph.edges);
    graph.edges_here++;
    graph.last_target = target;
    graph.edge_count++;
    if (kind == HSK_EDGE_INTERIOR)
        nodes_stamp_interior(target);
    else
        nodes_stamp(target);
}

void graph_object_flag(uint32_t flag)
{
    graph.object.flags |= flag;
}

void graph_end(void)
{
    if (graph.telling != NOTHING)
        tell_node();
    graph.telling = NOTHING;
}

uintptr_t graph_current_object(void)
{
    return graph.telling == AN_OBJECT ? graph.object.address : 0;
}

/* ---- fields ---- */

static void put_field(enum hsk_field tag, const char *text, size_t length)
{
    if (FIELDS_BYTES - graph.fields_used < HEAD_MAX + length)
        return;
    char *out = varint(graph.fields + graph.fields_used, tag);
    graph.fields_used = (size_t)(put_string(out, text, length) - graph.fields);
}

void graph_field(enum hsk_field tag, uint64_t value)
{
    char digits[24];
    put_field(tag, digits, (size_t)(text_append_number(digits, digits + sizeof digits - 1, value) - digits));
}

void graph_problem(const char *sentence)
{
    for (unsigned i = 0; i < graph.problem_count; i++)
        if (!strcmp(graph.problems[i], sentence))
            return;
    size_t length = strnlen(sentence, STRING_MAX);
    char *copy = graph.problem_count < PROBLEMS_MAX ? arena_alloc(length + 1) : NULL;
    if (!copy)
        return;
    memcpy(copy, sentence, length);
    graph.problems[graph.problem_count++] = copy;
    put_field(HSK_FIELD_SNAPSHOT_PROBLEM, copy, length);
}

void graph_flush(void)
{
    flush_part();
}

void graph_finish(void)
{
    flush_part();
    graph_field(HSK_FIELD_SNAPSHOT_NODES, nodes_count());
    graph_field(HSK_FIELD_SNAPSHOT_EDGES, graph.edge_count);
    stream_write(HS_STREAM_FIELDS, graph.fields, graph.fields_used);
    stream_write(HS_STREAM_END, NULL, 0);
}
