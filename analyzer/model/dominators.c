/*
 * dominators.c - immediate dominators by Lengauer and Tarjan's algorithm (with path compression, without recursion),
 * and retained sizes; see reach.h
 *
 * Everything is done on numbers of a depth-first search: 0 is a root above all roots, a node's parent in the search has
 * a smaller number, and so has its dominator. An edge from what is not alive to what is does not count, so both parts
 * are done in one go.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/reach.h"

#define NONE UINT32_MAX

struct step {
    uint32_t node;
    uint64_t edge; /* the next one */
};

/* Depth first, without recursion; `way` has room for every node. */
struct walk {
    const struct ref_graph *graph;
    const struct reach *reach;
    struct step *way;
    uint32_t depth;
};

struct tree {
    const struct ref_graph *graph;
    const struct reach *reach;
    uint32_t *number; /* by node: its number, 0: not met */
    uint32_t *node;   /* by number                       */
    uint32_t *parent, *semi, *label, *ancestor, *immediate, *bucket, *bucket_next;
    uint64_t *source_first; /* by number: where the numbers of those that hold it begin in `sources` */
    uint32_t *sources;
    uint32_t *path;
    uint32_t count; /* of numbers */
};

static bool counts(const struct ref_graph *graph, const struct reach *reach, uint32_t source, struct ref_edge edge)
{
    return reach_alive(reach, source) == reach_alive(reach, edge.target) && reach_holds(graph, reach, source, edge);
}

/* The next edge of the node on top that counts; NULL: none left. */
static const struct ref_edge *next_edge(struct walk *walk)
{
    const struct ref_graph *graph = walk->graph;
    struct step *step = &walk->way[walk->depth - 1];
    while (step->edge < graph->first[step->node + 1]) {
        const struct ref_edge *edge = &graph->edges[step->edge++];
        if (counts(graph, walk->reach, step->node, *edge))
            return edge;
    }
    return NULL;
}

static void push(struct walk *walk, uint32_t node)
{
    walk->way[walk->depth++] = (struct step){.node = node, .edge = walk->graph->first[node]};
}

/* Numbers all nodes that `root` leads to. */
static void number_from(struct tree *tree, struct walk *walk, uint32_t root)
{
    const struct ref_edge *edge;
    uint32_t above = 0, node = root;
    for (;;) {
        uint32_t number = ++tree->count;
        tree->number[node] = number;
        tree->node[number] = node;
        tree->parent[number] = above;
        push(walk, node);
        while (walk->depth > 0) {
            edge = next_edge(walk);
            if (edge && tree->number[edge->target] == 0)
                break;
            if (!edge)
                walk->depth--;
        }
        if (walk->depth == 0)
            return;
        above = tree->number[walk->way[walk->depth - 1].node];
        node = edge->target;
    }
}

/*
 * What is not alive, in the reverse order of leaving it in a search: the first of it is held by no other, nor is the
 * first that is not reached from those before. `order` takes the nodes; how many there are is returned.
 */
static uint32_t order_of_dead(const struct tree *tree, struct walk *walk, uint8_t *met, uint32_t *order)
{
    uint32_t count = 0, total = 0;
    for (uint32_t n = 0; n < tree->graph->node_count; n++)
        total += !reach_alive(tree->reach, n);
    for (uint32_t start = 0; start < tree->graph->node_count; start++) {
        if (met[start] || reach_alive(tree->reach, start))
            continue;
        met[start] = 1;
        push(walk, start);
        while (walk->depth > 0) {
            const struct ref_edge *edge = next_edge(walk);
            if (!edge) {
                order[total - ++count] = walk->way[--walk->depth].node;
            } else if (!met[edge->target]) {
                met[edge->target] = 1;
                push(walk, edge->target);
            }
        }
    }
    return total;
}

static int number_all(struct tree *tree)
{
    const struct ref_graph *graph = tree->graph;
    size_t count = (size_t)graph->node_count + 1;
    struct walk walk = {.graph = graph, .reach = tree->reach, .way = malloc(count * sizeof *walk.way)};
    uint32_t *order = malloc(count * sizeof *order);
    uint8_t *met = calloc(count, 1);
    int code = walk.way && order && met ? 0 : -ENOMEM;
    if (code == 0) {
        for (uint32_t n = 0; n < graph->node_count; n++)
            if (reach_is_root(graph, n) && tree->number[n] == 0)
                number_from(tree, &walk, n);
        uint32_t dead = order_of_dead(tree, &walk, met, order);
        for (uint32_t i = 0; i < dead; i++)
            if (tree->number[order[i]] == 0)
                number_from(tree, &walk, order[i]);
    }
    free(walk.way);
    free(order);
    free(met);
    return code;
}

/* Edges by the number of their target. A node that the search began with is held by the root above all. */
static bool reverse(struct tree *tree)
{
    const struct ref_graph *graph = tree->graph;
    uint64_t *first = calloc((size_t)tree->count + 2, sizeof *first), sum = 0;
    tree->source_first = first;
    if (!first)
        return false;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1]; e++)
            first[tree->number[graph->edges[e].target]] += counts(graph, tree->reach, n, graph->edges[e]);
    for (uint32_t w = 0; w <= tree->count; w++) {
        uint64_t count = first[w];
        first[w] = sum;
        sum += count;
    }
    first[tree->count + 1] = sum;
    tree->sources = malloc((sum + 1) * sizeof *tree->sources);
    if (!tree->sources)
        return false;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1]; e++)
            if (counts(graph, tree->reach, n, graph->edges[e]))
                tree->sources[first[tree->number[graph->edges[e].target]]++] = tree->number[n];
    memmove(first + 1, first, (size_t)tree->count * sizeof *first);
    first[0] = 0;
    return true;
}

