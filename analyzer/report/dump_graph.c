/* dump_graph.c - see dump_graph.h */
#include "report/dump_graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/path_text.h"
#include "report/graph_report.h"
#include "report/out_json.h"
#include "report/out_text.h"

static const char *const kind_names[] = {"missing", "object", "block", "root"};
static const char *const class_names[] = {"garbage", "indirect", "possible", "reachable"};
static const char *const flag_names[] = {"tracked",   "frozen", "immortal", "static",  "finalized",
                                         "weak-refs", "opaque", "type",     "interned"};
static const char *const edge_names[16] = {"reference", "attribute", "key",      "value",  "index",    "item",
                                           "local",     "cell",      "special",  "weak",   "borrowed", "hidden",
                                           "owns",      "pointer",   "interior", "unknown"};

static bool is_memory(const struct ref_node *node)
{
    return ref_kind(node) == REF_OBJECT || ref_kind(node) == REF_BLOCK;
}

static void json_place(struct json *json, const struct graph_report *g, uint32_t n)
{
    const struct ref_node *node = &g->graph.nodes[n];
    char text[PATH_NAME_SIZE];
    if (is_memory(node)) {
        put_address(json, "address", node->address);
        if (ref_ordinal(node) == REF_NO_ORDINAL)
            put_null(json, "ordinal");
        else
            put_unsigned(json, "ordinal", ref_ordinal(node));
        put_unsigned(json, "bytes", g->own[n]);
    }
    if (ref_kind(node) == REF_OBJECT) {
        put_string(json, "type", ref_type_name(&g->graph, node->type, text, sizeof text));
        put_unsigned(json, "refcount", node->refcount);
        put_signed(json, "unexplained", g->reach.unexplained[n]);
        open_array(json, "flags");
        for (size_t f = 0; f < HS_COUNT_OF(flag_names); f++)
            if (node->flags & 1u << f)
                put_string(json, NULL, flag_names[f]);
        close_array(json);
    }
    if (ref_kind(node) == REF_ROOT)
        put_string(json, "root", ref_root_text(&g->graph, n, text, sizeof text));
    put_string(json, "class", class_names[g->reach.class[n]]);
    if (g->reach.class[n] == REACH_INDIRECT)
        put_unsigned(json, "leader", g->reach.leader[n]);
}

static void json_node(const struct graph_report *g, uint32_t n)
{
    struct json json = {.out = stdout, .compact = true};
    char text[PATH_NAME_SIZE];
    open_object(&json, NULL);
    put_unsigned(&json, "node", n);
    put_string(&json, "kind", kind_names[ref_kind(&g->graph.nodes[n])]);
    json_place(&json, g, n);
    open_array(&json, "edges");
    for (uint64_t e = g->graph.first[n]; e < g->graph.first[n + 1]; e++) {
        struct ref_edge edge = g->graph.edges[e];
        open_object(&json, NULL);
        put_unsigned(&json, "to", edge.target);
        put_string(&json, "kind", edge_names[ref_edge_kind(edge)]);
        put_string(&json, "name", ref_edge_text(&g->graph, edge, text, sizeof text));
        put_bool(&json, "holds", reach_holds(&g->graph, &g->reach, n, edge));
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

static void text_name(const struct graph_report *g, uint32_t n)
{
    char text[PATH_NAME_SIZE];
    path_node_name(&g->graph, n, text, sizeof text);
    out_untrusted(stdout, text, strlen(text));
}

static void text_node(const struct graph_report *g, uint32_t n)
{
    const struct ref_node *node = &g->graph.nodes[n];
    char text[PATH_NAME_SIZE];
    printf("%-8" PRIu32 " %-8s ", n, kind_names[ref_kind(node)]);
    text_name(g, n);
    if (is_memory(node)) {
        printf("  0x%" PRIx64, node->address);
        if (ref_ordinal(node) != REF_NO_ORDINAL)
            printf("  #%" PRIu64, ref_ordinal(node));
        printf("  %" PRIu64 " B", g->own[n]);
    }
    if (ref_kind(node) == REF_OBJECT) {
        printf("  refs %" PRIu32, node->refcount);
        if (g->reach.unexplained[n] != 0)
            printf(" (%+" PRId32 ")", g->reach.unexplained[n]);
        for (size_t f = 0; f < HS_COUNT_OF(flag_names); f++)
            if (node->flags & 1u << f)
                printf("  %s", flag_names[f]);
    }
    printf("  %s\n", class_names[g->reach.class[n]]);
    for (uint64_t e = g->graph.first[n]; e < g->graph.first[n + 1]; e++) {
        struct ref_edge edge = g->graph.edges[e];
        printf("         %s ", reach_holds(&g->graph, &g->reach, n, edge) ? "->" : "..");
        ref_edge_text(&g->graph, edge, text, sizeof text);
        out_untrusted(stdout, text, strlen(text));
        printf("  %" PRIu32 " ", edge.target);
        text_name(g, edge.target);
        putchar('\n');
    }
}

static void json_snapshot(const struct graph_report *g)
{
    struct json json = {.out = stdout, .compact = true};
    const struct snapshot_info *info = g->snapshot;
    open_object(&json, NULL);
    put_unsigned(&json, "snapshot", info->number);
    put_string(&json, "reason", info->reason);
    put_seconds(&json, "time", info->time_ns);
    put_unsigned(&json, "event", info->event);
    put_bool(&json, "whole", info->whole);
    put_unsigned(&json, "nodes", g->graph.node_count);
    put_unsigned(&json, "edges", g->graph.edge_count);
    put_unsigned(&json, "missing_parts", g->graph.missing_parts);
    put_seconds(&json, "pause", info->pause_ns);
    put_seconds(&json, "walk", info->walk_ns);
    put_unsigned(&json, "resident_bytes", info->resident_bytes);
    put_unsigned(&json, "copied_bytes", info->copied_bytes);
    open_array(&json, "problems");
    for (size_t i = 0; i < info->problem_count; i++)
        put_string(&json, NULL, info->problems[i]);
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

int dump_graph(struct report *report, int64_t snapshot_number, bool as_json)
{
    struct graph_report g;
    int status = graph_report_open(&g, report, snapshot_number);
    if (status != EXIT_DONE)
        return status;
    out_begin(!as_json);
    if (as_json)
        json_snapshot(&g);
    else
        printf("snapshot %" PRIu32 " (%s): %" PRIu32 " nodes, %" PRIu64 " edges\n", g.snapshot->number,
               g.snapshot->reason, g.graph.node_count, g.graph.edge_count);
    for (uint32_t n = 0; n < g.graph.node_count && !ferror(stdout); n++) {
        if (as_json)
            json_node(&g, n);
        else
            text_node(&g, n);
    }
    status = out_end();
    graph_report_close(&g);
    return status;
}
