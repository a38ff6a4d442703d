/*
 * reach.h - what a graph's references mean: who keeps whom alive, and who keeps itself.
 *
 * All of it iterative and on arrays (reach.c, components.c, dominators.c).
 *
 * Which edges hold their target (reach_holds()):
 *   - counted ones and OWNS do;
 *   - words of memory that look like a reference (HIDDEN, POINTER, INTERIOR) do when the target is a block. When it is
 * an object they are believed only if the object has another number of references than counted edges: a refcount that
 * is explained leaves nothing for a word on a stack to own;
 *   - WEAK does not, and BORROWED only from a root: what a running frame uses lives.
 *
 * Roots are the ROOT nodes; static and immortal objects count as roots too (they never go). A path is shortest among
 * those from the most certain kind of root that has any: fields of the interpreter (modules), then running frames, then
 * static and immortal objects, then module data and TLS, then stacks and registers.
 */
#ifndef HEAPSAKE_MODEL_REACH_H
#define HEAPSAKE_MODEL_REACH_H

#include "model/ref_graph.h"

enum reach_class {
    REACH_GARBAGE = 0, /* no path from a root: for an object, garbage (or over-referenced); for a block, lost       */
    REACH_INDIRECT, /* a block that only lost blocks or garbage objects point to; what it hangs on is GARBAGE       */
    REACH_POSSIBLE, /* only through interior pointers                                                          */
    REACH_REACHABLE,
};

struct reach {
    uint8_t *class;        /* enum reach_class, by node                                                        */
    uint32_t *parent;      /* on a shortest path from a root; UINT32_MAX: a root itself, or not reachable          */
    uint64_t *parent_edge; /* index of that edge in graph->edges                                             */
    uint32_t *leader; /* of an INDIRECT block: the lost block or the garbage object that it hangs on; else the node */
    int32_t *unexplained; /* objects: refcount - counted edges in; negative: tells nothing. 0 for immortal ones   */
};

/* Does `edge`, one of the node `source`, keep its target alive (as long as the source lives)? */
static inline bool reach_holds(const struct ref_graph *graph, const struct reach *reach, uint32_t source,
                               struct ref_edge edge)
{
    switch (ref_edge_kind(edge)) {
    case HSK_EDGE_WEAK:
        return false;
    case HSK_EDGE_BORROWED:
        return ref_kind(&graph->nodes[source]) == REF_ROOT;
    case HSK_EDGE_HIDDEN:
    case HSK_EDGE_POINTER:
    case HSK_EDGE_INTERIOR:
        return reach->unexplained[edge.target] != 0 || ref_kind(&graph->nodes[edge.target]) != REF_OBJECT;
    default:
        return true;
    }
}

/* Is it reachable, perhaps through interior pointers only? */
static inline bool reach_alive(const struct reach *reach, uint32_t node)
{
    return reach->class[node] >= REACH_POSSIBLE;
}

/* A ROOT, or an object that never goes. */
static inline bool reach_is_root(const struct ref_graph *graph, uint32_t node)
{
    const struct ref_node *at = &graph->nodes[node];
    return ref_kind(at) == REF_ROOT ||
           (ref_kind(at) == REF_OBJECT && (at->flags & (HSK_OBJECT_STATIC | HSK_OBJECT_IMMORTAL)) != 0);
}

int reach_compute(struct reach *reach, const struct ref_graph *graph, struct error *error);
void reach_free(struct reach *reach);

/* The path from a root to a node: nodes[0] is the root; edges[i] leads from nodes[i] to nodes[i + 1]. */
struct reach_path {
    uint32_t *nodes;
    uint64_t *edges;
    size_t length; /* of nodes; 0: not reachable */
};
/* 0 or -ENOMEM; a node that is not reachable has an empty path. */
int reach_path(const struct reach *reach, const struct ref_graph *graph, uint32_t node, struct reach_path *path);
void reach_path_free(struct reach_path *path);

/*
 * Strongly connected components by number; component 0 is all nodes that are in no cycle. Tarjan, iterative. A node
 * that refers to itself is a component. Components are over edges that hold; from what is alive, edges to types,
 * modules and the globals of functions are left out (components_follows()), because through them nearly all of a Python
 * program is one component.
 */
struct components {
    uint32_t *of;   /* by node */
    uint32_t count; /* with component 0 */
};
int components_compute(struct components *components, const struct ref_graph *graph, const struct reach *reach,
                       struct error *error);
void components_free(struct components *components);
/* Is the edge one that components are made of? */
bool components_follows(const struct ref_graph *graph, const struct reach *reach, uint32_t source,
                        struct ref_edge edge);

/*
 * Immediate dominators, and retained sizes: what would go if the node went. Of what is not reachable, nodes that
 * nothing else holds (one of them, where they hold each other) count as roots, so that the retained size is what hangs
 * on a node alone; what holds something that is alive retains nothing of it. `own` are the nodes' own bytes (by ordinal
 * from the live table, else `size`).
 */
struct dominators {
    uint32_t *immediate; /* UINT32_MAX: a root, or held by several that nothing dominates */
    uint64_t *retained;  /* bytes */
};
int dominators_compute(struct dominators *dominators, const struct ref_graph *graph, const struct reach *reach,
                       const uint64_t *own, struct error *error);
void dominators_free(struct dominators *dominators);

#endif
