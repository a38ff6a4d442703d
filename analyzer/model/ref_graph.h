/*
 * ref_graph.h - one snapshot of a trace: nodes, edges in both directions, names.
 *
 * Arrays of numbers, no pointers: ten million objects with thirty million edges must fit into 4 GiB with everything
 * that is computed of them. What a damaged file names but does not describe is a node of kind REF_MISSING. Every index
 * is checked while loading, so users need not. A node may be described several times: edges add up, for the rest the
 * first description holds. Not thread-safe; read-only once loaded.
 *
 *     struct graph_snapshots snapshots;           snapshot_list.c
 *     graph_snapshots_list(&snapshots, reader, &error);
 *     ref_graph_load(&graph, reader, &snapshots.list[snapshots.count - 1], &error);   ref_graph.c
 *     ref_type_name(&graph, graph.nodes[n].type, text, sizeof text);                  ref_names.c
 */
#ifndef HEAPSAKE_MODEL_REF_GRAPH_H
#define HEAPSAKE_MODEL_REF_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "heapsake/trace_format.h"
#include "model/stacks.h" /* struct text */
#include "trace/trace_reader.h"

/* A snapshot as its SNAPSHOT chunk describes it. */
struct snapshot_info {
    uint32_t number;
    char reason[16]; /* letters and '?' */
    uint64_t time_ns, event;
    uint64_t nodes, edges;
    uint64_t pause_ns, resident_bytes, walk_ns, copied_bytes;
    bool whole;
    uint64_t parts;  /* GRAPH chunks that were written; 0: not said */
    size_t chunk;    /* of SNAPSHOT                         */
    char **problems; /* problem_count sentences               */
    size_t problem_count;
};

struct graph_snapshots {
    struct snapshot_info *list; /* in the order of their numbers */
    size_t count;
};

/* All snapshots of a trace. 0 or -ENOMEM. Damaged chunks are the reader's to tell. */
int graph_snapshots_list(struct graph_snapshots *snapshots, struct trace_reader *reader, struct error *error);
void graph_snapshots_free(struct graph_snapshots *snapshots);

enum ref_kind { REF_MISSING = 0, REF_OBJECT, REF_BLOCK, REF_ROOT };

struct ref_node {
    uint64_t address;      /* ROOT: line, offset or tid                                       */
    uint64_t ordinal_kind; /* ordinal << 8 | enum ref_kind; REF_NO_ORDINAL: in no live block     */
    uint32_t type;         /* index into types; ROOT: enum hsk_root                             */
    uint32_t refcount;     /* clipped; ROOT: name, a string                                   */
    uint32_t flags;        /* enum hsk_object_flag; ROOT: where, a string                      */
    uint32_t size;         /* bytes, clipped to UINT32_MAX; only where there is no ordinal       */
};
#define REF_NO_ORDINAL ((UINT64_C(1) << 40) - 1)

struct ref_type {
    uint32_t module, name; /* strings */
    uint32_t flags;        /* enum hsk_type_flag */
    uint32_t node;         /* of the type object; UINT32_MAX: none */
    uint64_t basic_size;
};

struct ref_edge {
    uint32_t target;
    uint32_t name; /* enum hsk_edge in the low 4 bits, argument above, clipped to 28 bits */
};

struct ref_graph {
    struct ref_node *nodes;
    uint32_t node_count;
    struct ref_edge *edges; /* those of node n: first[n] .. first[n + 1] */
    uint64_t *first;        /* node_count + 1                            */
    uint32_t *sources;      /* reverse: sources of node n: source_first[n] .. source_first[n + 1] */
    uint64_t *source_first;
    uint64_t edge_count;
    struct ref_type *types; /* 0 is the unknown type */
    uint32_t type_count;
    struct text *strings; /* 0 is the empty one */
    uint32_t string_count;
    uint64_t missing_parts; /* GRAPH chunks that are not there or damaged */
    /* private */
    char *string_bytes;
};

static inline enum ref_kind ref_kind(const struct ref_node *node)
{
    return (enum ref_kind)(node->ordinal_kind & 0xff);
}
static inline uint64_t ref_ordinal(const struct ref_node *node)
{
    return node->ordinal_kind >> 8;
}
static inline enum hsk_edge ref_edge_kind(struct ref_edge edge)
{
    return (enum hsk_edge)(edge.name & 15);
}
static inline uint32_t ref_edge_argument(struct ref_edge edge)
{
    return edge.name >> 4;
}

/* Reads the GRAPH chunks of one snapshot. 0 or -ENOMEM; what is damaged is left out and counted. */
int ref_graph_load(struct ref_graph *graph, struct trace_reader *reader, const struct snapshot_info *snapshot,
                   struct error *error);
void ref_graph_free(struct ref_graph *graph);

/* "module.qualname", builtins bare. Writes at most `size` bytes, terminated; returns text. */
const char *ref_type_name(const struct ref_graph *graph, uint32_t type, char *text, size_t size);
/* As a person reads it: ".user", "['u42']", "[3]", "local x", "__closure__ …" without what it leads to. */
const char *ref_edge_text(const struct ref_graph *graph, struct ref_edge edge, char *text, size_t size);
/* "frame handle() app.py:12", "data of libfoo.so+0x40", "sys.modules" ... */
const char *ref_root_text(const struct ref_graph *graph, uint32_t node, char *text, size_t size);

#endif