/* The node with the smallest semidominator on the way from v up to the top of its tree in the forest. */
static uint32_t evaluate(struct tree *tree, uint32_t v)
{
    uint32_t length = 0;
    for (uint32_t at = v; tree->ancestor[at] != NONE; at = tree->ancestor[at])
        tree->path[length++] = at;
    /* from the top down: each one hangs on the top, and knows the best label of its way */
    for (uint32_t i = length > 0 ? length - 1 : 0; i-- > 0;) {
        uint32_t at = tree->path[i], above = tree->path[i + 1];
        if (tree->semi[tree->label[above]] < tree->semi[tree->label[at]])
            tree->label[at] = tree->label[above];
        tree->ancestor[at] = tree->ancestor[above];
    }
    return tree->label[v];
}

static void dominate(struct tree *tree)
{
    for (uint32_t w = 0; w <= tree->count; w++) {
        tree->semi[w] = tree->label[w] = w;
        tree->ancestor[w] = tree->bucket[w] = NONE;
        tree->immediate[w] = 0;
    }
    for (uint32_t w = tree->count; w > 0; w--) {
        uint32_t above = tree->parent[w], best = tree->semi[w];
        if (above == 0)
            best = 0;
        for (uint64_t i = tree->source_first[w]; i < tree->source_first[w + 1]; i++) {
            uint32_t u = evaluate(tree, tree->sources[i]);
            if (tree->semi[u] < best)
                best = tree->semi[u];
        }
        if (above < best)
            best = above;
        if (reach_is_root(tree->graph, tree->node[w]))
            best = 0;
        tree->semi[w] = best;
        tree->bucket_next[w] = tree->bucket[best];
        tree->bucket[best] = w;
        tree->ancestor[w] = above;
        for (uint32_t v = tree->bucket[above], next; v != NONE; v = next) {
            next = tree->bucket_next[v];
            uint32_t u = evaluate(tree, v);
            tree->immediate[v] = tree->semi[u] < tree->semi[v] ? u : above;
        }
        tree->bucket[above] = NONE;
    }
    for (uint32_t w = 1; w <= tree->count; w++)
        if (tree->immediate[w] != tree->semi[w])
            tree->immediate[w] = tree->immediate[tree->immediate[w]];
}

static bool allocate(struct tree *tree)
{
    size_t count = (size_t)tree->graph->node_count + 1;
    uint32_t **const arrays[] = {&tree->node,      &tree->parent, &tree->semi,        &tree->label, &tree->ancestor,
                                 &tree->immediate, &tree->bucket, &tree->bucket_next, &tree->path};
    tree->number = calloc(count, sizeof *tree->number);
    bool done = tree->number != NULL;
    for (size_t i = 0; i < HS_COUNT_OF(arrays); i++) {
        *arrays[i] = malloc(count * sizeof **arrays[i]);
        done &= *arrays[i] != NULL;
    }
    return done;
}

static void release(struct tree *tree)
{
    uint32_t *const arrays[] = {tree->number,   tree->node,      tree->parent, tree->semi,        tree->label,
                                tree->ancestor, tree->immediate, tree->bucket, tree->bucket_next, tree->path};
    for (size_t i = 0; i < HS_COUNT_OF(arrays); i++)
        free(arrays[i]);
    free(tree->source_first);
    free(tree->sources);
}

/* From the leaves to the roots: a dominator has a smaller number. */
static void add_up(const struct tree *tree, struct dominators *dominators, const uint64_t *own)
{
    for (uint32_t n = 0; n < tree->graph->node_count; n++)
        dominators->retained[n] = own[n];
    for (uint32_t w = tree->count; w > 0; w--) {
        uint32_t above = tree->immediate[w], node = tree->node[w];
        dominators->immediate[node] = above ? tree->node[above] : NONE;
        if (above)
            dominators->retained[tree->node[above]] += dominators->retained[node];
    }
}

int dominators_compute(struct dominators *result, const struct ref_graph *graph, const struct reach *reach,
                       const uint64_t *own, struct error *error)
{
    size_t count = (size_t)graph->node_count + 1;
    struct tree tree = {.graph = graph, .reach = reach};
    struct dominators dominators = {.immediate = malloc(count * sizeof *dominators.immediate),
                                    .retained = malloc(count * sizeof *dominators.retained)};
    bool done =
        dominators.immediate && dominators.retained && allocate(&tree) && number_all(&tree) == 0 && reverse(&tree);
    if (done) {
        memset(dominators.immediate, 0xff, count * sizeof *dominators.immediate);
        dominate(&tree);
        add_up(&tree, &dominators, own);
    }
    release(&tree);
    if (!done) {
        dominators_free(&dominators);
        return error_set(error, -ENOMEM, "out of memory: retained sizes do not fit");
    }
    *result = dominators;
    return 0;
}

void dominators_free(struct dominators *dominators)
{
    free(dominators->immediate);
    free(dominators->retained);
    *dominators = (struct dominators){0};
}
