/*
 * leak_containers.c - what is reachable and only grows: the container, its path, and who its members are.
 *
 * First every container with many members (growth of its own members' births). Then, for what grows as a chain or a
 * tree, all blocks of one type and site together, and the node below which they accumulate: from the top of the
 * dominator tree down as long as one child has nearly all of them. Where the path to the container goes through
 * something that people forget (leak_paths.h), the cause is `held`.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_growth.h"
#include "model/leak_limits.h"
#include "model/leak_paths.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far from its container a reason may lie on the path: Class → __dict__ → attribute → dict. */
#define REASON_REACH 4

struct container {
    uint32_t node, type, stack; /* type and site of its members */
    uint32_t members;
    uint64_t bytes;
};

struct finder {
    struct leaks *leaks;
    struct evidence *evidence;
    struct container *list;
    size_t count, capacity;
    uint32_t *members; /* scratch: of the container at hand, room for all nodes */
    bool failed;
};

static bool leads_to_member(struct ref_edge edge)
{
    switch (ref_edge_kind(edge)) {
    case HSK_EDGE_REFERENCE:
    case HSK_EDGE_ATTRIBUTE:
    case HSK_EDGE_KEY:
    case HSK_EDGE_VALUE:
    case HSK_EDGE_INDEX:
    case HSK_EDGE_ITEM:
        return true;
    default:
        return false;
    }
}

/* What a member costs: all that hangs on it alone when it is this container's, else itself. */
static uint64_t cost(const struct evidence *evidence, uint32_t container, uint32_t member)
{
    return evidence->dominators.immediate[member] == container ? evidence->dominators.retained[member]
                                                               : evidence->own[member];
}

static bool is_candidate(const struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    if (!evidence_is_object(evidence, node) || graph->first[node + 1] - graph->first[node] < GROW_MIN_EACH ||
        !evidence_reachable(evidence, node) || evidence_has(evidence, node, EVIDENCE_NAMESPACE))
        return false;
    enum type_kind kind = evidence_type_kind(evidence, node);
    return kind != TYPE_CODE && kind != TYPE_FRAME && kind != TYPE_FIXED;
}

/*
 * The members of one type, born by the program's own code, into finder->members: of the type that costs most, where
 * plain values count least: keys are not what people look for.
 */
static size_t main_members(struct finder *finder, uint32_t node, uint64_t *bytes)
{
    const struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    struct groups groups = GROUPS_INIT;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
        uint32_t target = graph->edges[e].target;
        if (leads_to_member(graph->edges[e]) && evidence_is_object(evidence, target) && target != node &&
            evidence_is_born(evidence, target) && evidence_type_kind(evidence, target) != TYPE_WEAKREF &&
            !evidence_has(evidence, target, EVIDENCE_NAMESPACE | EVIDENCE_TAKEN)) {
            groups_add(&groups, graph->nodes[target].type, target);
            finder->evidence->marks[target] |= EVIDENCE_TAKEN; /* once, however often it is in there */
        }
    }
    for (size_t i = 0; i < groups.count; i++)
        finder->evidence->marks[groups.members[i].node] &= (uint8_t)~EVIDENCE_TAKEN;
    groups_sort(&groups);
    finder->failed |= groups.failed;
    size_t best = 0, best_count = 0;
    uint64_t best_cost = 0;
    for (size_t from = 0, end; from < groups.count; from = end) {
        uint64_t sum = 0;
        end = groups_end(&groups, from);
        for (size_t i = from; i < end; i++)
            sum += cost(evidence, node, groups.members[i].node);
        if (evidence_type_kind(evidence, groups.members[from].node) == TYPE_ATOMIC)
            sum /= 16;
        if (end - from >= GROW_MIN_EACH && sum >= best_cost) {
            best = from;
            best_count = end - from;
            best_cost = sum;
        }
    }
    *bytes = 0;
    for (size_t i = 0; i < best_count; i++) {
        finder->members[i] = groups.members[best + i].node;
        *bytes += cost(evidence, node, finder->members[i]);
    }
    groups_free(&groups);
    return best_count;
}

