/*
 * components.c - strongly connected components, by Tarjan's algorithm without recursion; see reach.h
 *
 * Two stacks: the way from the start to the node at hand, with the place in each one's edges, and the nodes that have
 * no component yet. A node's `low` is the smallest order of a node without a component that it leads to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/reach.h"

#define DONE UINT32_MAX /* order of a node that has its component; it cannot be lower than anything */

struct step {
    uint32_t node, low;
    uint64_t edge; /* the next one */
};

struct tarjan {
    const struct ref_graph *graph;
    const struct reach *reach;
    struct components *components;
    uint32_t *order; /* by node; 0: not met */
    uint32_t *pending;
    uint32_t pending_count, met;
    struct step *way;
    uint32_t depth, way_capacity;
    bool failed;
};

static bool leads_to_the_program(const struct ref_graph *graph, struct ref_edge edge)
{
    const struct ref_node *target = &graph->nodes[edge.target];
    if (ref_kind(target) != REF_OBJECT)
        return false;
    if (target->flags & (HSK_OBJECT_TYPE | HSK_OBJECT_STATIC | HSK_OBJECT_IMMORTAL))
        return true;
    const struct ref_type *type = &graph->types[target->type];
    if (type->module == 0 && type->name && text_is(graph->strings[type->name], "module"))
        return true;
    if (ref_edge_kind(edge) != HSK_EDGE_SPECIAL)
        return false;
    struct text name = graph->strings[ref_edge_argument(edge)];
    return name.bytes && (text_is(name, "__globals__") || text_is(name, "__builtins__"));
}

bool components_follows(const struct ref_graph *graph, const struct reach *reach, uint32_t source, struct ref_edge edge)
{
    if (!reach_holds(graph, reach, source, edge))
        return false;
    return !reach_alive(reach, source) || !leads_to_the_program(graph, edge);
}

static void descend(struct tarjan *t, uint32_t node)
{
    if (t->depth == t->way_capacity) {
        uint32_t capacity = t->way_capacity ? 2 * t->way_capacity : 1024;
        struct step *larger = reallocarray(t->way, capacity, sizeof *larger);
        if (!larger || capacity < t->way_capacity) {
            t->failed = true;
            return;
        }
        t->way = larger;
        t->way_capacity = capacity;
    }
    t->order[node] = ++t->met;
    t->pending[t->pending_count++] = node;
    t->way[t->depth++] = (struct step){.node = node, .low = t->met, .edge = t->graph->first[node]};
}

static bool refers_to_itself(const struct tarjan *t, uint32_t node)
{
    for (uint64_t e = t->graph->first[node]; e < t->graph->first[node + 1]; e++)
        if (t->graph->edges[e].target == node && components_follows(t->graph, t->reach, node, t->graph->edges[e]))
            return true;
    return false;
}

/* All that was met since `node` and is still pending is a component with it. */
static void take_component(struct tarjan *t, uint32_t node)
{
    uint32_t *of = t->components->of;
    bool cycle = t->pending[t->pending_count - 1] != node || refers_to_itself(t, node);
    uint32_t number = cycle ? t->components->count++ : 0, last;
    do {
        last = t->pending[--t->pending_count];
        of[last] = number;
        t->order[last] = DONE;
    } while (last != node);
}

static void ascend(struct tarjan *t)
{
    struct step done = t->way[--t->depth];
    if (done.low == t->order[done.node])
        take_component(t, done.node);
    if (t->depth > 0 && done.low < t->way[t->depth - 1].low)
        t->way[t->depth - 1].low = done.low;
}

static void search_from(struct tarjan *t, uint32_t start)
{
    const struct ref_graph *graph = t->graph;
    descend(t, start);
    while (t->depth > 0 && !t->failed) {
        struct step *step = &t->way[t->depth - 1];
        if (step->edge == graph->first[step->node + 1]) {
            ascend(t);
            continue;
        }
        struct ref_edge edge = graph->edges[step->edge++];
        uint32_t order = t->order[edge.target];
        if (order == DONE || !components_follows(graph, t->reach, step->node, edge))
            continue;
        if (order == 0)
            descend(t, edge.target);
        else if (order < step->low)
            step->low = order;
    }
}

int components_compute(struct components *result, const struct ref_graph *graph, const struct reach *reach,
                       struct error *error)
{
    size_t count = (size_t)graph->node_count + 1;
    struct components components = {.of = calloc(count, sizeof *components.of), .count = 1};
    struct tarjan t = {.graph = graph,
                       .reach = reach,
                       .components = &components,
                       .order = calloc(count, sizeof *t.order),
                       .pending = malloc(count * sizeof *t.pending)};
    t.failed = !components.of || !t.order || !t.pending;
    for (uint32_t n = 0; n < graph->node_count && !t.failed; n++)
        if (t.order[n] == 0)
            search_from(&t, n);
    free(t.order);
    free(t.pending);
    free(t.way);
    if (t.failed) {
        components_free(&components);
        return error_set(error, -ENOMEM, "out of memory: the components of the graph do not fit");
    }
    *result = components;
    return 0;
}

void components_free(struct components *components)
{
    free(components->of);
    *components = (struct components){0};
}
