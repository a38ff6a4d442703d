/*
 * leak_cycles.c - garbage that refers to itself and that the collector has not taken, with the reason where one is
 * seen.
 *
 * A component of garbage that hangs on other garbage is not reported for itself. Components whose members are of
 * the same types and whose first member was born at the same site are one entry.
 */
#include "base/buf.h"
#include "base/map64.h"
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEARCH_STEPS 100000 /* edges that are looked at for the pattern of one entry */
#define PATTERN_MAX 24      /* references in a pattern                               */

enum reason {
    REASON_YOUNG = 0,
    REASON_OLD,
    REASON_OFF, /* inferred */
    REASON_DISABLED,
    REASON_FINALIZED,
    REASON_UNTRACKED,
    REASON_OPAQUE,
    REASON_FROZEN
};

struct finder {
    struct leaks *leaks;
    struct evidence *evidence;
    uint8_t *hanging;      /* by component: other garbage holds it */
    struct groups members; /* garbage by component               */
    struct groups tops;    /* components (index of their first member in `members`) by type set and site */
    uint64_t *tracked;     /* ordinals of tracked objects, ascending; made when needed */
    size_t tracked_count;
};

static bool is_garbage(const struct evidence *evidence, uint32_t node)
{
    return evidence_is_object(evidence, node) && evidence->reach->class[node] == REACH_GARBAGE &&
           !evidence_has(evidence, node, EVIDENCE_EXPLAINED);
}

/* Garbage by component, and which components other garbage holds (a chain of it, or what is not understood). */
static void collect(struct finder *finder)
{
    const struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    const uint32_t *of = evidence->components.of;
    for (uint32_t node = 0; node < graph->node_count; node++) {
        enum ref_kind kind = ref_kind(&graph->nodes[node]);
        if ((kind != REF_OBJECT && kind != REF_BLOCK) || evidence_reachable(evidence, node))
            continue;
        for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (of[target] != of[node] && reach_holds(graph, evidence->reach, node, graph->edges[e]))
                finder->hanging[of[target]] = 1;
        }
        if (of[node] != 0 && is_garbage(evidence, node))
            groups_add(&finder->members, of[node], node);
    }
    groups_sort(&finder->members);
}

/* The member that people know it by: of a class of the program, the oldest. */
static uint32_t leader_of(const struct evidence *evidence, const struct group_member *members, size_t count)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t leader = members[0].node;
    bool leader_heap = false;
    for (size_t i = 0; i < count; i++) {
        const struct ref_node *n = &graph->nodes[members[i].node];
        bool heap = n->type < graph->type_count && graph->types[n->type].flags & HSK_TYPE_HEAP;
        if ((heap && !leader_heap) || (heap == leader_heap && evidence_birth_ordinal(evidence, members[i].node) <
                                                                  evidence_birth_ordinal(evidence, leader))) {
            leader = members[i].node;
            leader_heap = heap;
        }
    }
    return leader;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* Equal for components of the same set of types, however often each occurs. At most 64 different ones
 * are told apart. */
static uint64_t signature(const struct evidence *evidence, const struct group_member *members, size_t count)
{
    uint32_t types[64];
    size_t known = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t type = evidence->graph->nodes[members[i].node].type;
        size_t k = 0;
        while (k < known && types[k] != type)
            k++;
        if (k < known || known == HS_COUNT_OF(types))
            continue;
        types[known++] = type;
        sum += mix(type + 1);
    }
    return mix(sum ^ evidence->stack[leader_of(evidence, members, count)]);
}

/* References to members that neither edges nor hidden words within garbage explain: somebody unknown holds it. */
static bool held_by_unknown(const struct evidence *evidence, const struct group_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (evidence->reach->unexplained[members[i].node] > 0 &&
            !evidence_has(evidence, members[i].node, EVIDENCE_POINTED_MEMORY))
            return true;
    return false;
}