static void add_container(struct finder *finder, struct container container)
{
    if (finder->count == finder->capacity) {
        size_t capacity = finder->capacity ? 2 * finder->capacity : 64;
        struct container *grown = reallocarray(finder->list, capacity, sizeof *grown);
        if (!grown) {
            finder->failed = true;
            return;
        }
        finder->list = grown;
        finder->capacity = capacity;
    }
    finder->list[finder->count++] = container;
}

static void find_containers(struct finder *finder)
{
    struct evidence *evidence = finder->evidence;
    for (uint32_t node = 0; node < evidence->graph->node_count && !finder->failed; node++) {
        struct growth growth;
        uint64_t bytes;
        if (!is_candidate(evidence, node))
            continue;
        size_t count = main_members(finder, node, &bytes);
        if (count < GROW_MIN_EACH)
            continue;
        if (growth_measure(&growth, evidence, finder->members, count) != 0)
            finder->failed = true;
        else if (growth.grows)
            add_container(finder, (struct container){.node = node,
                                                     .type = evidence->graph->nodes[finder->members[0]].type,
                                                     .stack = evidence_main_stack(evidence, finder->members, count),
                                                     .members = (uint32_t)count,
                                                     .bytes = bytes});
    }
}

/* Together those of one kind of member, the largest first. */
static int by_members(const void *left, const void *right)
{
    const struct container *a = left, *b = right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->node < b->node ? -1 : a->node > b->node;
}

/* --- reporting --- */

struct found {
    uint32_t holder; /* UINT32_MAX: no single one */
    size_t holders;
    const uint32_t *members;
    size_t count;
    uint64_t retained;
    struct growth growth;
    double confidence, most; /* to begin with, and never more than this */
};

static double confidence_of(const struct found *found, uint64_t live_bytes, enum path_reason reason)
{
    double confidence = found->confidence;
    if (found->count >= GROW_MANY)
        confidence += GROW_MANY_BONUS;
    if (found->retained >= GROW_LARGE_BYTES || found->retained >= live_bytes / 10)
        confidence += GROW_LARGE_BONUS;
    if (found->growth.steady)
        confidence += GROW_STEADY_BONUS;
    if (found->growth.stopped)
        confidence *= GROW_STOPPED;
    if (reason == PATH_LOCAL && confidence > GROW_LOCAL_CONFIDENCE)
        confidence = GROW_LOCAL_CONFIDENCE;
    if (confidence > found->most)
        confidence = found->most;
    if (found->retained < GROW_SMALL_BYTES && confidence > GROW_SMALL_CONFIDENCE)
        confidence = GROW_SMALL_CONFIDENCE;
    return confidence;
}

/* Things that people forget, rather than things that they fill. */
static bool is_held(enum path_reason reason)
{
    return reason == PATH_EXCEPTION || reason == PATH_GENERATOR || reason == PATH_COROUTINE || reason == PATH_DEFAULT ||
           reason == PATH_CLOSURE || reason == PATH_THREAD_LOCAL;
}

/* How fast, as people count: a script that ran for a moment has no rate per second worth reading. */
static const char *rate_text(const struct growth *growth, size_t count, uint64_t end_ns, char *text, size_t size)
{
    double seconds = end_ns > growth->first_ns ? (double)(end_ns - growth->first_ns) / 1e9 : 0;
    if (seconds < GROW_RATE_SECONDS)
        snprintf(text, size, "%zu within %.2g s", count, seconds);
    else if (growth->per_second >= 1)
        snprintf(text, size, growth->per_second < 10 ? "about %.1f per second" : "about %.0f per second", growth->per_second);
    else
        snprintf(text, size, "about %.3g per hour", growth->per_second * 3600);
    return text;
}

