/*
 * reach.c - what is reachable from the roots, and what hangs on what is not; see reach.h
 *
 * Breadth first from each kind of root in turn, so that a path is shortest among the most certain ones. Then what only
 * interior pointers lead to. What is left is garbage (objects) or lost (blocks), and is sorted as Memcheck sorts it:
 * blocks that garbage objects or other lost blocks point to are indirect; where lost blocks point to each other, the
 * one at the lowest address leads.
 */
#include "model/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct search {
    const struct ref_graph *graph;
    struct reach *reach;
    uint32_t *queue; /* a node enters once */
    uint32_t begin, end;
};

static void balance(struct reach *reach, const struct ref_graph *graph)
{
    /* counted edges first, as negative numbers; a count stops at its end */
    for (uint64_t e = 0; e < graph->edge_count; e++) {
        int32_t *unexplained = &reach->unexplained[graph->edges[e].target];
        if (HSK_EDGE_COUNTED(ref_edge_kind(graph->edges[e])) && *unexplained > INT32_MIN)
            --*unexplained;
    }
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct ref_node *node = &graph->nodes[n];
        if (ref_kind(node) != REF_OBJECT || (node->flags & HSK_OBJECT_IMMORTAL)) {
            reach->unexplained[n] = 0;
            continue;
        }
        int64_t left = (int64_t)node->refcount + reach->unexplained[n];
        reach->unexplained[n] = left > INT32_MAX ? INT32_MAX : (int32_t)left;
    }
}

static void enter(struct search *search, uint32_t node, enum reach_class class)
{
    search->reach->class[node] = (uint8_t) class;
    search->queue[search->end++] = node;
}

/* Everything that the queue leads to gets `class`. Interior pointers lead to what is only possible. */
static void spread(struct search *search, enum reach_class class)
{
    const struct ref_graph *graph = search->graph;
    struct reach *reach = search->reach;
    while (search->begin < search->end) {
        uint32_t n = search->queue[search->begin++];
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1]; e++) {
            struct ref_edge edge = graph->edges[e];
            if (reach->class[edge.target] != REACH_GARBAGE ||
                (class == REACH_REACHABLE && ref_edge_kind(edge) == HSK_EDGE_INTERIOR) ||
                !reach_holds(graph, reach, n, edge))
                continue;
            reach->parent[edge.target] = n;
            reach->parent_edge[edge.target] = e;
            enter(search, edge.target, class);
        }
    }
}

#define ROOT_RANKS 5u

/* How certain a node is as a root: the order in which paths begin there. 0: it is none. */
static unsigned root_rank(const struct ref_graph *graph, uint32_t node)
{
    if (!reach_is_root(graph, node))
        return 0;
    if (ref_kind(&graph->nodes[node]) == REF_OBJECT)
        return 3;
    switch (graph->nodes[node].type) {
    case HSK_ROOT_INTERPRETER: /* modules: what a running function uses as well stays when it returns */
        return 1;
    case HSK_ROOT_FRAME:
        return 2;
    case HSK_ROOT_DATA:
    case HSK_ROOT_TLS:
        return 4;
    default:
        return 5;
    }
}

static void search_roots(struct search *search)
{
    const struct ref_graph *graph = search->graph;
    for (unsigned rank = 1; rank <= ROOT_RANKS; rank++) {
        for (uint32_t n = 0; n < graph->node_count; n++)
            if (root_rank(graph, n) == rank && search->reach->class[n] == REACH_GARBAGE)
                enter(search, n, REACH_REACHABLE);
        spread(search, REACH_REACHABLE);
    }
    /* again from all that is reachable, along interior pointers */
    search->begin = 0;
    spread(search, REACH_POSSIBLE);
}

static bool is_lost_block(const struct search *search, uint32_t node)
{
    return search->reach->class[node] == REACH_GARBAGE && ref_kind(&search->graph->nodes[node]) == REF_BLOCK;
}

/*
 * Lost blocks that hang on `leader` become indirect. One that led before is taken over with all that hangs on it: its
 * own `leader` leads on, and settle_leaders() shortens the way.
 */
static void take_followers(struct search *search, uint32_t leader)
{
    const struct ref_graph *graph = search->graph;
    struct reach *reach = search->reach;
    search->begin = search->end = 0;
    search->queue[search->end++] = leader;
    while (search->begin < search->end) {
        uint32_t n = search->queue[search->begin++];
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (target == leader || !is_lost_block(search, target) || !reach_holds(graph, reach, n, graph->edges[e]))
                continue;
            bool led = reach->leader[target] == target;
            reach->class[target] = REACH_INDIRECT;
            reach->leader[target] = leader;
            if (!led)
                search->queue[search->end++] = target;
        }
    }
}