/* Why the collector has not taken a component, from what its members are. */
static enum reason reason_of(const struct evidence *evidence, const struct group_member *members, size_t count,
                             uint32_t *culprit)
{
    const struct ref_graph *graph = evidence->graph;
    enum reason reason = REASON_YOUNG;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = members[i].node;
        const struct ref_node *n = &graph->nodes[node];
        unsigned type_flags = n->type < graph->type_count ? graph->types[n->type].flags : 0;
        bool hides = false;
        for (uint64_t e = graph->first[node]; e < graph->first[node + 1] && !hides; e++)
            hides = ref_edge_kind(graph->edges[e]) == HSK_EDGE_HIDDEN &&
                    evidence->components.of[graph->edges[e].target] == evidence->components.of[node] &&
                    reach_holds(graph, evidence->reach, node, graph->edges[e]);
        enum reason own = n->flags & HSK_OBJECT_FROZEN                                   ? REASON_FROZEN
                          : hides || n->flags & HSK_OBJECT_OPAQUE                        ? REASON_OPAQUE
                          : type_flags & HSK_TYPE_GC && !(n->flags & HSK_OBJECT_TRACKED) ? REASON_UNTRACKED
                          : n->flags & HSK_OBJECT_FINALIZED                              ? REASON_FINALIZED
                                                                                         : REASON_YOUNG;
        if (own > reason) {
            reason = own;
            *culprit = node;
        }
    }
    return reason;
}

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* How many tracked objects that are still there were born after this ordinal. */
static uint64_t tracked_after(struct finder *finder, uint64_t ordinal)
{
    const struct ref_graph *graph = finder->evidence->graph;
    if (!finder->tracked) {
        finder->tracked = malloc(((size_t)graph->node_count + 1) * sizeof *finder->tracked);
        if (!finder->tracked)
            return 0;
        for (uint32_t node = 0; node < graph->node_count; node++)
            if (ref_kind(&graph->nodes[node]) == REF_OBJECT && graph->nodes[node].flags & HSK_OBJECT_TRACKED &&
                ref_ordinal(&graph->nodes[node]) != REF_NO_ORDINAL)
                finder->tracked[finder->tracked_count++] = evidence_birth_ordinal(finder->evidence, node);
        qsort(finder->tracked, finder->tracked_count, sizeof *finder->tracked, by_number);
    }
    size_t low = 0, high = finder->tracked_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (finder->tracked[middle] <= ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    return finder->tracked_count - low;
}

static const struct {
    double confidence;
    const char *name, *text;
} reasons[] = {
    [REASON_YOUNG] = {CYCLE_CONFIDENCE_YOUNG, "not collected yet",
                      "the next collection will take it, unless the collector is switched off"},
    [REASON_OLD] = {CYCLE_CONFIDENCE_OLD, "not collected yet, and large",
                    "the collector looks at old objects rarely; until then it stays"},
    [REASON_OFF] = {CYCLE_CONFIDENCE_OFF, "collector off",
                    "collections of the youngest generation must have come since most of it was made, so the collector "
                    "does not run (gc.disable(), or a threshold of 0)"},
    [REASON_DISABLED] = {CYCLE_CONFIDENCE_DISABLED, "collector disabled",
                         "the collector is switched off (gc.disable()), so nothing takes them away"},
    [REASON_FINALIZED] = {CYCLE_CONFIDENCE_FINALIZED, "finalizer",
                          "a finalizer has run and has brought it back: it is not run again"},
    [REASON_UNTRACKED] = {CYCLE_CONFIDENCE_UNTRACKED, "untracked object",
                          "the collector does not know one of its objects (PyObject_GC_Track was not called), so it "
                          "cannot see the cycle"},
    [REASON_OPAQUE] = {CYCLE_CONFIDENCE_OPAQUE, "references hidden from the collector",
                       "a native type does not tell the collector of a reference (no tp_traverse, or one that misses a "
                       "member), so it cannot see the cycle"},
    [REASON_FROZEN] = {CYCLE_CONFIDENCE_FROZEN, "frozen",
                       "gc.freeze() moved it out of the collector's reach before it became garbage"},
};

/* The way from the leader back to it: for each node that was met, the edge by which. */
struct way {
    struct map64 edge_of; /* node: index of the edge among those of its source */
    struct map64 source_of;
};

/* Breadth first within the component; the node from which an edge leads back to the leader, UINT32_MAX: it became too
 * large. */
static uint32_t search_back(const struct evidence *evidence, uint32_t leader, struct way *way, uint64_t *last_edge)
{
    const struct ref_graph *graph = evidence->graph;
    const uint32_t *of = evidence->components.of;
    uint32_t *queue = evidence->queue, known;
    uint64_t head = 0, tail = 0, steps = 0;
    queue[tail++] = leader;
    while (head < tail) {
        uint32_t node = queue[head++];
        for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (++steps > SEARCH_STEPS)
                return UINT32_MAX;
            if (of[target] != of[leader] || !reach_holds(graph, evidence->reach, node, graph->edges[e]))
                continue;
            if (target == leader) {
                *last_edge = e;
                return node;
            }
            if (map64_get(&way->source_of, target, &known))
                continue;
            if (!map64_put(&way->source_of, target, node) ||
                !map64_put(&way->edge_of, target, (uint32_t)(e - graph->first[node])))
                return UINT32_MAX;
            queue[tail++] = target;
        }
    }
    return UINT32_MAX;
}