static void explain(struct leak *leak, const struct found *found, uint64_t end_ns, const char *holder,
                    enum path_reason reason)
{
    char what[300], where[400], rate[80];
    if (leak->type)
        snprintf(what, sizeof what, "objects of type %s", leak->type);
    else
        snprintf(what, sizeof what, "blocks of native memory");
    if (found->holder == UINT32_MAX)
        snprintf(where, sizeof where, "No single container has them all: several together keep");
    else
        snprintf(where, sizeof where, found->holders > 1 ? "A %s, and others like it, keep" : "A %s keeps", holder);
    leak_explain(leak,
                 "%s %zu %s that were made all through the run and never went, %s; it has not stopped "
                 "growing. It is reached through %s: %s",
                 where, found->count, what, rate_text(&found->growth, found->count, end_ns, rate, sizeof rate),
                 reason == PATH_ORDINARY ? "ordinary references" : path_reason_names[reason],
                 path_reason_advice[reason]);
}

/* Members that only wrap: what they wrap is what people look for, and where it was made. */
static void name_payload(struct finder *finder, struct leak *leak, const struct found *found)
{
    const struct evidence *evidence = finder->evidence;
    uint32_t *payloads = malloc((found->count + 1) * sizeof *payloads);
    char type[256];
    size_t count = 0;
    if (!payloads)
        return;
    for (size_t i = 0; i < found->count; i++) {
        uint32_t payload = evidence_is_object(evidence, found->members[i])
                               ? evidence_payload(evidence, found->members[i])
                               : found->members[i];
        if (payload != found->members[i] &&
            (count == 0 || evidence->graph->nodes[payload].type == evidence->graph->nodes[payloads[0]].type))
            payloads[count++] = payload;
    }
    if ((double)count >= GROW_PAYLOAD_SHARE * (double)found->count) {
        leak_fact_text(leak, "wrapped_by", leak->type ? leak->type : "");
        free(leak->type);
        leak->type =
            strdup(ref_type_name(evidence->graph, evidence->graph->nodes[payloads[0]].type, type, sizeof type));
        leak->count = count;
        leak->stack = evidence_main_stack(evidence, payloads, count);
    }
    free(payloads);
}

static int report(struct finder *finder, const struct found *found)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    struct reach_path path = {0};
    struct path_find find = {.reason = PATH_ORDINARY};
    char type[256], holder[256] = "block";
    bool native;
    int code = 0;
    if (found->holder != UINT32_MAX) {
        code = reach_path(evidence->reach, graph, found->holder, &path);
        find = path_reason(evidence, &path, REASON_REACH);
        if (evidence_is_object(evidence, found->holder))
            ref_type_name(graph, graph->nodes[found->holder].type, holder, sizeof holder);
    }
    bool garbage = path.length == 2 && ref_kind(&graph->nodes[path.nodes[0]]) == REF_ROOT &&
                   strcmp(ref_root_text(graph, path.nodes[0], type, sizeof type), "gc.garbage") == 0;
    enum leak_cause cause = garbage ? LEAK_CYCLE : is_held(find.reason) ? LEAK_HELD : LEAK_GROWING;
    struct leak *leak = code == 0 ? leaks_add(finder->leaks, cause) : NULL;
    if (!leak) {
        reach_path_free(&path);
        return -ENOMEM;
    }
    const struct ref_node *member = &graph->nodes[found->members[0]];
    if (ref_kind(member) == REF_OBJECT)
        leak->type = strdup(ref_type_name(graph, member->type, type, sizeof type));
    leak->count = found->count;
    for (size_t i = 0; i < found->count; i++) {
        leak->bytes += evidence->own[found->members[i]];
        evidence->marks[found->members[i]] |= EVIDENCE_EXPLAINED;
        leaks_claim(finder->leaks, evidence->stack[found->members[i]], 1, evidence->own[found->members[i]]);
    }
    leak->retained_bytes = found->retained > leak->bytes ? found->retained : leak->bytes;
    leak->has_retained = true;
    leak->stack = evidence_main_stack(evidence, found->members, found->count);
    name_payload(finder, leak, found);
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak->confidence = confidence_of(found, evidence->live_bytes, find.reason);
    code = leak_why(leak, evidence, &path);
    leak_fact_text(leak, "holder", found->holder == UINT32_MAX ? "several" : holder);
    leak_fact_text(leak, "through", path_reason_names[find.reason]);
    leak_fact_count(leak, "holders", found->holders);
    leak_fact_number(leak, "growth_per_second", found->growth.per_second);
    leak_fact_seconds(leak, "first_time", found->growth.first_ns);
    leak_fact_seconds(leak, "last_time", found->growth.last_ns);
    leak_fact_count(leak, "live_before", found->growth.live_before);
    leak_fact_count(leak, "live_at_end", found->growth.live_end);
    if (is_held(find.reason))
        leak_fact_text(leak, "cut", path_find_text(evidence, &path, find, type, sizeof type));
    explain(leak, found, evidence->snapshot->time_ns, holder, find.reason);
    if (garbage) {
        leak->confidence = CYCLE_CONFIDENCE_GARBAGE;
        leak_fact_text(leak, "reason", "uncollectable");
        leak_explain(
            leak,
            "%zu objects are in gc.garbage: they are part of cycles, and the collector does not dare to end them, "
            "because their native type has a tp_del. Break the cycle by hand, or give the type a tp_finalize",
            found->count);
    }
    reach_path_free(&path);
    return code;
}

