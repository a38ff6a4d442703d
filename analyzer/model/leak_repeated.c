/*
 * leak_repeated.c - what every occurrence of a region leaves behind: reachable, so that nothing is wrong with any one
 * of them, but there are more after each.
 *
 * Only of regions that are asked for (named_region.leaks_wanted), and of those that occurred so often that, the first
 * quarter being warm-up, at least three are left (mark_growth.h). Survivors of one type and site count when each of
 * these has left some: a cache that warmed up, a table that was enlarged, the result of the last time are not like
 * that. It comes last and explains nothing, so that what is found of one region does not depend on which others are
 * asked for.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_limits.h"
#include "model/leak_paths.h"
#include "model/mark_growth.h"
#include "model/regions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

#define OWNERS_UP 16u /* so far up a survivor is looked for that another one hangs on */

/* A node that may be a survivor, at its birth. */
struct birth {
    uint64_t at; /* ordinal, or marks before it */
    uint32_t node;
};

struct births {
    struct birth *list;
    size_t count;
};

struct survivor {
    uint64_t key; /* type and stack */
    uint32_t occurrence, node;
};

struct finder {
    struct leaks *leaks;
    struct evidence *evidence;
    struct births blocks, objects; /* the latter by marks, where births of objects are told */
    struct survivor *survivors;    /* of one region */
    size_t count, capacity;
    bool failed;
};

static const struct object_life *life_of(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    return evidence->objects && ref_kind(n) == REF_OBJECT && evidence->own[node] > 0
               ? object_lives_find(evidence->objects, ref_ordinal(n))
               : NULL;
}

static int by_birth(const void *left, const void *right)
{
    const struct birth *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

static bool collect(struct finder *finder)
{
    const struct evidence *evidence = finder->evidence;
    size_t room = (size_t)evidence->graph->node_count + 1;
    finder->blocks.list = malloc(room * sizeof *finder->blocks.list);
    finder->objects.list = malloc(room * sizeof *finder->objects.list);
    if (!finder->blocks.list || !finder->objects.list)
        return false;
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        if (!evidence_is_born(evidence, node) || !evidence_reachable(evidence, node) ||
            evidence_has(evidence, node, EVIDENCE_NAMESPACE))
            continue;
        const struct object_life *life = life_of(evidence, node);
        struct births *births = life ? &finder->objects : &finder->blocks;
        births->list[births->count++] =
            (struct birth){.at = life ? life->birth_mark : ref_ordinal(&evidence->graph->nodes[node]), .node = node};
    }
    qsort(finder->blocks.list, finder->blocks.count, sizeof *finder->blocks.list, by_birth);
    qsort(finder->objects.list, finder->objects.count, sizeof *finder->objects.list, by_birth);
    return true;
}

static void add_survivor(struct finder *finder, uint32_t occurrence, uint32_t node)
{
    struct evidence *evidence = finder->evidence;
    if (evidence_has(evidence, node, EVIDENCE_TAKEN) || evidence_is_explained(evidence, node))
        return;
    if (!grow((void **)&finder->survivors, finder->count, &finder->capacity, sizeof *finder->survivors)) {
        finder->failed = true;
        return;
    }
    evidence->marks[node] |= EVIDENCE_TAKEN;
    uint64_t type = evidence_is_object(evidence, node) ? evidence->graph->nodes[node].type : 0;
    finder->survivors[finder->count++] =
        (struct survivor){.key = type << 32 | evidence->stack[node], .occurrence = occurrence, .node = node};
}

