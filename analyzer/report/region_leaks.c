/* region_leaks.c - see region_leaks.h */
#include "report/region_leaks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the snapshot --- */

int region_leaks_snapshot(int64_t *number, const struct report *report, const struct graph_snapshots *snapshots,
                          const struct named_region *named, const char *text)
{
    const struct snapshot_info *chosen = NULL;
    const struct regions *regions = report->regions;
    const char *path = report->reader->path;
    uint64_t after = 0;
    size_t whole = 0;
    for (size_t i = 0; i < regions->count; i++) {
        const struct region *region = &regions->list[i];
        if (&regions->names[region->name] != named)
            continue;
        uint64_t since = region->open ? region->begin_event : region->end_event;
        after = since > after ? since : after;
    }
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct snapshot_info *info = &snapshots->list[i];
        whole += info->whole;
        if (info->whole && info->event >= after && (!chosen || named->open > 0))
            chosen = info;
    }
    if (chosen) {
        *number = chosen->number;
        return EXIT_DONE;
    }
    message_print("%s: has no %ssnapshot%s the region \"%.200s\", so nothing is known of its leaks: take one "
                  "(heapsake.snapshot(), heapsake_snapshot()), or record without --no-snapshot",
                  path, snapshots->count > whole ? "whole " : "", named->open ? " of" : " after the end of", text);
    return EXIT_UNUSABLE;
}

/* --- what was born in it --- */

/* The occurrences of one name, in the order of their begins. */
struct span {
    const struct region *region;
    uint64_t end_ordinal, end_mark; /* the largest of this one and those before */
};

struct births {
    const struct graph_report *graph;
    struct span *spans;
    size_t count;
};

static bool births_init(struct births *births, const struct graph_report *graph, const struct named_region *named)
{
    const struct regions *regions = graph->report->regions;
    *births = (struct births){.graph = graph, .spans = calloc((size_t)named->occurrences + 1, sizeof(struct span))};
    for (size_t i = 0; births->spans && i < regions->count; i++) {
        const struct region *region = &regions->list[i];
        if (&regions->names[region->name] != named || births->count == named->occurrences)
            continue;
        struct span *span = &births->spans[births->count++], *before = births->count > 1 ? span - 1 : NULL;
        span->region = region;
        span->end_ordinal =
            before && before->end_ordinal > region->end_ordinal ? before->end_ordinal : region->end_ordinal;
        span->end_mark = before && before->end_mark > region->end_mark ? before->end_mark : region->end_mark;
    }
    return births->spans != NULL;
}

/* How many of them began by then. */
static size_t begun_by(const struct births *births, uint64_t ordinal, bool by_mark)
{
    size_t low = 0, high = births->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct region *region = births->spans[mid].region;
        if ((by_mark ? region->begin_mark : region->begin_ordinal) <= ordinal)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* An object by its own birth, where that is told; else with its block. */
static bool is_born_in(const struct births *births, uint32_t node)
{
    const struct ref_node *at = &births->graph->graph.nodes[node];
    const struct object_life *life = graph_report_life(births->graph, node);
    const struct life_block *block = graph_report_block(births->graph, node);
    if (life) {
        for (size_t i = begun_by(births, life->birth_mark, true);
             i > 0 && births->spans[i - 1].end_mark > life->birth_mark; i--)
            if (region_has_object(births->spans[i - 1].region, life))
                return true;
    } else if (block) {
        for (size_t i = begun_by(births, ref_ordinal(at), false);
             i > 0 && births->spans[i - 1].end_ordinal > ref_ordinal(at); i--)
            if (region_has_block(births->spans[i - 1].region, ref_ordinal(at), block->thread))
                return true;
    }
    return false;
}

/* The part of the leak that was born in the region; its count is 0 when nothing was. */
static struct leak part_of(const struct births *births, const struct leaks *leaks, const struct leak *leak)
{
    struct leak part = *leak;
    const struct leak_member *members = &leaks->members[leak->first_member];
    uint32_t stack = 0;
    bool unit = false;
    size_t born = 0;
    part.count = part.bytes = 0;
    for (size_t i = 0; i < leak->member_count; i++) {
        unit = unit && !members[i].begins; /* has it been counted? */
        if (!is_born_in(births, members[i].node))
            continue;
        born++;
        part.count += !unit;
        unit = true;
        part.bytes += births->graph->own[members[i].node];
        if (stack == 0)
            stack = graph_report_stack(births->graph, members[i].node);
    }
    part.explanation = NULL;
    if (born == leak->member_count) {
        part.count = leak->count; /* which may count something else: what the members wrap */
        return part;
    }
    part.has_retained = false;
    if (part.stack != stack)
        part.culprit = 0;
    part.stack = stack;
    return part;
}

static char *explanation_of(const struct leak *leak, const struct leak *part, const struct named_region *named,
                            const struct regions *regions)
{
    size_t length;
    const char *name = mark_table_text(regions->marks, (uint32_t)(named - regions->names), &length);
    char *text = NULL;
    if (part->count == leak->count && part->bytes == leak->bytes)
        return leak->explanation ? strdup(leak->explanation) : NULL;
    if (asprintf(&text, "%s. Of these, %" PRIu64 " (%" PRIu64 " bytes) were born in %.*s",
                 leak->explanation ? leak->explanation : "", part->count, part->bytes,
                 (int)(length < 200 ? length : 200), name) < 0)
        return NULL;
    return text;
}

int region_leaks_take(struct region_leaks *of_region, const struct leaks *leaks, const struct graph_report *graph,
                      const struct named_region *named)
{
    struct births births;
    *of_region = (struct region_leaks){.named = named, .list = calloc(leaks->count + 1, sizeof *of_region->list)};
    if (!births_init(&births, graph, named) || !of_region->list) {
        free(births.spans);
        return -ENOMEM;
    }
    bool failed = false;
    for (size_t i = 0; i < leaks->count && !failed; i++) {
        const struct leak *leak = &leaks->list[i];
        if (leak->member_count == 0 || (leak->of_region && &graph->report->regions->names[leak->of_region] != named))
            continue;
        struct leak part = part_of(&births, leaks, leak);
        if (part.count == 0)
            continue;
        part.explanation = explanation_of(leak, &part, named, graph->report->regions);
        failed = leak->explanation && !part.explanation;
        of_region->list[of_region->count++] = part;
    }
    free(births.spans);
    return failed ? -ENOMEM : 0;
}

void region_leaks_free(struct region_leaks *of_region)
{
    for (size_t i = 0; i < of_region->count; i++)
        free(of_region->list[i].explanation);
    free(of_region->list);
    *of_region = (struct region_leaks){0};
}
