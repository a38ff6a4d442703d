/*
 * ref_graph.c - loads a snapshot's graph; see ref_graph.h
 *
 * The parts are gone through several times: MEASURE adds up their bytes; CHECK looks whether one is whole in itself,
 * and COUNT adds up what it needs; when all have been counted, FILL puts everything in its place. So the arrays are
 * allocated once and in the right size, a chunk counts as a whole or not at all, and nothing of a chunk need be kept.
 * CHECK, COUNT and FILL are one function, compiled three times.
 *
 * Numbers of nodes, types and strings come from the file. All are dense in a whole graph, and no record takes less than
 * four bytes (those of nodes take seven at least), so a number that is larger than half the bytes is believed only a
 * little: ROOM. More than half of the parts may be lost before a good number is refused.
 */
#include "model/ref_graph.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 65536u
#define MAX_NUMBER (UINT32_MAX - 2)
#define MAX_ARGUMENT ((UINT32_C(1) << 28) - 1)

enum pass { CHECK, COUNT, FILL };

struct loader {
    struct ref_graph *graph;
    uint64_t snapshot;
    uint64_t limit; /* numbers are below */

    /* COUNT: the highest numbers + 1 */
    uint64_t node_count, type_count, string_count;
    uint64_t edge_count, string_bytes;
    uint64_t *counts; /* edges of a node */
    uint64_t counts_capacity;
    bool failed; /* out of memory */

    /* FILL */
    uint64_t string_used;
};

/* What the records of one part are relative to. */
struct predictors {
    uint64_t node, address, ordinal;
};

static inline void at_least(uint64_t *count, uint64_t needed)
{
    if (*count < needed)
        *count = needed;
}

/* A number that the file gives to a node, a type or a string. */
HS_ALWAYS_INLINE uint64_t checked(const struct loader *loader, struct cursor *cursor, uint64_t number)
{
    if (HS_UNLIKELY(number >= loader->limit))
        cursor->failed = true;
    return number;
}

static void count_edges(struct loader *loader, uint64_t node, uint64_t count)
{
    at_least(&loader->node_count, node + 1);
    if (node >= loader->counts_capacity) {
        uint64_t capacity = loader->counts_capacity ? loader->counts_capacity : 4096;
        while (capacity <= node)
            capacity *= 2;
        uint64_t *larger = reallocarray(loader->counts, capacity, sizeof *larger);
        if (!larger) {
            loader->failed = true;
            return;
        }
        memset(larger + loader->counts_capacity, 0, (capacity - loader->counts_capacity) * sizeof *larger);
        loader->counts = larger;
        loader->counts_capacity = capacity;
    }
    loader->counts[node] += count;
    loader->edge_count += count;
}

/* During FILL first[n] is where the next edge of n goes; load() moves the array back afterwards. */
static void fill_edge(struct loader *loader, uint64_t node, unsigned kind, uint64_t argument, uint64_t target)
{
    struct ref_graph *graph = loader->graph;
    if (node >= graph->node_count || target >= graph->node_count || graph->first[node] >= graph->edge_count)
        return;
    bool string = (kind >= HSK_EDGE_ATTRIBUTE && kind <= HSK_EDGE_VALUE) ||
                  (kind >= HSK_EDGE_LOCAL && kind <= HSK_EDGE_SPECIAL) || kind == HSK_EDGE_BORROWED;
    if (string && argument >= graph->string_count)
        argument = 0;
    if (argument > MAX_ARGUMENT)
        argument = string ? 0 : MAX_ARGUMENT;
    graph->edges[graph->first[node]++] =
        (struct ref_edge){.target = (uint32_t)target, .name = (uint32_t)(argument << 4 | kind)};
}

HS_ALWAYS_INLINE void take_edges(struct loader *loader, struct cursor *cursor, uint64_t node, enum pass pass)
{
    uint64_t count = cursor_varint(cursor), target = node;
    /* an edge takes at least two bytes */
    if (count > (uint64_t)(cursor->end - cursor->at) / 2) {
        cursor->failed = true;
        return;
    }
    if (pass == COUNT)
        count_edges(loader, node, count);
    for (uint64_t i = 0; i < count && !cursor->failed; i++) {
        uint64_t name = cursor_varint(cursor);
        target = checked(loader, cursor, target + (uint64_t)cursor_signed(cursor));
        if (pass == COUNT)
            at_least(&loader->node_count, target + 1);
        if (pass == FILL)
            fill_edge(loader, node, (unsigned)(name & 15), name >> 4, target);
    }
}

static uint64_t take_node(const struct loader *loader, struct cursor *cursor, struct predictors *last)
{
    last->node = checked(loader, cursor, last->node + (uint64_t)cursor_signed(cursor));
    return last->node;
}

