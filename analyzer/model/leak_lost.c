/*
 * leak_lost.c - native blocks that nothing points to, by site.
 *
 * As Memcheck: `definitely` is a block without a pointer to its start or its inside, `possibly` one with inner
 * pointers only; blocks that only lost blocks point to count as retained by those. Blocks of Python's object
 * allocator are left out: freelists and free pools keep them without a pointer to their start.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_groups.h"
#include "model/leak_limits.h"
#include "model/suppressions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const struct life_block *native_block(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    if (ref_kind(n) != REF_BLOCK || ref_ordinal(n) == REF_NO_ORDINAL ||
        ref_ordinal(n) < evidence->lifetimes->inherited_end)
        return NULL;
    const struct life_block *block = lifetimes_find(evidence->lifetimes, ref_ordinal(n));
    unsigned domain = block ? life_block_domain(block) : HSK_DOMAINS;
    return domain == HSK_DOMAIN_MALLOC || domain == HSK_DOMAIN_PY_RAW || domain == HSK_DOMAIN_PY_MEM ? block : NULL;
}

static void count_class(struct leaks *leaks, const struct evidence *evidence, uint32_t node)
{
    struct leak_class *class = &leaks->reachable;
    if (!evidence_has(evidence, node, EVIDENCE_OF_OBJECT)) {
        unsigned reach = evidence->reach->class[node];
        class = reach == REACH_GARBAGE    ? &leaks->definite
                : reach == REACH_INDIRECT ? &leaks->indirect
                : reach == REACH_POSSIBLE ? &leaks->possible
                                          : &leaks->reachable;
    }
    class->blocks++;
    class->bytes += evidence->own[node];
}

static double confidence_of(const struct evidence *evidence, bool possible, bool at_start, uint64_t count)
{
    double confidence = possible            ? LOST_POSSIBLE
                        : at_start          ? LOST_AT_START
                        : !evidence->python ? LOST_DEFINITE
                        : count == 1        ? LOST_ONCE_BESIDE_PYTHON
                                            : LOST_BESIDE_PYTHON;
    if (possible && at_start && confidence > LOST_AT_START)
        confidence = LOST_AT_START;
    return evidence->threads > 1 ? confidence * LOST_OTHER_STACKS : confidence;
}

static void report(struct leaks *leaks, struct evidence *evidence, const struct group_member *members, size_t count)
{
    bool possible = evidence->reach->class[members[0].node] == REACH_POSSIBLE, at_start = evidence->python, native;
    uint64_t bytes = 0, retained = 0, first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = members[i].node;
        bytes += evidence->own[node];
        retained += evidence_explain(evidence, node);
        at_start &= evidence_has(evidence, node, EVIDENCE_STARTUP);
        uint64_t born = evidence_birth_ns(evidence, node);
        first = born < first ? born : first;
        last = born > last ? born : last;
    }
    struct leak *leak = leaks_add(leaks, LEAK_LOST);
    if (!leak)
        return;
    for (size_t i = 0; i < count; i++)
        leaks_add_member(leaks, members[i].node, true);
    leak->count = count;
    leak->bytes = bytes;
    leak->retained_bytes = retained;
    leak->has_retained = true;
    leak->stack = evidence->stack[members[0].node];
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak->kind = possible ? SUPPRESSION_POSSIBLE : SUPPRESSION_DEFINITE;
    leak->confidence = confidence_of(evidence, possible, at_start, count);
    leak_fact_text(leak, "reachability", possible ? "possibly" : "definitely");
    leak_fact_count(leak, "indirect_bytes", retained > bytes ? retained - bytes : 0);
    leak_fact_seconds(leak, "first_time", first);
    leak_fact_seconds(leak, "last_time", last);
    const char *plural = count == 1 ? "block" : "blocks";
    if (possible)
        leak_explain(
            leak,
            "%zu %s of native memory: only pointers into the midst of %s were found, none to the start. It may "
            "be on purpose (a pointer to a part, a header before the data), or lost",
            count, plural, count == 1 ? "it" : "them");
    else
        leak_explain(leak,
                     "%zu %s of native memory that nothing points to any more: not the program's data, not its stacks "
                     "and registers, no live block and no Python object. Nobody can free %s%s",
                     count, plural, count == 1 ? "it" : "them",
                     at_start ? "; only start-up and imports allocate here, so it does not grow" : "");
    leaks_claim(leaks, leak->stack, count, bytes);
}

int leaks_find_lost(struct leaks *leaks, struct evidence *evidence)
{
    struct groups groups = GROUPS_INIT;
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        if (!native_block(evidence, node))
            continue;
        count_class(leaks, evidence, node);
        unsigned class = evidence->reach->class[node];
        if ((class == REACH_GARBAGE || class == REACH_POSSIBLE) &&
            !evidence_has(evidence, node, EVIDENCE_OF_OBJECT | EVIDENCE_EXPLAINED) &&
            !(evidence->stack_signs[evidence->stack[node]] & STACK_THREAD))
            groups_add(&groups, (uint64_t)evidence->stack[node] << 1 | (class == REACH_POSSIBLE), node);
    }
    groups_sort(&groups);
    for (size_t from = 0, end; from < groups.count; from = end) {
        end = groups_end(&groups, from);
        report(leaks, evidence, &groups.members[from], end - from);
    }
    int code = groups.failed ? -ENOMEM : 0;
    groups_free(&groups);
    return code;
}