static bool is_explained(const struct evidence *evidence, uint32_t node)
{
    for (unsigned steps = 0; node != UINT32_MAX && steps < 10000; steps++, node = evidence->dominators.immediate[node])
        if (evidence_has(evidence, node, EVIDENCE_EXPLAINED))
            return true;
    return false;
}

/* One entry of the containers list[0 .. count], whose members are alike. */
static int report_containers(struct finder *finder, const struct container *list, size_t count)
{
    struct evidence *evidence = finder->evidence;
    uint32_t *members = NULL;
    size_t known = 0;
    struct found found = {.holder = list[0].node, .holders = count, .confidence = GROW_CONFIDENCE, .most = 1};
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        uint64_t bytes;
        if (is_explained(evidence, list[i].node))
            continue; /* it hangs on a member of another leak */
        if (known == 0)
            found.holder = list[i].node;
        size_t more = main_members(finder, list[i].node, &bytes);
        uint32_t *grown = reallocarray(members, known + more + 1, sizeof *grown);
        if (!grown) {
            code = -ENOMEM;
            break;
        }
        members = grown;
        for (size_t k = 0; k < more; k++) {
            uint32_t member = finder->members[k];
            if (evidence_has(evidence, member, EVIDENCE_EXPLAINED))
                continue; /* another container has it too */
            evidence->marks[member] |= EVIDENCE_EXPLAINED;
            members[known++] = member;
            found.retained += cost(evidence, list[i].node, member);
        }
    }
    found.members = members;
    found.count = known;
    if (code == 0 && known >= GROW_MIN_MEMBERS)
        code = growth_measure(&found.growth, evidence, members, known);
    if (code == 0 && known >= GROW_MIN_MEMBERS)
        code = report(finder, &found);
    free(members);
    return code;
}

/* list[from .. end] of the finder, whose members are alike. */
struct alike {
    size_t from, end;
    uint64_t bytes;
};

static int largest_first(const void *left, const void *right)
{
    const struct alike *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->from < b->from ? -1 : 1;
}

/* The largest first: what is in a container costs at least what is in those below it, which hang on it. */
static int report_all_containers(struct finder *finder)
{
    struct alike *groups = calloc(finder->count + 1, sizeof *groups);
    size_t count = 0;
    int code = groups ? 0 : -ENOMEM;
    if (finder->count > 1)
        qsort(finder->list, finder->count, sizeof *finder->list, by_members);
    for (size_t from = 0, end; from < finder->count && code == 0; from = end) {
        uint64_t bytes = 0;
        end = from;
        while (end < finder->count && finder->list[end].type == finder->list[from].type &&
               finder->list[end].stack == finder->list[from].stack)
            bytes += finder->list[end++].bytes;
        groups[count++] = (struct alike){.from = from, .end = end, .bytes = bytes};
    }
    if (count > 1)
        qsort(groups, count, sizeof *groups, largest_first);
    for (size_t i = 0; i < count && code == 0; i++)
        code = report_containers(finder, &finder->list[groups[i].from], groups[i].end - groups[i].from);
    free(groups);
    return code;
}

