/* leak_culprits.c - see leak_culprits.h */
#include "model/leak_culprits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/count_balance.h"
#include "model/frame_roles.h"

#define SITES_PER_OBJECT 16u

/* A counted object that the snapshot found with references too many. */
struct suspect_object {
    const struct counted *counted;
    uint32_t node;
};

struct suspects {
    struct suspect_object *list;
    size_t count;
};

/* Objects of the snapshot by the ordinals of their blocks. */
static bool find_suspects(struct suspects *suspects, const struct evidence *evidence, const struct counts *counts)
{
    struct map64 by_ordinal = MAP64_INIT;
    bool done = true;
    uint32_t node;
    for (uint32_t n = 0; n < evidence->graph->node_count && done; n++) {
        const struct ref_node *at = &evidence->graph->nodes[n];
        if (ref_kind(at) == REF_OBJECT && ref_ordinal(at) != REF_NO_ORDINAL && evidence->own[n] > 0 &&
            evidence->reach->unexplained[n] > 0)
            done = map64_put(&by_ordinal, ref_ordinal(at), n);
    }
    suspects->list = calloc(counts->object_count + 1, sizeof *suspects->list);
    done &= suspects->list != NULL;
    for (size_t i = 0; i < counts->object_count && done; i++) {
        const struct counted *object = &counts->objects[i];
        if (object->shadowed || object->dead || object->ordinal == COUNTED_NO_ORDINAL ||
            !map64_get(&by_ordinal, object->ordinal, &node))
            continue;
        suspects->list[suspects->count++] = (struct suspect_object){object, node};
    }
    map64_free(&by_ordinal);
    return done;
}

static bool belongs(const struct leak *leak, const struct evidence *evidence, uint32_t node)
{
    char type[256];
    ref_type_name(evidence->graph, evidence->graph->nodes[node].type, type, sizeof type);
    return evidence->stack[node] == leak->stack && leak->type && strcmp(type, leak->type) == 0;
}

/* Charges the sites of as many left increments as are unexplained; each site once per object. */
static void charge(const struct count_balance *balance, uint32_t unexplained, uint32_t *charged)
{
    uint32_t sites[SITES_PER_OBJECT], count = 0, left = unexplained;
    for (int extension = 1; extension >= 0; extension--)
        for (size_t i = balance->left_count; i > 0 && left > 0 && count < SITES_PER_OBJECT; i--) {
            uint32_t site = balance->left[i - 1].site;
            if (balance->sites[site].extension != (extension == 1))
                continue;
            left--;
            bool again = false;
            for (uint32_t s = 0; s < count; s++)
                again |= sites[s] == site;
            if (!again)
                sites[count++] = site;
        }
    for (uint32_t s = 0; s < count; s++)
        charged[sites[s]]++;
}

/* The frame of a site to name: the innermost of an extension, else the innermost; a stack. */
static uint32_t frame_to_name(const struct stacks *stacks, const struct balance_site *site)
{
    uint32_t stack = site->stack;
    for (; stack && site->extension; stack = stacks_caller(stacks, stack)) {
        struct frame frame = stacks_frame(stacks, stack);
        if (frame.language == FRAME_NATIVE && !frame_acts_for_others(&frame))
            return stack;
    }
    return site->stack;
}

static void name_culprit(struct leak *leak, const struct stacks *stacks, const struct balance_site *site,
                         uint32_t charged, uint32_t watched)
{
    leak->culprit = frame_to_name(stacks, site);
    struct frame frame = stacks_frame(stacks, leak->culprit);
    leak_fact_count(leak, "watched", watched);
    leak_fact_count(leak, "charged", charged);
    char *before = leak->explanation;
    leak->explanation = NULL;
    leak_explain(leak,
                 "%s. The counts of %" PRIu32 " of them were recorded: in %" PRIu32
                 " a reference that was taken by %.*s (%.*s:%" PRIu32 ") was never given back",
                 before ? before : "", watched, charged, (int)frame.function.length,
                 frame.function.bytes ? frame.function.bytes : "", (int)frame.file.length,
                 frame.file.bytes ? frame.file.bytes : "?", frame.line);
    free(before);
}

static int find_culprit(struct leak *leak, const struct evidence *evidence, const struct counts *counts,
                        const struct suspects *suspects)
{
    struct count_balance balance;
    uint32_t watched = 0, best = 0, *charged = NULL;
    size_t room = 0;
    balance_begin(&balance, evidence->stacks);
    for (size_t i = 0; i < suspects->count; i++) {
        const struct suspect_object *suspect = &suspects->list[i];
        if (!belongs(leak, evidence, suspect->node))
            continue;
        watched++;
        balance_add(&balance, counts, suspect->counted);
        if (balance.site_capacity > room) {
            uint32_t *grown = reallocarray(charged, balance.site_capacity, sizeof *grown);
            if (!grown) {
                balance.failed = true;
                break;
            }
            charged = grown;
            memset(charged + room, 0, (balance.site_capacity - room) * sizeof *charged);
            room = balance.site_capacity;
        }
        charge(&balance, (uint32_t)evidence->reach->unexplained[suspect->node], charged);
    }
    for (uint32_t site = 0; site < balance.site_count && charged; site++)
        if (charged[site] > charged[best] ||
            (charged[site] == charged[best] && balance.sites[site].extension && !balance.sites[best].extension))
            best = site;
    if (charged && charged[best] > 0 && balance.sites[best].stack)
        name_culprit(leak, evidence->stacks, &balance.sites[best], charged[best], watched);
    int code = balance.failed ? -ENOMEM : 0;
    free(charged);
    balance_free(&balance);
    return code;
}

int leaks_find_culprits(struct leaks *leaks, const struct evidence *evidence, const struct counts *counts)
{
    struct suspects suspects = {0};
    int code = find_suspects(&suspects, evidence, counts) ? 0 : -ENOMEM;
    for (size_t i = 0; i < leaks->count && code == 0; i++)
        if (leaks->list[i].cause == LEAK_OVER_REFERENCED)
            code = find_culprit(&leaks->list[i], evidence, counts, &suspects);
    free(suspects.list);
    return code;
}
