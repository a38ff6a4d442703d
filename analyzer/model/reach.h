/*
 * reach.h - what a graph's references mean: who keeps whom alive, and who keeps itself.
 *
 * All of it iterative and on arrays. Roots are the ROOT nodes; static and immortal objects count as roots too (they
 * never go). A HIDDEN edge is believed to be a reference, in balance and in cycles, when its target has more
 * references than counted edges.
 */
#ifndef HEAPSAKE_MODEL_REACH_H
#define HEAPSAKE_MODEL_REACH_H

#include "model/ref_graph.h"

enum reach_class {
    REACH_GARBAGE = 0,   /* no path from a root: for an object, garbage (or over-referenced); for a block, lost        */
    REACH_INDIRECT,      /* a block that only lost blocks point to                                            */
    REACH_POSSIBLE,      /* only through interior pointers                                                    */
    REACH_REACHABLE,
};

struct reach {
    uint8_t *class;      /* enum reach_class, by node                                                        */
    uint32_t *parent;    /* on a shortest path from a root; UINT32_MAX: a root itself, or not reachable          */
    uint64_t *parent_edge; /* index of that edge in graph->edges                                             */
    uint32_t *leader;    /* of an INDIRECT block: the lost block that it hangs on                              */
    int32_t *unexplained; /* objects: refcount - counted edges in; negative: tells nothing. 0 for immortal ones   */
};
int reach_compute(struct reach *reach, const struct ref_graph *graph, struct error *error);
void reach_free(struct reach *reach);

/* The path from a root to a node: nodes[0] is the root; edges[i] leads from nodes[i] to nodes[i + 1]. */
struct reach_path {
    uint32_t *nodes;
    uint64_t *edges;
    size_t length; /* of nodes; 0: not reachable */
};
int reach_path(const struct reach *reach, const struct ref_graph *graph, uint32_t node, struct reach_path *path);
void reach_path_free(struct reach_path *path);

/* Strongly connected components by number; component 0 is all nodes that are in no cycle. Tarjan, iterative. */
struct components {
    uint32_t *of; /* by node */
    uint32_t count;
};
int components_compute(struct components *components, const struct ref_graph *graph, const struct reach *reach,
                       struct error *error);
void components_free(struct components *components);

/*
 * Immediate dominators over the reachable part, and retained sizes over everything: for a node that is not
 * reachable, what hangs on it alone. `own` are the nodes' own bytes (by ordinal from the live table, else `size`).
 */
struct dominators {
    uint32_t *immediate;  /* UINT32_MAX: a root, or not reachable */
    uint64_t *retained;   /* bytes */
};
int dominators_compute(struct dominators *dominators, const struct ref_graph *graph, const struct reach *reach,
                       const uint64_t *own, struct error *error);
void dominators_free(struct dominators *dominators);

#endif