/* Number, address, ordinal or size. */
HS_ALWAYS_INLINE uint64_t take_place(struct loader *loader, struct cursor *cursor, struct predictors *last,
                                     struct ref_node *node)
{
    uint64_t number = take_node(loader, cursor, last);
    uint64_t delta = cursor_varint(cursor);
    last->address += (uint64_t)unzigzag(delta >> 1) * (delta & 1 ? 1 : 8);
    node->address = last->address;
    uint64_t place = cursor_varint(cursor);
    if (place == 0) {
        uint64_t size = cursor_varint(cursor);
        node->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
        node->ordinal_kind = REF_NO_ORDINAL << 8;
    } else {
        last->ordinal = last->ordinal + (uint64_t)unzigzag(place - 1);
        if (last->ordinal >= REF_NO_ORDINAL)
            cursor->failed = true;
        node->ordinal_kind = last->ordinal << 8;
    }
    return number;
}

static void fill_node(struct loader *loader, uint64_t number, const struct ref_node *node, enum ref_kind kind)
{
    struct ref_graph *graph = loader->graph;
    if (number >= graph->node_count || ref_kind(&graph->nodes[number]) != REF_MISSING)
        return;
    graph->nodes[number] = *node;
    graph->nodes[number].ordinal_kind |= kind;
}

HS_ALWAYS_INLINE void take_object(struct loader *loader, struct cursor *cursor, struct predictors *last, uint64_t flags,
                                  enum pass pass)
{
    struct ref_node node = {.flags = (uint32_t)flags};
    uint64_t number = take_place(loader, cursor, last, &node);
    uint64_t type = cursor_varint(cursor), refcount = cursor_varint(cursor);
    node.refcount = refcount < UINT32_MAX ? (uint32_t)refcount : UINT32_MAX;
    if (pass == FILL) {
        node.type = type < loader->graph->type_count ? (uint32_t)type : 0;
        fill_node(loader, number, &node, REF_OBJECT);
    }
    take_edges(loader, cursor, number, pass);
}

HS_ALWAYS_INLINE void take_block(struct loader *loader, struct cursor *cursor, struct predictors *last, enum pass pass)
{
    struct ref_node node = {0};
    uint64_t number = take_place(loader, cursor, last, &node);
    if (pass == FILL)
        fill_node(loader, number, &node, REF_BLOCK);
    take_edges(loader, cursor, number, pass);
}

HS_ALWAYS_INLINE void take_root(struct loader *loader, struct cursor *cursor, struct predictors *last, uint64_t kind,
                                enum pass pass)
{
    struct ref_node node = {.ordinal_kind = REF_NO_ORDINAL << 8};
    uint64_t number = take_node(loader, cursor, last);
    uint64_t name = cursor_varint(cursor), where = cursor_varint(cursor);
    node.address = cursor_varint(cursor);
    if (pass == FILL) {
        node.type = kind <= HSK_ROOT_TLS ? (uint32_t)kind : 0;
        node.refcount = name < loader->graph->string_count ? (uint32_t)name : 0;
        node.flags = where < loader->graph->string_count ? (uint32_t)where : 0;
        fill_node(loader, number, &node, REF_ROOT);
    }
    take_edges(loader, cursor, number, pass);
}

/* A text of the file as a string of the graph; the first one of a number holds. */
static void fill_string(struct loader *loader, uint64_t number, const char *text, size_t length)
{
    struct ref_graph *graph = loader->graph;
    if (number == 0 || number >= graph->string_count || graph->strings[number].bytes ||
        length > loader->string_bytes - loader->string_used)
        return;
    char *copy = graph->string_bytes + loader->string_used;
    if (length > 0)
        memcpy(copy, text, length);
    loader->string_used += length;
    graph->strings[number] = (struct text){copy, length};
}

HS_ALWAYS_INLINE const char *take_text(struct loader *loader, struct cursor *cursor, size_t *length, enum pass pass)
{
    const char *text = cursor_string(cursor, length);
    if (*length > HSK_MAX_STRING)
        cursor->failed = true;
    if (pass == COUNT)
        loader->string_bytes += *length;
    return text;
}

HS_ALWAYS_INLINE void take_string(struct loader *loader, struct cursor *cursor, enum pass pass)
{
    size_t length;
    uint64_t number = checked(loader, cursor, cursor_varint(cursor));
    const char *text = take_text(loader, cursor, &length, pass);
    if (pass == COUNT)
        at_least(&loader->string_count, number + 1);
    if (pass == FILL)
        fill_string(loader, number, text, length);
}