static size_t first_from(const struct births *births, uint64_t at)
{
    size_t low = 0, high = births->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (births->list[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* What one occurrence has left. */
static void take_survivors(struct finder *finder, const struct region *region, uint32_t occurrence)
{
    const struct evidence *evidence = finder->evidence;
    const struct births *blocks = &finder->blocks, *objects = &finder->objects;
    for (size_t i = first_from(blocks, region->begin_ordinal);
         i < blocks->count && blocks->list[i].at < region->end_ordinal; i++) {
        const struct life_block *block = lifetimes_find(evidence->lifetimes, blocks->list[i].at);
        if (block && region_has_block(region, blocks->list[i].at, block->thread))
            add_survivor(finder, occurrence, blocks->list[i].node);
    }
    for (size_t i = first_from(objects, region->begin_mark);
         i < objects->count && objects->list[i].at < region->end_mark; i++) {
        const struct object_life *life = life_of(evidence, objects->list[i].node);
        if (life && region_has_object(region, life))
            add_survivor(finder, occurrence, objects->list[i].node);
    }
}

/* Does it hang on another survivor? Then that one is told. */
static bool is_owned(const struct evidence *evidence, uint32_t node)
{
    const uint32_t *up = evidence->dominators.immediate;
    uint32_t at = up[node];
    for (unsigned i = 0; i < OWNERS_UP && at != UINT32_MAX; i++, at = up[at])
        if (evidence_has(evidence, at, EVIDENCE_TAKEN))
            return true;
    return false;
}

static int by_key(const void *left, const void *right)
{
    const struct survivor *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->occurrence != b->occurrence)
        return a->occurrence < b->occurrence ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

static void forget_owned(struct finder *finder)
{
    struct evidence *evidence = finder->evidence;
    size_t kept = 0;
    for (size_t i = 0; i < finder->count; i++)
        if (!is_owned(evidence, finder->survivors[i].node))
            finder->survivors[kept++] = finder->survivors[i];
    /* only now: what is owned by what is owned was to be forgotten, too */
    for (uint32_t node = 0; node < evidence->graph->node_count; node++)
        evidence->marks[node] &= (uint8_t)~EVIDENCE_TAKEN;
    finder->count = kept;
    if (kept > 1)
        qsort(finder->survivors, kept, sizeof *finder->survivors, by_key);
}

static double confidence_of(const struct evidence *evidence, enum path_reason reason, uint64_t retained,
                            size_t occurrences)
{
    double confidence = evidence->python ? GROW_CONFIDENCE : REPEATED_NATIVE_CONFIDENCE;
    if (occurrences >= REPEATED_MANY)
        confidence += GROW_MANY_BONUS;
    double most = path_reason_most(reason, retained);
    return confidence > most ? most : confidence;
}

static int report(struct finder *finder, uint32_t name, const struct survivor *survivors, size_t count,
                  size_t occurrences)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    const struct ref_node *sample = &graph->nodes[survivors[0].node];
    struct reach_path path = {0};
    char type[256];
    bool native;
    size_t length;
    int code = reach_path(evidence->reach, graph, survivors[count - 1].node, &path);
    struct leak *leak = code == 0 ? leaks_add(finder->leaks, LEAK_GROWING) : NULL;
    if (!leak) {
        reach_path_free(&path);
        return -ENOMEM;
    }
    struct path_find find = path_reason(evidence, &path, 0);
    if (ref_kind(sample) == REF_OBJECT)
        leak->type = strdup(ref_type_name(graph, sample->type, type, sizeof type));
    leak->of_region = name;
    leak->count = count;
    for (size_t i = 0; i < count; i++) {
        leak->bytes += evidence->own[survivors[i].node];
        leak->retained_bytes += evidence->dominators.retained[survivors[i].node];
        leaks_add_member(finder->leaks, survivors[i].node, true);
    }
    leak->has_retained = true;
    leak_set_stack(leak, evidence, evidence->stack[survivors[0].node],
                   ref_kind(sample) == REF_OBJECT ? sample->type : 0);
    leak->culprit = evidence_culprit(evidence, leak->stack, &native);
    leak->confidence = confidence_of(evidence, find.reason, leak->retained_bytes, occurrences);
    code = leak_why(leak, evidence, &path);
    leak_fact_text(leak, "through", path_reason_names[find.reason]);
    leak_fact_count(leak, "occurrences", occurrences);
    const char *text = mark_table_text(evidence->regions->marks, name, &length);
    leak_explain(
        leak,
        "Each of the last %zu occurrences of %.*s has left some behind: %zu %s%s that are alive after the last "
        "one. What holds them keeps more each time. It is reached through %s: %s",
        occurrences, (int)(length < 200 ? length : 200), text, count,
        leak->type ? "objects of type " : "blocks of native memory", leak->type ? leak->type : "",
        find.reason == PATH_ORDINARY ? "ordinary references" : path_reason_names[find.reason],
        path_reason_advice[find.reason]);
    reach_path_free(&path);
    return code;
}

/* Groups of which every occurrence has some. */
static int report_groups(struct finder *finder, uint32_t name, size_t occurrences)
{
    int code = 0;
    for (size_t from = 0, end; from < finder->count && code == 0; from = end) {
        size_t seen = 1;
        for (end = from + 1; end < finder->count && finder->survivors[end].key == finder->survivors[from].key; end++)
            seen += finder->survivors[end].occurrence != finder->survivors[end - 1].occurrence;
        if (seen == occurrences)
            code = report(finder, name, &finder->survivors[from], end - from, occurrences);
    }
    return code;
}

static int find_of(struct finder *finder, uint32_t name)
{
    const struct regions *regions = finder->evidence->regions;
    size_t ended = 0, index = 0;
    finder->count = 0;
    for (size_t i = 0; i < regions->count; i++)
        ended += regions->list[i].name == name && !regions->list[i].open &&
                 regions->list[i].end_event <= finder->evidence->snapshot->event;
    size_t warm_up = mark_growth_warm_up(ended);
    if (ended < warm_up + MARK_GROWTH_LEAST)
        return 0;
    for (size_t i = 0; i < regions->count && !finder->failed; i++) {
        const struct region *region = &regions->list[i];
        if (region->name != name || region->open || region->end_event > finder->evidence->snapshot->event)
            continue;
        if (index >= warm_up)
            take_survivors(finder, region, (uint32_t)index);
        index++;
    }
    forget_owned(finder);
    return finder->failed ? -ENOMEM : report_groups(finder, name, ended - warm_up);
}

int leaks_find_repeated(struct leaks *leaks, struct evidence *evidence)
{
    struct finder finder = {.leaks = leaks, .evidence = evidence};
    const struct regions *regions = evidence->regions;
    bool ready = false;
    int code = 0;
    for (uint32_t name = 1; regions && name < regions->name_count && code == 0; name++) {
        const struct named_region *named = &regions->names[name];
        if (!named->leaks_wanted || named->occurrences < 1 + MARK_GROWTH_LEAST)
            continue;
        if (!ready && !(ready = collect(&finder)))
            code = -ENOMEM;
        else
            code = find_of(&finder, name);
    }
    free(finder.blocks.list);
    free(finder.objects.list);
    free(finder.survivors);
    return code;
}