static void settle_leaders(struct reach *reach, uint32_t node_count)
{
    for (uint32_t n = 0; n < node_count; n++) {
        uint32_t top = n, next;
        if (reach->leader[n] == UINT32_MAX)
            reach->leader[n] = n;
        while (reach->leader[top] != top && reach->leader[top] != UINT32_MAX)
            top = reach->leader[top];
        for (uint32_t at = n; at != top; at = next) {
            next = reach->leader[at];
            reach->leader[at] = top;
        }
    }
}

static int by_address(const void *left, const void *right, void *context)
{
    const struct ref_node *nodes = context;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (nodes[a].address != nodes[b].address)
        return nodes[a].address < nodes[b].address ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int sort_lost(struct search *search)
{
    const struct ref_graph *graph = search->graph;
    struct reach *reach = search->reach;
    uint32_t count = 0;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        if (reach->class[n] == REACH_GARBAGE && ref_kind(&graph->nodes[n]) == REF_OBJECT) {
            reach->leader[n] = n;
            take_followers(search, n);
        }
    }
    for (uint32_t n = 0; n < graph->node_count; n++)
        count += is_lost_block(search, n);
    uint32_t *blocks = reallocarray(NULL, (size_t)count + 1, sizeof *blocks);
    if (!blocks)
        return -ENOMEM;
    count = 0;
    for (uint32_t n = 0; n < graph->node_count; n++)
        if (is_lost_block(search, n))
            blocks[count++] = n;
    qsort_r(blocks, count, sizeof *blocks, by_address, graph->nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (reach->class[blocks[i]] != REACH_GARBAGE)
            continue;
        reach->leader[blocks[i]] = blocks[i];
        take_followers(search, blocks[i]);
    }
    free(blocks);
    settle_leaders(reach, graph->node_count);
    return 0;
}

int reach_compute(struct reach *result, const struct ref_graph *graph, struct error *error)
{
    size_t count = (size_t)graph->node_count + 1;
    struct reach reach = {
        .class = calloc(count, sizeof *reach.class),
        .parent = malloc(count * sizeof *reach.parent),
        .parent_edge = calloc(count, sizeof *reach.parent_edge),
        .leader = malloc(count * sizeof *reach.leader),
        .unexplained = calloc(count, sizeof *reach.unexplained),
    };
    struct search search = {.graph = graph, .reach = &reach, .queue = malloc(count * sizeof *search.queue)};
    int code = -ENOMEM;
    if (reach.class && reach.parent && reach.parent_edge && reach.leader && reach.unexplained && search.queue) {
        memset(reach.parent, 0xff, count * sizeof *reach.parent);
        memset(reach.leader, 0xff, count * sizeof *reach.leader);
        balance(&reach, graph);
        search_roots(&search);
        code = sort_lost(&search);
    }
    free(search.queue);
    if (code != 0) {
        reach_free(&reach);
        return error_set(error, -ENOMEM, "out of memory: what is reachable in the graph does not fit");
    }
    *result = reach;
    return 0;
}

void reach_free(struct reach *reach)
{
    free(reach->class);
    free(reach->parent);
    free(reach->parent_edge);
    free(reach->leader);
    free(reach->unexplained);
    *reach = (struct reach){0};
}

int reach_path(const struct reach *reach, const struct ref_graph *graph, uint32_t node, struct reach_path *path)
{
    struct reach_path made = {0};
    if (node < graph->node_count && reach_alive(reach, node)) {
        size_t length = 1;
        for (uint32_t n = node; reach->parent[n] != UINT32_MAX; n = reach->parent[n])
            length++;
        made.nodes = malloc(length * sizeof *made.nodes);
        made.edges = malloc(length * sizeof *made.edges);
        if (!made.nodes || !made.edges) {
            reach_path_free(&made);
            return -ENOMEM;
        }
        made.length = length;
        for (uint32_t n = node; length-- > 0; n = reach->parent[n]) {
            made.nodes[length] = n;
            if (length > 0)
                made.edges[length - 1] = reach->parent_edge[n];
        }
    }
    *path = made;
    return 0;
}

void reach_path_free(struct reach_path *path)
{
    free(path->nodes);
    free(path->edges);
    *path = (struct reach_path){0};
}