/* The names of a type become two strings behind those of the file: strings of type t are count - 2 * types + 2 * t. */
HS_ALWAYS_INLINE void take_type(struct loader *loader, struct cursor *cursor, enum pass pass)
{
    struct ref_graph *graph = loader->graph;
    size_t module_length, name_length;
    uint64_t number = checked(loader, cursor, cursor_varint(cursor));
    uint64_t flags = cursor_varint(cursor), basic_size = cursor_varint(cursor);
    uint64_t node = checked(loader, cursor, cursor_varint(cursor));
    const char *module = take_text(loader, cursor, &module_length, pass);
    const char *name = take_text(loader, cursor, &name_length, pass);
    if (pass == COUNT) {
        at_least(&loader->type_count, number + 1);
        if (node)
            at_least(&loader->node_count, node);
    }
    if (pass != FILL || number == 0 || number >= graph->type_count || graph->types[number].name)
        return;
    uint32_t first = graph->string_count - 2 * graph->type_count + 2 * (uint32_t)number;
    fill_string(loader, first, module, module_length);
    fill_string(loader, first + 1, name, name_length);
    graph->types[number] =
        (struct ref_type){.module = module_length ? first : 0,
                          .name = first + 1,
                          .flags = (uint32_t)flags,
                          .node = node && node <= graph->node_count ? (uint32_t)node - 1 : UINT32_MAX,
                          .basic_size = basic_size};
}

/* The records of one part. False: it is damaged (after CHECK said that it is not, it is not). */
HS_ALWAYS_INLINE bool take_records(struct loader *loader, struct cursor cursor, enum pass pass)
{
    struct predictors last = {0};
    while (cursor.at < cursor.end && !cursor.failed) {
        uint64_t head = cursor_varint(&cursor);
        switch (head & 7) {
        case HSK_GRAPH_STRING:
            take_string(loader, &cursor, pass);
            break;
        case HSK_GRAPH_TYPE:
            take_type(loader, &cursor, pass);
            break;
        case HSK_GRAPH_OBJECT:
            take_object(loader, &cursor, &last, head >> 3, pass);
            break;
        case HSK_GRAPH_BLOCK:
            take_block(loader, &cursor, &last, pass);
            break;
        case HSK_GRAPH_ROOT:
            take_root(loader, &cursor, &last, head >> 3, pass);
            break;
        default:
            return false;
        }
    }
    return !cursor.failed;
}

static bool check_records(struct loader *loader, struct cursor cursor)
{
    return take_records(loader, cursor, CHECK);
}
static bool count_records(struct loader *loader, struct cursor cursor)
{
    return take_records(loader, cursor, COUNT);
}
static bool fill_records(struct loader *loader, struct cursor cursor)
{
    return take_records(loader, cursor, FILL);
}

/* Loads chunk i and goes past its head; false: it is of another snapshot, or damaged. */
static bool open_part(struct loader *loader, struct trace_reader *reader, size_t i, struct cursor *cursor)
{
    const uint8_t *raw;
    size_t length;
    if (reader->chunks[i].header.type != HSK_CHUNK_GRAPH || trace_reader_load(reader, i, &raw, &length) != 0)
        return false;
    *cursor = (struct cursor){.at = raw, .end = raw + length};
    uint64_t snapshot = cursor_varint(cursor);
    cursor_varint(cursor); /* the part: they stand in their order */
    return !cursor->failed && snapshot == loader->snapshot;
}

static void measure_parts(struct loader *loader, struct trace_reader *reader, size_t end)
{
    uint64_t bytes = 0;
    struct cursor cursor;
    for (size_t i = 0; i < end; i++)
        if (open_part(loader, reader, i, &cursor))
            bytes += (uint64_t)(cursor.end - cursor.at);
    loader->limit = bytes / 2 + ROOM < MAX_NUMBER ? bytes / 2 + ROOM : MAX_NUMBER;
}

/* CHECK and COUNT, for all chunks. The number of parts that are whole. */
static uint64_t count_parts(struct loader *loader, struct trace_reader *reader, size_t end)
{
    uint64_t parts = 0;
    struct cursor cursor;
    for (size_t i = 0; i < end && !loader->failed; i++) {
        if (!open_part(loader, reader, i, &cursor))
            continue;
        if (!check_records(loader, cursor)) {
            trace_reader_damaged(reader, i, "its part of the graph cannot be read");
            continue;
        }
        parts++;
        count_records(loader, cursor);
    }
    return parts;
}

