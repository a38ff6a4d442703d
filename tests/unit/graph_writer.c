/* graph_writer.c - see graph_writer.h */
#include "graph_writer.h"

#include <stdlib.h>
#include <string.h>

/* The state of one GRAPH chunk that is being made. */
struct part {
    struct buf raw;
    uint64_t number, records;
    uint64_t node, address, ordinal;
};

static void begin_part(const struct made_graph *graph, struct part *part)
{
    part->raw = BUF_INIT;
    buf_append_varint(&part->raw, graph->snapshots);
    buf_append_varint(&part->raw, part->number++);
    part->records = part->node = part->address = part->ordinal = 0;
}

static int end_part(struct part *part, struct trace_writer *writer, uint64_t now, struct error *error)
{
    int code = trace_writer_buf(writer, HSK_CHUNK_GRAPH, &part->raw, now, now, error);
    buf_free(&part->raw);
    return code;
}

static void put_strings(const struct made_graph *graph, struct part *part)
{
    size_t length;
    for (uint32_t i = 1; i <= graph->strings.count; i++) {
        const char *text = intern_get(&graph->strings, i, &length);
        buf_append_varint(&part->raw, HSK_GRAPH_STRING);
        buf_append_varint(&part->raw, i);
        buf_append_string(&part->raw, text, length);
    }
    for (uint32_t i = 1; i <= graph->types.count; i++) {
        const char *text = intern_get(&graph->types, i, &length), *dot = strchr(text, '.');
        size_t module = dot ? (size_t)(dot - text) : 0;
        buf_append_varint(&part->raw, HSK_GRAPH_TYPE);
        buf_append_varint(&part->raw, i);
        buf_append_varint(&part->raw, graph->type_flags[i & 255]);
        buf_append_varint(&part->raw, 16);
        buf_append_varint(&part->raw, graph->type_nodes[i & 255]);
        buf_append_string(&part->raw, text, module);
        buf_append_string(&part->raw, dot ? dot + 1 : text, dot ? length - module - 1 : length);
    }
}

/* The head of a record, up to its edges. */
static void put_head(const struct made_graph *graph, struct part *part, uint32_t number, uint64_t refcount)
{
    const struct made_node *node = &graph->nodes[number];
    buf_append_varint(&part->raw, node->record == HSK_GRAPH_BLOCK ? HSK_GRAPH_BLOCK : node->record | node->flags << 3);
    buf_append_signed(&part->raw, (int64_t)number - (int64_t)part->node);
    part->node = number;
    if (node->record == HSK_GRAPH_ROOT) {
        buf_append_varint(&part->raw, node->name);
        buf_append_varint(&part->raw, node->where);
        buf_append_varint(&part->raw, node->line);
        return;
    }
    int64_t delta = (int64_t)(node->address - part->address);
    part->address = node->address;
    buf_append_varint(&part->raw, delta % 8 == 0 ? zigzag(delta / 8) * 2 : zigzag(delta) * 2 + 1);
    if (node->ordinal == NO_BLOCK) {
        buf_append_varint(&part->raw, 0);
        buf_append_varint(&part->raw, node->size);
    } else {
        buf_append_varint(&part->raw, 1 + zigzag((int64_t)(node->ordinal - part->ordinal)));
        part->ordinal = node->ordinal;
    }
    if (node->record == HSK_GRAPH_OBJECT) {
        buf_append_varint(&part->raw, node->type);
        buf_append_varint(&part->raw, refcount);
    }
}

/* Which edges there are now, by node: from it in their order, and how many that count lead to it. */
static void index_edges(struct made_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct made_node *node = &graph->nodes[i];
        node->first = node->last = 0;
        node->edges = node->counted = 0;
    }
    for (size_t i = 0; i < graph->edge_count; i++) {
        struct made_edge *edge = &graph->edges[i];
        struct made_node *from = &graph->nodes[edge->from];
        if (edge->gone)
            continue;
        edge->next = 0;
        *(from->last ? &graph->edges[from->last - 1].next : &from->first) = (uint32_t)i + 1;
        from->last = (uint32_t)i + 1;
        from->edges++;
        graph->nodes[edge->to].counted += HSK_EDGE_COUNTED(edge->name & 15);
    }
}

static void put_node(const struct made_graph *graph, struct part *part, uint32_t number)
{
    const struct made_node *node = &graph->nodes[number];
    put_head(graph, part, number, node->refs + (node->refs_said ? 0 : node->counted));
    if (!node->split)
        buf_append_varint(&part->raw, node->edges);
    uint32_t target = number;
    for (uint32_t i = node->first; i != 0; i = graph->edges[i - 1].next) {
        const struct made_edge *edge = &graph->edges[i - 1];
        if (node->split) {
            buf_append_varint(&part->raw, 1);
            target = number;
        }
        buf_append_varint(&part->raw, edge->name);
        buf_append_signed(&part->raw, (int64_t)edge->to - (int64_t)target);
        target = edge->to;
        if (node->split)
            put_head(graph, part, number, 0);
    }
    if (node->split)
        buf_append_varint(&part->raw, 0);
    part->records++;
}

int graph_writer_snapshot(struct made_graph *graph, struct trace_writer *writer, const struct made_moment *moment,
                          struct error *error)
{
    struct part part = {0};
    uint64_t nodes = 0, edges = 0;
    int code = 0;
    graph->snapshots++;
    index_edges(graph);
    begin_part(graph, &part);
    put_strings(graph, &part);
    for (uint32_t i = 0; i < graph->node_count && code == 0; i++) {
        if (graph->nodes[i].gone || graph->nodes[i].left_out)
            continue;
        if (graph->part_records && part.records >= graph->part_records) {
            code = end_part(&part, writer, moment->time_ns, error);
            begin_part(graph, &part);
        }
        put_node(graph, &part, i);
        nodes++;
    }
    for (size_t i = 0; i < graph->edge_count; i++)
        edges += !graph->edges[i].gone;
    if (code == 0)
        code = end_part(&part, writer, moment->time_ns, error);
    struct buf fields = BUF_INIT;
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NUMBER, graph->snapshots);
    trace_field_string(&fields, HSK_FIELD_SNAPSHOT_REASON, moment->reason);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_TIME, moment->time_ns);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_EVENT, moment->event);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NODES, nodes);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_EDGES, edges);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PAUSE, 1500000);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_RESIDENT, 64 << 20);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PARTS, part.number);
    if (!graph->not_whole)
        trace_field_number(&fields, HSK_FIELD_SNAPSHOT_WHOLE, 1);
    buf_append(&fields, graph->problems.data, graph->problems.length);
    buf_clear(&graph->problems);
    graph->not_whole = false;
    if (code == 0)
        code = trace_writer_buf(writer, HSK_CHUNK_SNAPSHOT, &fields, moment->time_ns, moment->time_ns, error);
    buf_free(&fields);
    return code;
}

void graph_writer_free(struct made_graph *graph)
{
    intern_free(&graph->strings);
    intern_free(&graph->types);
    buf_free(&graph->problems);
    free(graph->nodes);
    free(graph->edges);
}
