/* graph_report.c - see graph_report.h */
#include "report/graph_report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "report/out_text.h"

/*
 * An object begins at most so far behind its block: the header of the collector and what lies before it. Further in, it
 * lies in a block of something else.
 */
#define OBJECT_HEADER 32

const struct snapshot_info *graph_report_choose(const struct graph_snapshots *snapshots, int64_t number)
{
    const struct snapshot_info *chosen = NULL;
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct snapshot_info *info = &snapshots->list[i];
        if (number >= 0 ? info->number == (uint64_t)number : !chosen || info->whole || !chosen->whole)
            chosen = info;
    }
    return chosen;
}

static int choose(struct graph_report *g, int64_t number)
{
    const char *path = g->report->reader->path;
    g->snapshot = graph_report_choose(&g->snapshots, number);
    if (g->snapshot)
        return EXIT_DONE;
    report_warn(g->report);
    if (g->snapshots.count == 0)
        message_print(
            "%s: has no snapshot: what refers to what is not known; record without --no-snapshot, or take one "
            "with heapsake snapshot PID",
            path);
    else
        message_print("%s: has no snapshot %" PRId64 ": there are %zu, with the numbers %" PRIu32 " to %" PRIu32, path,
                      number, g->snapshots.count, g->snapshots.list[0].number,
                      g->snapshots.list[g->snapshots.count - 1].number);
    return EXIT_UNUSABLE;
}

static void warn(const struct graph_report *g)
{
    const struct snapshot_info *snapshot = g->snapshot;
    const char *path = g->report->reader->path;
    if (g->graph.missing_parts > 0)
        message_print("%s: snapshot %" PRIu32 ": %" PRIu64 " of its %" PRIu64
                      " parts are missing: what they refer to may look like garbage",
                      path, snapshot->number, g->graph.missing_parts, snapshot->parts);
    else if (!snapshot->whole)
        message_print("%s: snapshot %" PRIu32 " did not come to its end: what was not told may look like garbage", path,
                      snapshot->number);
    for (size_t i = 0; i < snapshot->problem_count; i++)
        message_print("%s: snapshot %" PRIu32 ": %s", path, snapshot->number, snapshot->problems[i]);
}

const struct life_block *graph_report_block(const struct graph_report *g, uint32_t node)
{
    const struct ref_node *at = &g->graph.nodes[node];
    if ((ref_kind(at) != REF_OBJECT && ref_kind(at) != REF_BLOCK) || ref_ordinal(at) == REF_NO_ORDINAL)
        return NULL;
    return lifetimes_find(g->lifetimes, ref_ordinal(at));
}

const struct object_life *graph_report_life(const struct graph_report *g, uint32_t node)
{
    const struct ref_node *at = &g->graph.nodes[node];
    if (!g->objects || ref_kind(at) != REF_OBJECT || ref_ordinal(at) == REF_NO_ORDINAL || g->own[node] == 0)
        return NULL;
    return object_lives_find(g->objects, ref_ordinal(at));
}

uint32_t graph_report_stack(const struct graph_report *g, uint32_t node)
{
    const struct life_block *block = graph_report_block(g, node);
    const struct object_life *life = graph_report_life(g, node);
    if (life && life->node != OBJECT_LIFE_SAME)
        return stacks_of_node(g->report->stacks, life->node);
    return block ? stacks_of_node(g->report->stacks, block->node) : 0;
}

uint64_t graph_report_birth_ns(const struct graph_report *g, uint32_t node)
{
    const struct life_block *block = graph_report_block(g, node);
    const struct object_life *life = graph_report_life(g, node);
    return life ? life->birth_ns : block ? block->time_ns : UINT64_MAX;
}

static int take_sizes(struct graph_report *g, struct error *error)
{
    g->own = calloc((size_t)g->graph.node_count + 1, sizeof *g->own);
    if (!g->own)
        return error_set(error, -1, "%s: out of memory", g->report->reader->path);
    for (uint32_t n = 0; n < g->graph.node_count; n++) {
        const struct ref_node *node = &g->graph.nodes[n];
        const struct life_block *block = graph_report_block(g, n);
        if (block && (ref_kind(node) == REF_BLOCK || node->address - block->address <= OBJECT_HEADER))
            g->own[n] = life_block_size(block);
        else if (!block && ref_kind(node) != REF_ROOT)
            g->own[n] = node->size;
    }
    return 0;
}

