/*
 * leak_spread.c - what only grows without one container that has it all: chains and trees.
 *
 * All blocks of one type and site together, and the node below which they accumulate: from the deepest on, the first in
 * the dominator tree that has nearly all of them.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_gathered.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * The dominator tree above the members of a group, with the number of members below each node. Node numbers
 * are those of the graph; `count` of nodes that are in no visit is meaningless, so those visited are listed.
 */
struct spread {
    uint32_t *below; /* by node */
    uint32_t *depth; /* by node: steps down from the top, made once */
    uint32_t *visited;
    size_t visited_count;
    uint32_t *members; /* of the group at hand */
};

/* Depth in the dominator tree of every node. The way up is walked once for each node, marked by a depth
 * that is known. */
static void measure_depths(struct spread *spread, const struct evidence *evidence)
{
    const uint32_t *up = evidence->dominators.immediate;
    uint32_t *way = evidence->queue;
    memset(spread->depth, 0, (size_t)evidence->graph->node_count * sizeof *spread->depth);
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        uint32_t length = 0, at = node;
        while (at != UINT32_MAX && spread->depth[at] == 0) {
            way[length++] = at;
            at = up[at];
        }
        uint32_t depth = at == UINT32_MAX ? 0 : spread->depth[at];
        while (length > 0)
            spread->depth[way[--length]] = ++depth;
    }
}

static int deepest_first(const void *left, const void *right, void *context)
{
    const uint32_t *depth = context;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (depth[a] != depth[b])
        return depth[a] < depth[b] ? 1 : -1;
    return a < b ? -1 : a > b;
}

/* The node below which the group accumulates; UINT32_MAX: none has nearly all. */
static uint32_t accumulation_point(struct spread *spread, struct evidence *evidence, const struct group_member *members,
                                   size_t count)
{
    const uint32_t *up = evidence->dominators.immediate;
    spread->visited_count = 0;
    for (size_t i = 0; i < count; i++)
        spread->below[members[i].node] = 0; /* all members are visited below, whatever order */
    for (size_t i = 0; i < count; i++)
        for (uint32_t at = members[i].node; at != UINT32_MAX && !evidence_has(evidence, at, EVIDENCE_TAKEN);
             at = up[at]) {
            evidence->marks[at] |= EVIDENCE_TAKEN;
            spread->below[at] = 0;
            spread->visited[spread->visited_count++] = at;
        }
    for (size_t i = 0; i < count; i++)
        spread->below[members[i].node] = 1;
    qsort_r(spread->visited, spread->visited_count, sizeof *spread->visited, deepest_first, spread->depth);
    for (size_t i = 0; i < spread->visited_count; i++) {
        uint32_t node = spread->visited[i];
        evidence->marks[node] &= (uint8_t)~EVIDENCE_TAKEN;
        if (up[node] != UINT32_MAX)
            spread->below[up[node]] += spread->below[node];
    }
    /* from the deepest on: the first that has nearly all, then up past members themselves (a chain
     * begins above them) */
    uint32_t point = UINT32_MAX;
    for (size_t i = 0; i < spread->visited_count && point == UINT32_MAX; i++)
        if ((double)spread->below[spread->visited[i]] >= GROW_SPREAD_SHARE * (double)count)
            point = spread->visited[i];
    const struct ref_graph *graph = evidence->graph;
    while (point != UINT32_MAX && ref_kind(&graph->nodes[point]) == ref_kind(&graph->nodes[members[0].node]) &&
           graph->nodes[point].type == graph->nodes[members[0].node].type &&
           evidence->stack[point] == evidence->stack[members[0].node])
        point = up[point];
    return point;
}

/* An attach: are they more than there were, or in place of others? What other leaks have explained does not count. */
static bool are_replaced(const struct evidence *evidence, uint32_t sample, size_t born)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t type = graph->nodes[sample].type;
    size_t now = 0;
    if (!evidence->earlier || !evidence_is_object(evidence, sample) || type >= graph->type_count)
        return false;
    for (uint32_t node = 0; node < graph->node_count; node++)
        now += evidence_is_object(evidence, node) && graph->nodes[node].type == type &&
               !evidence_has(evidence, node, EVIDENCE_EXPLAINED);
    return earlier_replaced_type(evidence->earlier, type, now, born);
}