/* --- chains and trees --- */

/*
 * The dominator tree above the members of a group, with the number of members below each node. Node numbers
 * are those of the graph; `count` of nodes that are in no visit is meaningless, so those visited are listed.
 */
struct spread {
    uint32_t *below; /* by node */
    uint32_t *depth; /* by node: steps down from the top, made once */
    uint32_t *visited;
    size_t visited_count;
};

/* Depth in the dominator tree of every node. The way up is walked once for each node, marked by a depth that is known.
 */
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
    /* from the deepest on: the first that has nearly all, then up past members themselves (a chain begins above them)
     */
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

/* Different objects that only this container refers to. */
static size_t held_directly(const struct evidence *evidence, uint32_t container)
{
    const struct ref_graph *graph = evidence->graph;
    size_t count = 0;
    for (uint64_t e = graph->first[container]; e < graph->first[container + 1]; e++)
        count +=
            leads_to_member(graph->edges[e]) && evidence->dominators.immediate[graph->edges[e].target] == container;
    return count;
}

static int report_spread(struct finder *finder, struct spread *spread, const struct group_member *members, size_t count)
{
    struct evidence *evidence = finder->evidence;
    struct found found = {
        .holders = 1, .members = finder->members, .confidence = GROW_SPREAD_CONFIDENCE, .most = GROW_SPREAD_MOST};
    for (size_t i = 0; i < count; i++)
        if (!is_explained(evidence, members[i].node))
            finder->members[found.count++] = members[i].node;
    if (found.count < GROW_SPREAD_MEMBERS)
        return 0;
    int code = growth_measure(&found.growth, evidence, found.members, found.count);
    if (code != 0 || !found.growth.grows)
        return code;
    found.holder = accumulation_point(spread, evidence, members, count);
    /* a container after all, whose own members (keys, wrappers) are recycled so that their births are not known */
    if (found.holder != UINT32_MAX && is_candidate(evidence, found.holder) &&
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
    return report(finder, &found);
}

static int find_spread(struct finder *finder)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    size_t nodes = (size_t)graph->node_count + 1;
    struct groups groups = GROUPS_INIT;
    struct spread spread = {.below = malloc(nodes * sizeof *spread.below),
                            .depth = malloc(nodes * sizeof *spread.depth),
                            .visited = malloc(nodes * sizeof *spread.visited)};
    int code = spread.below && spread.depth && spread.visited ? 0 : -ENOMEM;
    for (uint32_t node = 0; node < graph->node_count && code == 0; node++) {
        enum ref_kind kind = ref_kind(&graph->nodes[node]);
        enum type_kind type = evidence_type_kind(evidence, node);
        bool counts =
            kind == REF_OBJECT ? type != TYPE_ATOMIC && type != TYPE_WEAKREF : kind == REF_BLOCK && !evidence->python;
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
        code = report_spread(finder, &spread, &groups.members[from], end - from);
    }
    if (groups.failed)
        code = -ENOMEM;
    groups_free(&groups);
    free(spread.below);
    free(spread.depth);
    free(spread.visited);
    return code;
}

int leaks_find_growing(struct leaks *leaks, struct evidence *evidence)
{
    struct finder finder = {.leaks = leaks, .evidence = evidence};
    finder.members = malloc(((size_t)evidence->graph->node_count + 1) * sizeof *finder.members);
    int code = finder.members ? 0 : -ENOMEM;
    if (code == 0)
        find_containers(&finder);
    if (code == 0 && !finder.failed)
        code = report_all_containers(&finder);
    if (code == 0 && !finder.failed)
        code = find_spread(&finder);
    free(finder.members);
    free(finder.list);
    return finder.failed ? -ENOMEM : code;
}