/* Parent.children[0] → Child.parent: the shortest way from the leader back to it, with the names of references. */
static void describe(const struct evidence *evidence, uint32_t leader, struct leak *leak)
{
    const struct ref_graph *graph = evidence->graph;
    struct way way = {0};
    struct buf text = BUF_INIT;
    uint32_t nodes[PATTERN_MAX], count = 0, edge;
    uint64_t edges[PATTERN_MAX], next = 0;
    uint32_t node = search_back(evidence, leader, &way, &next);
    while (node != UINT32_MAX && count < PATTERN_MAX) {
        nodes[count] = node;
        edges[count++] = next;
        if (node == leader || !map64_get(&way.edge_of, node, &edge) || !map64_get(&way.source_of, node, &node))
            break;
        next = graph->first[node] + edge;
    }
    for (uint32_t i = count; i-- > 0;) {
        char type[256], name[256];
        ref_type_name(graph, graph->nodes[nodes[i]].type, type, sizeof type);
        ref_edge_text(graph, graph->edges[edges[i]], name, sizeof name);
        /* "Parent.child", "list[0]", but "Box hidden at +16" */
        buf_printf(&text, "%s%s%s%s", type, name[0] == '.' || name[0] == '[' ? "" : " ", name, i > 0 ? " → " : "");
    }
    buf_append_byte(&text, 0);
    if (count > 0 && !text.failed)
        leak_fact_text(leak, "pattern", (const char *)text.data);
    buf_free(&text);
    map64_free(&way.edge_of);
    map64_free(&way.source_of);
}