static void follow_objects(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    const struct graph_report *g = context;
    object_lives_event(g->objects, lifetimes, event);
}

/* Births are followed where the trace may have any: it describes types then. */
static int begin_objects(struct graph_report *g, struct life_replay *replay, struct error *error)
{
    const struct trace_reader *reader = g->report->reader;
    bool births = false;
    for (size_t i = 0; i < reader->chunk_count; i++)
        births |= reader->chunks[i].header.type == HSK_CHUNK_TYPES;
    if (!births)
        return 0;
    int code = type_names_load(&g->type_names, g->report->reader, error);
    if (code == 0 && !(g->objects = calloc(1, sizeof *g->objects)))
        code = -ENOMEM;
    if (code == 0)
        code = object_lives_init(g->objects, &g->type_names);
    if (code == 0)
        g->objects->history = g->history;
    replay->each = follow_objects;
    replay->context = g;
    return code;
}

/* The events up to the snapshot. */
static int replay(struct graph_report *g, bool history, struct error *error)
{
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = g->snapshot->event, .addresses = true};
    g->lifetimes = lifetimes_new();
    if (g->lifetimes && history)
        g->lifetimes->history = g->history = site_history_new();
    if (!g->lifetimes || (history && !g->history) || begin_objects(g, &replay, error) != 0)
        return -ENOMEM;
    int code = lifetimes_replay(g->lifetimes, g->report->reader, &replay, error);
    if (g->objects && !g->objects->failed && g->objects->told == 0) {
        /* types were described for something else: watches */
        object_lives_free(g->objects);
        free(g->objects);
        g->objects = NULL;
    }
    if (g->history)
        site_history_finish(g->history, g->lifetimes->now.allocations + g->lifetimes->now.inherited_blocks);
    if ((g->history && g->history->failed) || (g->objects && g->objects->failed))
        code = -ENOMEM;
    return code;
}

static int open_snapshot(struct graph_report *g, struct report *report, int64_t number, bool history)
{
    struct error error = {0};
    *g = (struct graph_report){.report = report};
    int status = EXIT_UNUSABLE;
    if (graph_snapshots_list(&g->snapshots, report->reader, &error) == 0) {
        if ((status = choose(g, number)) != EXIT_DONE)
            goto failed;
        if ((report->stacks || report_load_stacks(report) == EXIT_DONE) && replay(g, history, &error) == 0 &&
            ref_graph_load(&g->graph, report->reader, g->snapshot, &error) == 0 &&
            reach_compute(&g->reach, &g->graph, &error) == 0 && take_sizes(g, &error) == 0) {
            report_warn(report);
            warn(g);
            return EXIT_DONE;
        }
    }
    if (error.text[0])
        error_print(&error);
    else
        message_print("%s: out of memory", report->reader->path);
    status = EXIT_UNUSABLE;
failed:
    graph_report_close(g);
    return status;
}

int graph_report_open(struct graph_report *g, struct report *report, int64_t number)
{
    return open_snapshot(g, report, number, false);
}

int graph_report_open_history(struct graph_report *g, struct report *report, int64_t number)
{
    return open_snapshot(g, report, number, true);
}

void graph_report_close(struct graph_report *g)
{
    site_history_free(g->history);
    components_free(&g->components);
    dominators_free(&g->dominators);
    free(g->own);
    lifetimes_free(g->lifetimes);
    if (g->objects)
        object_lives_free(g->objects);
    free(g->objects);
    type_names_free(&g->type_names);
    reach_free(&g->reach);
    ref_graph_free(&g->graph);
    graph_snapshots_free(&g->snapshots);
    *g = (struct graph_report){0};
}

int graph_report_dominators(struct graph_report *g)
{
    struct error error = {0};
    if (g->dominators.retained || dominators_compute(&g->dominators, &g->graph, &g->reach, g->own, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

int graph_report_components(struct graph_report *g)
{
    struct error error = {0};
    if (g->components.of || components_compute(&g->components, &g->graph, &g->reach, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}
