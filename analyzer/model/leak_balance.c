/*
 * leak_balance.c - Python objects with more references than anything holds: a missing Py_DECREF.
 *
 * Of an object the snapshot knows its refcount and who refers to it. A reference that is left over and to which no
 * word of live memory points can be released by nobody. Known reasons for leftovers are kept out: objects that live
 * since the start (singletons that C code keeps), types and modules, what a module's data points to, and str, int
 * and the like unless many come from one site.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    size_t clean;   /* no word points to them                        */
    size_t stacked; /* only words on stacks do, which may be stale     */
    size_t pointed;
    size_t reachable;
    uint64_t unexplained, bytes, retained, first, last;
};

static bool counts(const struct evidence *evidence, uint32_t node)
{
    return evidence_is_object(evidence, node) && evidence->reach->unexplained[node] > 0 &&
           !(evidence->graph->nodes[node].flags & (HSK_OBJECT_IMMORTAL | HSK_OBJECT_STATIC));
}

/* Lives since the start, or is a type: many references too many, and most of all it has. */
static bool is_excess(const struct evidence *evidence, uint32_t node)
{
    int32_t unexplained = evidence->reach->unexplained[node];
    return unexplained >= OVER_EXCESS && unexplained >= OVER_EXCESS_SHARE * evidence->graph->nodes[node].refcount &&
           !evidence_has(evidence, node, EVIDENCE_POINTED_MEMORY) && evidence_type_kind(evidence, node) != TYPE_ATOMIC;
}

static struct tally tally_of(const struct evidence *evidence, const struct group_member *members, size_t count)
{
    struct tally tally = {.first = UINT64_MAX};
    for (size_t i = 0; i < count; i++) {
        uint32_t node = members[i].node;
        if (evidence_has(evidence, node, EVIDENCE_POINTED_MEMORY | EVIDENCE_POINTED_DATA))
            tally.pointed++;
        else if (evidence_has(evidence, node, EVIDENCE_POINTED_STACK))
            tally.stacked++;
        else
            tally.clean++;
    }
    return tally;
}

static void add_member(struct tally *tally, struct evidence *evidence, uint32_t node)
{
    uint64_t born = evidence_birth_ns(evidence, node);
    tally->unexplained += (uint64_t)evidence->reach->unexplained[node];
    tally->reachable += evidence_reachable(evidence, node);
    tally->bytes += evidence->own[node];
    tally->first = born < tally->first ? born : tally->first;
    tally->last = born > tally->last ? born : tally->last;
    /* what is in use stays in use when the reference is given back */
    tally->retained += evidence_reachable(evidence, node) ? evidence->own[node] : evidence_explain(evidence, node);
}

static struct leak *add_leak(struct leaks *leaks, struct evidence *evidence, uint32_t sample, const struct tally *tally,
                             size_t count)
{
    char type[256];
    struct leak *leak = leaks_add(leaks, LEAK_OVER_REFERENCED);
    if (!leak)
        return NULL;
    leak->type = strdup(ref_type_name(evidence->graph, evidence->graph->nodes[sample].type, type, sizeof type));
    leak->count = count;
    leak->bytes = tally->bytes;
    leak->retained_bytes = tally->retained;
    leak->has_retained = true;
    leak_set_stack(leak, evidence, evidence->stack[sample], evidence->graph->nodes[sample].type);
    leak_fact_count(leak, "unexplained_references", tally->unexplained);
    leak_fact_count(leak, "refcount", evidence->graph->nodes[sample].refcount);
    leak_fact_count(leak, "referrers",
                    evidence->graph->nodes[sample].refcount - (uint32_t)evidence->reach->unexplained[sample]);
    leak_fact_count(leak, "in_use", tally->reachable);
    leak_fact_count(leak, "stack_words", tally->stacked);
    leak_fact_seconds(leak, "first_time", tally->first);
    leak_fact_seconds(leak, "last_time", tally->last);
    leaks_claim(leaks, leak->stack, count, tally->bytes);
    return leak;
}

static bool is_believed(const struct evidence *evidence, uint32_t node, bool all)
{
    return all || !evidence_has(evidence, node, EVIDENCE_POINTED_MEMORY | EVIDENCE_POINTED_DATA);
}

