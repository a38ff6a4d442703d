/* leak_gathered.c - see leak_gathered.h */
#include "model/leak_gathered.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/leak_limits.h"
#include "model/leak_paths.h"

/* How far from its container a reason may lie on the path: Class → __dict__ → attribute → dict. */
#define REASON_REACH 4

bool gathered_leads(struct ref_edge edge)
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

bool gathered_can_hold(const struct evidence *evidence, uint32_t node)
{
    if (!evidence_is_object(evidence, node) || !evidence_reachable(evidence, node) ||
        evidence_has(evidence, node, EVIDENCE_NAMESPACE))
        return false;
    enum type_kind kind = evidence_type_kind(evidence, node);
    return kind != TYPE_CODE && kind != TYPE_FRAME && kind != TYPE_FIXED;
}

static double confidence_of(const struct gathered *found, uint64_t live_bytes, enum path_reason reason)
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
    double most = path_reason_most(reason, found->retained);
    if (confidence > most)
        confidence = most;
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
        snprintf(text, size, growth->per_second < 10 ? "about %.1f per second" : "about %.0f per second",
                 growth->per_second);
    else
        snprintf(text, size, "about %.3g per hour", growth->per_second * 3600);
    return text;
}

static void explain(struct leak *leak, const struct gathered *found, uint64_t end_ns, const char *holder,
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
static void name_payload(const struct evidence *evidence, struct leak *leak, const struct gathered *found)
{
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
        leak_set_stack(leak, evidence, evidence_main_stack(evidence, payloads, count),
                       evidence->graph->nodes[payloads[0]].type);
    }
    free(payloads);
}

int gathered_report(struct leaks *leaks, struct evidence *evidence, const struct gathered *found)
{
    const struct ref_graph *graph = evidence->graph;
    struct reach_path path = {0};
    struct path_find find = {.reason = PATH_ORDINARY};
    char type[256], holder[256] = "block";
    bool native;
    int code = 0;
    if (found->holder != UINT32_MAX) {
        code = reach_path(evidence->reach, graph, found->holder, &path);
        find = path_reason(evidence, &path, REASON_REACH);
        enum path_reason own = path_reason_of_holder(evidence, found->holder);
        find.reason = own != PATH_ORDINARY ? own : find.reason;
        if (evidence_is_object(evidence, found->holder))
            ref_type_name(graph, graph->nodes[found->holder].type, holder, sizeof holder);
    }
    bool garbage = path.length == 2 && ref_kind(&graph->nodes[path.nodes[0]]) == REF_ROOT &&
                   strcmp(ref_root_text(graph, path.nodes[0], type, sizeof type), "gc.garbage") == 0;
    enum leak_cause cause = garbage ? LEAK_CYCLE : is_held(find.reason) ? LEAK_HELD : LEAK_GROWING;
    struct leak *leak = code == 0 ? leaks_add(leaks, cause) : NULL;
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
        evidence_mark_explained(evidence, found->members[i]);
        leaks_add_member(leaks, found->members[i], true);
        leaks_claim(leaks, evidence->stack[found->members[i]], 1, evidence->own[found->members[i]]);
    }
    leak->retained_bytes = found->retained > leak->bytes ? found->retained : leak->bytes;
    leak->has_retained = true;
    leak_set_stack(leak, evidence, evidence_main_stack(evidence, found->members, found->count),
                   ref_kind(member) == REF_OBJECT ? member->type : 0);
    name_payload(evidence, leak, found);
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
