/*
 * graph_report.h - what the reports that need a snapshot share: choosing it, its graph, sizes and births of its nodes.
 *
 *     report_open(&report, path);
 *     status = graph_report_open(&g, &report, snapshot_number);    -1: the last whole one
 *     ...
 *     graph_report_close(&g);
 *     report_close(&report);
 *
 * Functions that return an enum exit_code have printed what is wrong. Loads report->stacks. The lifetimes of `report`
 * are not touched: the graph has its own, as of the snapshot.
 */
#ifndef HEAPSAKE_REPORT_GRAPH_REPORT_H
#define HEAPSAKE_REPORT_GRAPH_REPORT_H

#include "model/reach.h"
#include "report/report.h"

struct graph_report {
    struct report *report;
    struct graph_snapshots snapshots;
    const struct snapshot_info *snapshot; /* in `snapshots` */
    struct ref_graph graph;
    struct reach reach;
    struct lifetimes *lifetimes; /* at the snapshot's event */
    struct type_names type_names;
    struct object_lives *objects; /* the same; NULL: the trace has no births of objects */
    struct site_history *history; /* up to there; only of graph_report_open_history() */
    uint64_t *own; /* bytes, by node: of its block, else its size; roots and what lies in another's block: 0 */
    struct dominators dominators; /* graph_report_dominators() */
    struct components components; /* graph_report_components() */
};

/* EXIT_UNUSABLE when the trace has no snapshot, or not this one. Warns about what the snapshot lacks. */
int graph_report_open(struct graph_report *g, struct report *report, int64_t number);
/* The same, and counts live blocks by site on the way. */
int graph_report_open_history(struct graph_report *g, struct report *report, int64_t number);
void graph_report_close(struct graph_report *g);

/* Compute on first use. */
int graph_report_dominators(struct graph_report *g);
int graph_report_components(struct graph_report *g);

/* The one with this number; -1: the last whole one, else the last one. NULL: there is none. */
const struct snapshot_info *graph_report_choose(const struct graph_snapshots *snapshots, int64_t number);

/* The block of a node, NULL when it has none that is known. */
const struct life_block *graph_report_block(const struct graph_report *g, uint32_t node);
/* The life of the object at a node, when the trace tells it; NULL: only its block is known. */
const struct object_life *graph_report_life(const struct graph_report *g, uint32_t node);
/*
 * The stack (stacks.h) on which a node was born: of an object made in the memory of a dead one its own, else that of
 * the allocation of its block. 0: not known.
 */
uint32_t graph_report_stack(const struct graph_report *g, uint32_t node);
/* When it was; UINT64_MAX: not known. */
uint64_t graph_report_birth_ns(const struct graph_report *g, uint32_t node);

#endif