static bool allocate(struct loader *loader)
{
    struct ref_graph *graph = loader->graph;
    if (loader->string_count + 2 * loader->type_count > UINT32_MAX)
        return false;
    graph->node_count = (uint32_t)loader->node_count;
    graph->edge_count = loader->edge_count;
    graph->type_count = loader->type_count ? (uint32_t)loader->type_count : 1;
    graph->string_count = (uint32_t)(loader->string_count ? loader->string_count : 1) + 2 * graph->type_count;
    graph->nodes = calloc(loader->node_count + 1, sizeof *graph->nodes);
    graph->first = calloc(loader->node_count + 1, sizeof *graph->first);
    graph->edges = reallocarray(NULL, loader->edge_count + 1, sizeof *graph->edges);
    graph->types = calloc(graph->type_count, sizeof *graph->types);
    graph->strings = calloc(graph->string_count, sizeof *graph->strings);
    graph->string_bytes = malloc(loader->string_bytes + 1);
    if (!graph->nodes || !graph->first || !graph->edges || !graph->types || !graph->strings || !graph->string_bytes)
        return false;
    uint64_t sum = 0;
    for (uint64_t n = 0; n < loader->node_count; n++) {
        graph->first[n] = sum;
        sum += n < loader->counts_capacity ? loader->counts[n] : 0;
    }
    graph->first[loader->node_count] = sum;
    graph->strings[0] = (struct text){"", 0};
    for (uint32_t t = 0; t < graph->type_count; t++)
        graph->types[t].node = UINT32_MAX;
    free(loader->counts);
    loader->counts = NULL;
    return true;
}

/* Counting sort of the edges by their target. */
/*
 * A block that was owned when it was only memory may turn out to be an object later in the walk: then the word that
 * leads to it is one that looks like a reference (docs/TRACE_FORMAT.md, "Graph").
 */
static void recognize_objects(struct ref_graph *graph)
{
    for (uint64_t e = 0; e < graph->edge_count; e++) {
        struct ref_edge *edge = &graph->edges[e];
        if (ref_edge_kind(*edge) == HSK_EDGE_OWNS && ref_kind(&graph->nodes[edge->target]) == REF_OBJECT)
            edge->name = ref_edge_argument(*edge) << 4 | HSK_EDGE_HIDDEN;
    }
}

static bool reverse(struct ref_graph *graph)
{
    graph->source_first = calloc((uint64_t)graph->node_count + 1, sizeof *graph->source_first);
    graph->sources = reallocarray(NULL, graph->edge_count + 1, sizeof *graph->sources);
    if (!graph->source_first || !graph->sources)
        return false;
    uint64_t *place = graph->source_first, sum = 0;
    for (uint64_t e = 0; e < graph->edge_count; e++)
        place[graph->edges[e].target]++;
    for (uint64_t n = 0; n <= graph->node_count; n++) {
        uint64_t count = place[n];
        place[n] = sum;
        sum += count;
    }
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1]; e++)
            graph->sources[place[graph->edges[e].target]++] = n;
    /* each place is now where the next one begins */
    memmove(place + 1, place, graph->node_count * sizeof *place);
    place[0] = 0;
    return true;
}

/* All of FILL; edges beyond what COUNT found (a file that changes meanwhile) are left out. */
static bool fill(struct loader *loader, struct trace_reader *reader, size_t end)
{
    struct ref_graph *graph = loader->graph;
    struct cursor cursor;
    if (graph->edge_count > 0)
        memset(graph->edges, 0, graph->edge_count * sizeof *graph->edges);
    for (size_t i = 0; i < end; i++)
        if (open_part(loader, reader, i, &cursor))
            fill_records(loader, cursor);
    memmove(graph->first + 1, graph->first, graph->node_count * sizeof *graph->first);
    graph->first[0] = 0;
    recognize_objects(graph);
    return reverse(graph);
}

int ref_graph_load(struct ref_graph *graph, struct trace_reader *reader, const struct snapshot_info *snapshot,
                   struct error *error)
{
    struct ref_graph loaded = {0};
    struct loader loader = {.graph = &loaded, .snapshot = snapshot->number};
    size_t end = snapshot->chunk < reader->chunk_count ? snapshot->chunk : reader->chunk_count;
    measure_parts(&loader, reader, end);
    uint64_t parts = count_parts(&loader, reader, end);
    bool done = !loader.failed && allocate(&loader) && fill(&loader, reader, end);
    free(loader.counts);
    if (!done) {
        ref_graph_free(&loaded);
        return error_set(error, -ENOMEM, "%s: out of memory: the graph of snapshot %u does not fit", reader->path,
                         snapshot->number);
    }
    loaded.missing_parts = snapshot->parts > parts ? snapshot->parts - parts : 0;
    *graph = loaded;
    return 0;
}

void ref_graph_free(struct ref_graph *graph)
{
    free(graph->nodes);
    free(graph->first);
    free(graph->edges);
    free(graph->sources);
    free(graph->source_first);
    free(graph->types);
    free(graph->strings);
    free(graph->string_bytes);
    *graph = (struct ref_graph){0};
}
