/*
 * leak_held.c - something large, or many of a kind, kept alive through what people forget.
 *
 * Looked for from the side of the reference: a traceback, a generator's or a coroutine's local variable, a default
 * argument, a closure, a thread-local. What hangs on it alone must be large, or it must be many alike, and not made by
 * start-up. Ordinary data is no leak: containers that grow are leak_containers.c's.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"
#include "model/leak_paths.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double confidences[PATH_REASONS] = {
    [PATH_EXCEPTION] = HELD_EXCEPTION, [PATH_GENERATOR] = HELD_GENERATOR, [PATH_COROUTINE] = HELD_COROUTINE,
    [PATH_DEFAULT] = HELD_DEFAULT,     [PATH_CLOSURE] = HELD_CLOSURE,     [PATH_THREAD_LOCAL] = HELD_THREAD_LOCAL,
};

/*
 * The object to blame when it is the source of such an edge: the exception, the generator, the function; itself for
 * what is large by itself.
 */
static enum path_reason reason_at(const struct evidence *evidence, uint32_t node, uint32_t *blamed)
{
    const struct ref_graph *graph = evidence->graph;
    enum type_kind kind = evidence_type_kind(evidence, node);
    *blamed = node;
    if (kind == TYPE_LRU_CACHE) /* growing, if anything */
        return PATH_ORDINARY;
    if (kind == TYPE_GENERATOR)
        return PATH_GENERATOR;
    if (kind == TYPE_COROUTINE)
        return PATH_COROUTINE;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
        struct reach_path step = {.nodes = (uint32_t[]){node, graph->edges[e].target}, .edges = &e, .length = 2};
        enum path_reason reason = path_reason(evidence, &step, 1).reason;
        if (reason == PATH_EXCEPTION && kind != TYPE_TRACEBACK && kind != TYPE_FRAME)
            return reason;
        if (reason != PATH_DEFAULT && reason != PATH_CLOSURE && reason != PATH_THREAD_LOCAL)
            continue;
        if (evidence->dominators.immediate[graph->edges[e].target] == node) {
            *blamed = graph->edges[e].target;
            return reason;
        }
    }
    return PATH_ORDINARY;
}

static bool is_large(const struct evidence *evidence, uint64_t bytes)
{
    return bytes >= HELD_BYTES ||
           (bytes >= HELD_SHARE_BYTES && (double)bytes >= HELD_SHARE * (double)evidence->live_bytes);
}

/* A function or class made at import may hold something that was made later: what is retained must be born. */
static bool retains_own_work(const struct evidence *evidence, uint32_t node)
{
    if (evidence_is_born(evidence, node))
        return true;
    const struct ref_graph *graph = evidence->graph;
    size_t born = 0;
    uint32_t type = 0;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++)
        if (evidence_is_born(evidence, graph->edges[e].target)) {
            born++;
            type = graph->nodes[graph->edges[e].target].type;
        }
    return born > 0 && !earlier_replaced(evidence->earlier, graph, node, type, born);
}

/* The largest thing below: what the user will recognize. Down the dominator tree there are no links, so one step of
 * edges. */
static uint32_t largest_below(const struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    for (unsigned steps = 0; steps < 64; steps++) {
        uint32_t best = UINT32_MAX;
        for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (evidence->dominators.immediate[target] == node && evidence_is_object(evidence, target) &&
                (best == UINT32_MAX || evidence->dominators.retained[target] > evidence->dominators.retained[best]))
                best = target;
        }
        if (best == UINT32_MAX || evidence->dominators.retained[best] * 2 < evidence->dominators.retained[node])
            return node;
        node = best;
    }
    return node;
}

/* Where what is in it was made: of a container its members, when they are many. */
static void set_stack(struct leak *leak, const struct evidence *evidence, uint32_t thing, uint32_t most)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t *members = evidence->queue;
    size_t count = 0;
    for (uint64_t e = graph->first[thing]; e < graph->first[thing + 1]; e++) {
        uint32_t target = graph->edges[e].target;
        if (evidence->dominators.immediate[target] == thing && evidence_is_object(evidence, target) &&
            evidence_is_born(evidence, target) && count < graph->node_count)
            members[count++] = target;
    }
    uint32_t stack = count >= GROW_MIN_MEMBERS ? evidence_main_stack(evidence, members, count) : 0;
    uint32_t sample = evidence->stack[thing] ? thing : most;
    for (size_t i = 0; i < count && stack != 0; i++)
        if (evidence->stack[members[i]] == stack)
            sample = members[i];
    leak_set_stack(leak, evidence, evidence->stack[sample], graph->nodes[sample].type);
}