/* Different objects that only this container refers to. */
static size_t held_directly(const struct evidence *evidence, uint32_t container)
{
    const struct ref_graph *graph = evidence->graph;
    size_t count = 0;
    for (uint64_t e = graph->first[container]; e < graph->first[container + 1]; e++)
        count += gathered_leads(graph->edges[e]) && evidence->dominators.immediate[graph->edges[e].target] == container;
    return count;
}

static int report_spread(struct leaks *leaks, struct evidence *evidence, struct spread *spread,
                         const struct group_member *members, size_t count)
{
    struct gathered found = {
        .holders = 1, .members = spread->members, .confidence = GROW_SPREAD_CONFIDENCE, .most = GROW_SPREAD_MOST};
    for (size_t i = 0; i < count; i++)
        if (!evidence_is_explained(evidence, members[i].node))
            spread->members[found.count++] = members[i].node;
    if (found.count < GROW_SPREAD_MEMBERS)
        return 0;
    int code = growth_measure(&found.growth, evidence, found.members, found.count);
    if (code != 0 || !found.growth.grows || are_replaced(evidence, found.members[0], found.count))
        return code;
    found.holder = accumulation_point(spread, evidence, members, count);
    /* a container after all, whose own members (keys, wrappers) are recycled so that their births are not known */
    if (found.holder != UINT32_MAX && gathered_can_hold(evidence, found.holder) &&
        (double)held_directly(evidence, found.holder) >= GROW_SPREAD_SHARE * (double)found.count) {
        found.confidence = GROW_CONFIDENCE;
        found.most = 1;
    }
    /* below one of their own they are many times in the sum: then what hangs on the holder is told */
    for (size_t i = 0; i < found.count; i++)
        found.retained += evidence->own[found.members[i]];
    if (found.holder != UINT32_MAX && evidence_is_object(evidence, found.holder) &&
        !evidence_has(evidence, found.holder, EVIDENCE_NAMESPACE) &&
        evidence->dominators.retained[found.holder] > found.retained)
        found.retained = evidence->dominators.retained[found.holder];
    /* a program of native code that builds something large and ends looks the same */
    if (!evidence->python)
        found.confidence = GROW_NATIVE_CONFIDENCE;
    return gathered_report(leaks, evidence, &found);
}

int leaks_find_spread(struct leaks *leaks, struct evidence *evidence)
{
    const struct ref_graph *graph = evidence->graph;
    size_t nodes = (size_t)graph->node_count + 1;
    struct groups groups = GROUPS_INIT;
    struct spread spread = {.below = malloc(nodes * sizeof *spread.below),
                            .depth = malloc(nodes * sizeof *spread.depth),
                            .visited = malloc(nodes * sizeof *spread.visited),
                            .members = malloc(nodes * sizeof *spread.members)};
    int code = spread.below && spread.depth && spread.visited && spread.members ? 0 : -ENOMEM;
    for (uint32_t node = 0; node < graph->node_count && code == 0; node++) {
        enum ref_kind kind = ref_kind(&graph->nodes[node]);
        enum type_kind type = evidence_type_kind(evidence, node);
        bool counts = kind == REF_OBJECT ? type != TYPE_ATOMIC && type != TYPE_WEAKREF && type != TYPE_LRU_LINK
                                         : kind == REF_BLOCK && !evidence->python;
        if (counts && evidence_reachable(evidence, node) && evidence_is_born(evidence, node) &&
            !evidence_has(evidence, node, EVIDENCE_EXPLAINED | EVIDENCE_NAMESPACE))
            groups_add(&groups,
                       (uint64_t)(kind == REF_OBJECT ? graph->nodes[node].type : UINT32_MAX) << 32 |
                           evidence->stack[node],
                       node);
    }
    groups_sort(&groups);
    bool measured = false;
    for (size_t from = 0, end; from < groups.count && code == 0; from = end) {
        end = groups_end(&groups, from);
        if (end - from < GROW_SPREAD_MEMBERS)
            continue;
        if (!measured)
            measure_depths(&spread, evidence);
        measured = true;
        code = report_spread(leaks, evidence, &spread, &groups.members[from], end - from);
    }
    if (groups.failed)
        code = -ENOMEM;
    groups_free(&groups);
    free(spread.below);
    free(spread.depth);
    free(spread.visited);
    free(spread.members);
    return code;
}
