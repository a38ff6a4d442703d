/*
 * graph_writer.h - a graph of nodes and edges, and what a recorder would write of it when a snapshot is taken.
 *
 * make_graph.c makes one from a description. Memory is not checked for: a test that has none may crash.
 */
#ifndef HEAPSAKE_TESTS_UNIT_GRAPH_WRITER_H
#define HEAPSAKE_TESTS_UNIT_GRAPH_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "record/trace_writer.h"

#define NO_BLOCK UINT64_MAX

struct made_edge {
    uint32_t from, to, name; /* argument << 4 | kind, as in the file       */
    uint32_t next;           /* private: of the same `from`, an index + 1 */
    bool gone;
};

struct made_node {
    enum hsk_graph_record record; /* OBJECT, BLOCK, ROOT */
    uint64_t address, size, refs;
    uint64_t ordinal;     /* of its block; NO_BLOCK */
    uint32_t type, flags; /* ROOT: kind in flags    */
    uint32_t name, where; /* ROOT: strings          */
    uint64_t line;
    bool refs_said; /* else `refs` are added to the edges that are counted */
    bool gone;      /* freed                                               */
    bool left_out;  /* edges name it, and no record describes it           */
    bool split;     /* its edges come in a record each                     */
    /* private: edges from it, the first and the last as an index + 1; how many lead to it and count */
    uint32_t first, last;
    uint64_t edges, counted;
};

struct made_graph {
    struct made_node *nodes;
    struct made_edge *edges;
    size_t node_count, node_capacity, edge_count, edge_capacity;
    struct intern strings, types;
    /* By the last byte of the type's number: enum hsk_type_flag, and the node of the type object + 1. */
    uint32_t type_flags[256], type_nodes[256];
    uint64_t part_records; /* as many make a GRAPH chunk; 0: all */
    struct buf problems;   /* of the next snapshot, as fields    */
    bool not_whole;        /* the next snapshot is not           */
    uint32_t snapshots;    /* written by now                     */
};

/* Of a snapshot. */
struct made_moment {
    const char *reason;
    uint64_t time_ns, event;
};

/* The graph as it is now. 0, or a negative errno with a line. */
int graph_writer_snapshot(struct made_graph *graph, struct trace_writer *writer, const struct made_moment *moment,
                          struct error *error);

void graph_writer_free(struct made_graph *graph);

#endif