static int report(struct leaks *leaks, struct evidence *evidence, enum path_reason reason,
                  const struct group_member *members, size_t count)
{
    const struct ref_graph *graph = evidence->graph;
    uint64_t retained = 0, bytes = 0;
    uint32_t most = members[0].node;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = members[i].node;
        retained += evidence->dominators.retained[node];
        bytes += evidence->own[node];
        if (evidence->dominators.retained[node] > evidence->dominators.retained[most])
            most = node;
    }
    if (!is_large(evidence, retained) && count < HELD_MANY)
        return 0;
    struct reach_path path;
    uint32_t thing = largest_below(evidence, most);
    int code = reach_path(evidence->reach, graph, thing, &path);
    if (code != 0)
        return code;
    struct leak *leak = leaks_add(leaks, LEAK_HELD);
    if (!leak) {
        reach_path_free(&path);
        return -ENOMEM;
    }
    char type[256], held[256];
    bool native;
    leak->type = strdup(ref_type_name(graph, graph->nodes[most].type, type, sizeof type));
    leak->count = count;
    leak->bytes = bytes;
    leak->retained_bytes = retained;
    leak->has_retained = true;
    set_stack(leak, evidence, thing, most);
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak->confidence = confidences[reason];
    /* a running function that uses it will let it go */
    struct path_find find = path_reason(evidence, &path, 0);
    const struct ref_node *root = path.length ? &graph->nodes[path.nodes[0]] : NULL;
    if (root && ref_kind(root) == REF_ROOT && root->type != HSK_ROOT_INTERPRETER && root->type != HSK_ROOT_DATA &&
        leak->confidence > HELD_IN_USE)
        leak->confidence = HELD_IN_USE;
    if (count < HELD_MANY && retained < HELD_BYTES && leak->confidence > HELD_SMALL)
        leak->confidence = HELD_SMALL;
    code = leak_why(leak, evidence, &path);
    leak_fact_text(leak, "through", path_reason_names[reason]);
    leak_fact_text(leak, "cut", path_find_text(evidence, &path, find, type, sizeof type));
    leak_fact_text(leak, "largest", ref_type_name(graph, graph->nodes[thing].type, held, sizeof held));
    leak_explain(leak,
                 "%zu object%s of type %s %s alive and retain%s %" PRIu64 " bytes (most of it: %s) through %s: %s",
                 count, count == 1 ? "" : "s", leak->type ? leak->type : "?", count == 1 ? "is" : "are",
                 count == 1 ? "s" : "", retained, held, path_reason_names[reason], path_reason_advice[reason]);
    for (size_t i = 0; i < count; i++) {
        evidence_mark_explained(evidence, members[i].node);
        leaks_add_member(leaks, members[i].node, true);
        leaks_claim(leaks, evidence->stack[members[i].node], 1, evidence->own[members[i].node]);
    }
    reach_path_free(&path);
    return code;
}

int leaks_find_held(struct leaks *leaks, struct evidence *evidence)
{
    const struct ref_graph *graph = evidence->graph;
    struct groups groups = GROUPS_INIT;
    int code = 0;
    for (uint32_t node = 0; node < graph->node_count; node++) {
        uint32_t blamed;
        if (!evidence_is_object(evidence, node) || !evidence_reachable(evidence, node) ||
            graph->first[node] == graph->first[node + 1])
            continue;
        enum path_reason reason = reason_at(evidence, node, &blamed);
        if (reason != PATH_ORDINARY && retains_own_work(evidence, blamed) && !evidence_is_explained(evidence, blamed))
            groups_add(&groups,
                       (uint64_t)reason << 60 | ((uint64_t)graph->nodes[blamed].type & 0xfffffff) << 32 |
                           evidence->stack[blamed],
                       blamed);
    }
    groups_sort(&groups);
    for (size_t from = 0, end; from < groups.count && code == 0; from = end) {
        end = groups_end(&groups, from);
        code = report(leaks, evidence, (enum path_reason)(groups.members[from].key >> 60), &groups.members[from],
                      end - from);
    }
    if (groups.failed)
        code = -ENOMEM;
    groups_free(&groups);
    return code;
}