static void report_born(struct leaks *leaks, struct evidence *evidence, const struct group_member *members,
                        size_t count)
{
    struct tally tally = tally_of(evidence, members, count);
    /* where nearly all have no word, the words at the few others are left from something else */
    bool all = (double)tally.clean >= OVER_CLEAN_SHARE * (double)count;
    size_t believed = all ? count : tally.clean + tally.stacked;
    bool atomic = evidence_type_kind(evidence, members[0].node) == TYPE_ATOMIC, native;
    bool types = evidence->graph->nodes[members[0].node].flags & HSK_OBJECT_TYPE;
    if (tally.clean == 0 || (double)tally.clean < OVER_POINTED_SHARE * (double)count ||
        (atomic && believed < OVER_ATOMIC_MIN) || (types && believed < OVER_MANY))
        return;
    uint32_t sample = members[0].node;
    for (size_t i = 0; i < count; i++) {
        if (!is_believed(evidence, members[i].node, all))
            continue;
        sample = members[i].node;
        add_member(&tally, evidence, sample);
    }
    struct leak *leak = add_leak(leaks, evidence, sample, &tally, believed);
    if (!leak)
        return;
    for (size_t i = 0; i < count; i++)
        if (is_believed(evidence, members[i].node, all))
            leaks_add_member(leaks, members[i].node, true);
    leak->confidence = atomic                  ? OVER_CONFIDENCE_ATOMIC
                       : believed >= OVER_MANY ? OVER_CONFIDENCE_MANY
                                               : OVER_CONFIDENCE_FEW;
    if (believed < OVER_MANY && evidence->threads > 1)
        leak->confidence = OVER_CONFIDENCE_THREADS;
    if (tally.reachable == believed)
        leak->confidence *= OVER_REACHABLE;
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak_explain(leak,
                 "%zu object%s of type %s with %" PRIu64
                 " more reference%s than anything holds: no object refers to %s and no "
                 "word of live memory points there, so the reference is never given back: a Py_DECREF is missing in "
                 "native code",
                 believed, believed == 1 ? "" : "s", leak->type ? leak->type : "?", tally.unexplained,
                 tally.unexplained == 1 ? "" : "s", believed == 1 ? "it" : "them");
    leak->advice =
        native ? "The first suspect is the extension's function in which they were made; watch some of them to be sure"
               : "Look at the extension functions that the Python line called, or watch some of them to know";
}

/* One object that lives since the start, or a type: what it is, not where it was made, leads to the place. */
static void report_excess(struct leaks *leaks, struct evidence *evidence, uint32_t node)
{
    struct tally tally = {.first = UINT64_MAX};
    uint64_t excess = (uint64_t)evidence->reach->unexplained[node];
    add_member(&tally, evidence, node);
    struct leak *leak = add_leak(leaks, evidence, node, &tally, 1);
    if (!leak)
        return;
    leaks_add_member(leaks, node, true);
    bool type = evidence->graph->nodes[node].flags & HSK_OBJECT_TYPE;
    leak->confidence = OVER_CONFIDENCE_EXCESS;
    leak_explain(leak,
                 "%s%s that is in use has %" PRIu64
                 " references more than anything holds, and no word of live memory points "
                 "there: a reference is taken again and again, and never given back. The object can never go",
                 type ? "a type, of metatype " : "an object of type ", leak->type ? leak->type : "?", excess);
}

int leaks_find_over_referenced(struct leaks *leaks, struct evidence *evidence)
{
    struct groups groups = GROUPS_INIT;
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        if (!counts(evidence, node))
            continue;
        bool type = evidence->graph->nodes[node].flags & HSK_OBJECT_TYPE;
        bool of_program = evidence_is_born(evidence, node) &&
                          (type || !evidence_has(evidence, node, EVIDENCE_NAMESPACE)) &&
                          evidence_type_kind(evidence, node) != TYPE_CODE;
        if (of_program)
            groups_add(&groups, (uint64_t)evidence->graph->nodes[node].type << 32 | evidence->stack[node], node);
        else if (is_excess(evidence, node))
            report_excess(leaks, evidence, node);
    }
    groups_sort(&groups);
    for (size_t from = 0, end; from < groups.count; from = end) {
        end = groups_end(&groups, from);
        report_born(leaks, evidence, &groups.members[from], end - from);
    }
    int code = groups.failed ? -ENOMEM : 0;
    groups_free(&groups);
    return code;
}