/* One entry: the components `tops[0 .. count]`, all of one signature. */
static void report(struct finder *finder, const struct group_member *tops, size_t count)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    enum reason reason = REASON_YOUNG;
    uint32_t leader = UINT32_MAX, suspect = UINT32_MAX;
    uint64_t bytes = 0, retained = 0, objects = 0, first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < count; i++) {
        const struct group_member *members = &finder->members.members[tops[i].node];
        size_t size = groups_end(&finder->members, tops[i].node) - tops[i].node;
        uint32_t own = leader_of(evidence, members, size), culprit = UINT32_MAX;
        enum reason why = reason_of(evidence, members, size, &culprit);
        if (why > reason || leader == UINT32_MAX) {
            reason = why;
            leader = own;
            suspect = culprit;
        }
        uint64_t born = evidence_birth_ordinal(evidence, own);
        first = born < first ? born : first;
        last = born > last ? born : last;
        objects += size;
        for (size_t k = 0; k < size; k++) {
            bytes += evidence->own[members[k].node];
            leaks_claim(finder->leaks, evidence->stack[members[k].node], 1, evidence->own[members[k].node]);
            if (!evidence_has(evidence, members[k].node, EVIDENCE_EXPLAINED))
                retained += evidence_explain(evidence, members[k].node);
        }
    }
    uint64_t run = evidence->end_ordinal - evidence->begin_ordinal;
    uint64_t enough =
        evidence->python_minor && evidence->python_minor < 13 ? CYCLE_TRACKED_AFTER_OLD : CYCLE_TRACKED_AFTER;
    /* what imports drop is dropped once, and no reason to look at the collector */
    bool of_program = evidence_is_born(evidence, leader);
    if (reason == REASON_YOUNG && evidence->collector_off && of_program)
        reason = REASON_DISABLED;
    else if (reason == REASON_YOUNG && of_program && last != REF_NO_ORDINAL &&
             (double)(last - first) >= CYCLE_WINDOW * (double)run && tracked_after(finder, first) >= enough)
        reason = REASON_OFF;
    else if (reason == REASON_YOUNG && retained >= CYCLE_LARGE_BYTES)
        reason = REASON_OLD;
    struct leak *leak = leaks_add(finder->leaks, LEAK_CYCLE);
    if (!leak)
        return;
    for (size_t i = 0; i < count; i++)
        for (size_t k = tops[i].node; k < groups_end(&finder->members, tops[i].node); k++)
            leaks_add_member(finder->leaks, finder->members.members[k].node, k == tops[i].node);
    char type[256];
    bool native;
    leak->type = strdup(ref_type_name(graph, graph->nodes[leader].type, type, sizeof type));
    leak->count = count;
    leak->bytes = bytes;
    leak->retained_bytes = retained;
    leak->has_retained = true;
    leak->confidence = reasons[reason].confidence;
    if (!of_program && leak->confidence > CYCLE_AT_START)
        leak->confidence = CYCLE_AT_START;
    leak_set_stack(leak, evidence, evidence->stack[leader], graph->nodes[leader].type);
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak_fact_count(leak, "objects", objects);
    leak_fact_text(leak, "reason", reasons[reason].name);
    describe(evidence, leader, leak);
    char of[300] = "";
    if (suspect != UINT32_MAX) {
        leak_fact_text(leak, "reason_type", ref_type_name(graph, graph->nodes[suspect].type, type, sizeof type));
        snprintf(of, sizeof of, " (seen at %s)", type);
    }
    leak_explain(leak, "%zu group%s of objects that refer to each other and to which nothing else refers: %s%s", count,
                 count == 1 ? "" : "s", reasons[reason].text, of);
}

int leaks_find_cycles(struct leaks *leaks, struct evidence *evidence)
{
    struct finder finder = {.leaks = leaks, .evidence = evidence};
    finder.hanging = calloc((size_t)evidence->components.count + 1, 1);
    if (!finder.hanging)
        return -ENOMEM;
    collect(&finder);
    for (size_t from = 0, end; from < finder.members.count; from = end) {
        end = groups_end(&finder.members, from);
        const struct group_member *members = &finder.members.members[from];
        if (!finder.hanging[members->key] && !held_by_unknown(evidence, members, end - from))
            groups_add(&finder.tops, signature(evidence, members, end - from), (uint32_t)from);
    }
    groups_sort(&finder.tops);
    for (size_t from = 0, end; from < finder.tops.count; from = end) {
        end = groups_end(&finder.tops, from);
        report(&finder, &finder.tops.members[from], end - from);
    }
    int code = finder.members.failed || finder.tops.failed ? -ENOMEM : 0;
    groups_free(&finder.members);
    groups_free(&finder.tops);
    free(finder.tracked);
    free(finder.hanging);
    return code;
}
