/* measured.c - see measured.h */
#include "report/measured.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/leak_limits.h"
#include "model/program_name.h"
#include "report/leak_report.h"
#include "report/out_processes.h"

static int out_of_memory(const struct measured *measured)
{
    message_print("%s: out of memory", measured->report.reader->path);
    return EXIT_UNUSABLE;
}

/* --- can it be relied on? --- */

/* To be asked when everything has been read, too. */
static int check_file(const struct measured *measured)
{
    struct error error = {0};
    if (measured->growing ? trace_reader_growing(measured->report.reader)
                          : !trace_reader_describe_damage(measured->report.reader, &error))
        return EXIT_DONE;
    trace_reader_describe_damage(measured->report.reader, &error);
    error_print(&error);
    return EXIT_UNUSABLE;
}

/* What a trace that is still being written does not say yet: which events were lost. */
static int check_growing(const struct measured *measured)
{
    const struct trace_info *info = &measured->report.info;
    const char *path = measured->report.reader->path;
    for (size_t i = 0; i < info->options.count; i++)
        if (strcmp(info->options.texts[i], "on-full=drop") == 0) {
            message_print("%s: is still being written, and may lose events: it can be checked when the program is done",
                          path);
            return EXIT_UNUSABLE;
        }
    if (measured->report.lifetimes->now.lost_frees == 0)
        return EXIT_DONE;
    message_print("%s: frees of allocations that the file does not have: %" PRIu64, path,
                  measured->report.lifetimes->now.lost_frees);
    return EXIT_UNUSABLE;
}

static int check_run(const struct measured *measured)
{
    const struct trace_info *info = &measured->report.info;
    const char *path = measured->report.reader->path, *by = info->ended_by ? info->ended_by : "";
    char ending[OUT_END_SIZE];
    if (measured->growing)
        return check_growing(measured);
    if (info->exit_signal > 0 || info->out_of_memory ||
        !(strcmp(by, "exit") == 0 || strcmp(by, "exec") == 0 || strcmp(by, "detach") == 0)) {
        message_print("%s: the run did not come to its end (%s): it cannot be checked", path, out_ending(ending, info));
        return EXIT_UNUSABLE;
    }
    if (info->lost > 0) {
        message_print("%s: %" PRIu64 " events were lost: it cannot be checked; record without --on-full=drop", path,
                      info->lost);
        return EXIT_UNUSABLE;
    }
    if (info->exit_status > 0)
        message_print("%s: the program ended with status %d: what it did not come to was not measured", path,
                      info->exit_status);
    if (info->lost_stacks > 0)
        message_print("%s: %" PRIu64 " stacks were not recorded: their blocks are at no site", path, info->lost_stacks);
    return EXIT_DONE;
}

/* Taken by the program when it was done, or when it was left. */
static bool is_of_end(const struct snapshot_info *snapshot)
{
    return strcmp(snapshot->reason, "exit") == 0 || strcmp(snapshot->reason, "detach") == 0;
}

/* The number of the snapshot of the end, when leaks can be told from it. */
static int choose_snapshot(const struct measured *measured, int64_t *number)
{
    struct graph_snapshots snapshots;
    const struct snapshot_info *end = NULL;
    const char *path = measured->report.reader->path;
    int status = report_load_snapshots(&measured->report, &snapshots);
    for (size_t i = 0; status == EXIT_DONE && i < snapshots.count; i++)
        if (is_of_end(&snapshots.list[i]))
            end = &snapshots.list[i];
    if (status == EXIT_DONE && !end)
        message_print("%s: has no snapshot%s, so nothing is known of leaks: it cannot be checked for them; record "
                      "without --no-snapshot",
                      path, snapshots.count ? " of the program's end" : "");
    else if (status == EXIT_DONE && !end->whole)
        message_print("%s: its snapshot of the end, %" PRIu32 ", is not whole%s%s: it cannot be checked for leaks",
                      path, end->number, end->problem_count ? ": " : "", end->problem_count ? end->problems[0] : "");
    if (status == EXIT_DONE && end && end->whole)
        *number = end->number;
    else
        status = EXIT_UNUSABLE;
    graph_snapshots_free(&snapshots);
    return status;
}

/* --- leaks --- */

/* Those that count: *sure gets their indexes, and the caller frees it. */
static int choose_sure(struct measured *measured, const struct leak *list, size_t leak_count,
                       struct suppressions *suppressions, size_t **sure, size_t *count)
{
    *sure = calloc(leak_count + 1, sizeof **sure);
    if (!*sure)
        return out_of_memory(measured);
    for (size_t i = 0; i < leak_count; i++) {
        const struct leak *leak = &list[i];
        if (leak->confidence < LEAK_TEXT_CONFIDENCE)
            continue;
        if (suppressions &&
            leak_report_suppressed(suppressions, measured->report.stacks, leak, leak->stack, leak->bytes)) {
            measured->suppressed++;
            measured->suppressed_bytes += leak->bytes;
            continue;
        }
        (*sure)[(*count)++] = i;
    }
    return EXIT_DONE;
}

static int choose_leaks(struct measured *measured, struct suppressions *suppressions)
{
    int status = choose_sure(measured, measured->leaks.list, measured->leaks.count, suppressions, &measured->sure,
                             &measured->sure_count);
    for (size_t i = 0; status == EXIT_DONE && i < measured->sure_count; i++) {
        const struct leak *leak = &measured->leaks.list[measured->sure[i]];
        measured->state.leaked += leak->bytes;
        if (baseline_add(&measured->state, leak, measured->sure[i], measured->report.stacks) != 0)
            status = out_of_memory(measured);
    }
    if (status == EXIT_DONE)
        baseline_settle(&measured->state);
    return status;
}

static int find_leaks(struct measured *measured, struct suppressions *suppressions)
{
    int64_t number;
    int status = choose_snapshot(measured, &number);
    if (status == EXIT_DONE)
        status = leak_report_find(&measured->leaks, &measured->graph, &measured->report, number);
    if (status == EXIT_DONE && measured->graph.graph.missing_parts > 0) {
        message_print("%s: parts of its last snapshot are missing: it cannot be checked for leaks",
                      measured->report.reader->path);
        status = EXIT_UNUSABLE;
    }
    return status == EXIT_DONE ? choose_leaks(measured, suppressions) : status;
}

/* --- regions and marks --- */

static int check_growth(const struct measured *measured, const struct limit *limit, const struct named_region *named)
{
    const char *path = measured->report.reader->path, *what = named->marks > 0 ? "the mark" : "the region";
    size_t count = named->moment_count, warm_up = mark_growth_warm_up(count);
    if (count >= warm_up + MARK_GROWTH_LEAST)
        return EXIT_DONE;
    message_print("%s: %s: %s \"%.200s\" occurs %zu time%s: at least %u are needed, %u of them after warm-up", path,
                  limit->origin, what, limit->region, count, count == 1 ? "" : "s", MARK_GROWTH_LEAST + 1,
                  MARK_GROWTH_LEAST);
    return EXIT_UNUSABLE;
}

static int check_named(const struct measured *measured, const struct limit *limit)
{
    const char *path = measured->report.reader->path;
    const struct named_region *named = measured_named(measured, limit);
    bool growth = limit->rule == LIMIT_MAX_GROWTH_PER, marked = named && named->marks > 0;
    if (growth && (marked || (named && named->occurrences > 0)))
        return check_growth(measured, limit, named);
    if (!growth && named && named->occurrences > 0) {
        if (named->open == 0 || !measured->growing)
            return EXIT_DONE;
        message_print("%s: %s: the region \"%.200s\" has not ended yet: it cannot be checked", path, limit->origin,
                      limit->region);
    } else if (marked) {
        message_print("%s: %s: \"%.200s\" is a mark, not a region: nothing is born in it, and it cannot be checked",
                      path, limit->origin, limit->region);
    } else {
        message_print("%s: %s: the trace has no %s \"%.200s\"%s: it cannot be checked", path, limit->origin,
                      growth ? "mark" : "region", limit->region, measured->report.marks.any ? "" : ", nor any other");
    }
    return EXIT_UNUSABLE;
}

/* Which moments the replay is to keep. */
static void ask_for_moments(struct measured *measured, const struct limits *limits)
{
    for (size_t i = 0; i < limits->count; i++) {
        const struct limit *limit = &limits->list[i];
        uint32_t name;
        if (limit->rule == LIMIT_MAX_GROWTH_PER && regions_find(measured->report.regions, limit->region, &name))
            measured->report.regions->names[name].sampled = true;
    }
}

/* A region of whose leaks a limit speaks, and where it is judged. */
struct asked {
    size_t index; /* of measured->regions */
    int64_t snapshot;
};

static int by_snapshot(const void *left, const void *right)
{
    const struct asked *a = left, *b = right;
    return a->snapshot < b->snapshot ? -1 : a->snapshot > b->snapshot;
}

/* In the order of the limits, each once. */
static int ask_for_leaks(struct measured *measured, const struct limits *limits, struct asked *asked)
{
    struct graph_snapshots snapshots;
    int status = report_load_snapshots(&measured->report, &snapshots);
    const struct named_region *last = NULL;
    for (size_t i = 0; i < limits->count && status == EXIT_DONE; i++) {
        const struct limit *limit = &limits->list[i];
        if (!limit->region || !limit_is_of_leaks(limit) || measured_named(measured, limit) == last)
            continue;
        last = measured_named(measured, limit);
        struct asked *next = &asked[measured->region_count];
        next->index = measured->region_count;
        measured->regions[measured->region_count++].leaks.named = last;
        measured->report.regions->names[last - measured->report.regions->names].leaks_wanted = true;
        status = region_leaks_snapshot(&next->snapshot, &measured->report, &snapshots, last, limit->region);
    }
    graph_snapshots_free(&snapshots);
    return status;
}

static int choose_region_leaks(struct measured *measured, struct measured_region *region,
                               struct suppressions *suppressions)
{
    int status = choose_sure(measured, region->leaks.list, region->leaks.count, suppressions, &region->sure,
                             &region->sure_count);
    for (size_t i = 0; status == EXIT_DONE && i < region->sure_count; i++)
        region->leaked += region->leaks.list[region->sure[i]].bytes;
    return status;
}

/* All regions that are judged at one snapshot. */
static int judge_snapshot(struct measured *measured, const struct asked *asked, size_t count,
                          struct suppressions *suppressions)
{
    struct graph_report graph = {0};
    struct leaks *leaks = &measured->region_leaks[measured->region_leaks_count++];
    int status = leak_report_find(leaks, &graph, &measured->report, asked[0].snapshot);
    if (status == EXIT_DONE && graph.graph.missing_parts > 0) {
        message_print("%s: parts of snapshot %" PRIu32 " are missing: it cannot be checked for leaks",
                      measured->report.reader->path, graph.snapshot->number);
        status = EXIT_UNUSABLE;
    }
    for (size_t i = 0; i < count && status == EXIT_DONE; i++) {
        struct measured_region *region = &measured->regions[asked[i].index];
        const struct named_region *named = region->leaks.named;
        if (region_leaks_take(&region->leaks, leaks, &graph, named) != 0)
            status = out_of_memory(measured);
        else
            status = choose_region_leaks(measured, region, suppressions);
    }
    graph_report_close(&graph);
    return status;
}

static int find_region_leaks(struct measured *measured, const struct limits *limits, struct suppressions *suppressions)
{
    struct asked *asked = calloc(limits->count + 1, sizeof *asked);
    measured->regions = calloc(limits->count + 1, sizeof *measured->regions);
    measured->region_leaks = calloc(limits->count + 1, sizeof *measured->region_leaks);
    int status = asked && measured->regions && measured->region_leaks ? ask_for_leaks(measured, limits, asked)
                                                                      : out_of_memory(measured);
    size_t count = measured->region_count;
    if (status == EXIT_DONE && count > 1)
        qsort(asked, count, sizeof *asked, by_snapshot);
    for (size_t from = 0, end; from < count && status == EXIT_DONE; from = end) {
        for (end = from + 1; end < count && asked[end].snapshot == asked[from].snapshot;)
            end++;
        status = judge_snapshot(measured, &asked[from], end - from, suppressions);
    }
    free(asked);
    return status;
}

static int measure_regions(struct measured *measured, const struct limits *limits, struct suppressions *suppressions)
{
    for (size_t i = 0; i < limits->count; i++) {
        int status = limits->list[i].region ? check_named(measured, &limits->list[i]) : EXIT_DONE;
        if (status != EXIT_DONE)
            return status;
    }
    return find_region_leaks(measured, limits, suppressions);
}

const struct named_region *measured_named(const struct measured *measured, const struct limit *limit)
{
    return regions_find(measured->report.regions, limit->region, NULL);
}

const struct measured_region *measured_region(const struct measured *measured, const struct limit *limit)
{
    const struct named_region *named = measured_named(measured, limit);
    for (size_t i = 0; i < measured->region_count; i++)
        if (measured->regions[i].leaks.named == named)
            return &measured->regions[i];
    return NULL;
}

/* --- all of it --- */

static int name_program(struct measured *measured)
{
    struct buf name = BUF_INIT, word = BUF_INIT;
    program_name(&name, &measured->report.info);
    leak_site_append_name(&word, (const char *)name.data, name.length);
    buf_append_byte(&word, 0);
    bool failed = name.failed || word.failed;
    buf_free(&name);
    if (failed) {
        buf_free(&word);
        return out_of_memory(measured);
    }
    measured->state.program = (char *)word.data;
    return EXIT_DONE;
}

static int replay(struct measured *measured, const struct limits *limits)
{
    struct report *report = &measured->report;
    int status = EXIT_DONE;
    if (limits && limits_ask_for_regions(limits) && (status = report_load_regions(report)) == EXIT_DONE)
        ask_for_moments(measured, limits);
    return status == EXIT_DONE ? report_replay(report, false) : status;
}

int measured_open(struct measured *measured, const char *path, bool leaks, const struct limits *limits,
                  struct suppressions *suppressions)
{
    struct report *report = &measured->report;
    *measured = (struct measured){.leaks = LEAKS_INIT, .state = BASELINE_INIT};
    int status = report_open(report, path);
    if (status != EXIT_DONE) {
        report->reader = NULL; /* report_open() has closed it */
        return status;
    }
    measured->growing = limits && !leaks && limits_ask_for_regions(limits) && !limits_ask_for_run(limits) &&
                        trace_reader_growing(report->reader);
    report->warned = measured->growing; /* that its end is missing is known */
    if ((status = replay(measured, limits)) != EXIT_DONE || (status = check_file(measured)) != EXIT_DONE ||
        (status = check_run(measured)) != EXIT_DONE || (status = report_load_stacks(report)) != EXIT_DONE ||
        (status = name_program(measured)) != EXIT_DONE)
        return status;
    measured->state.peak = report->lifetimes->peak_bytes;
    measured->state.live = report->end.live_bytes;
    measured->state.allocations = report->lifetimes->now.allocations;
    measured->has_leaks = leaks;
    if (leaks && (status = find_leaks(measured, suppressions)) != EXIT_DONE)
        return status;
    if (report->regions && (status = measure_regions(measured, limits, suppressions)) != EXIT_DONE)
        return status;
    return check_file(measured);
}

void measured_close(struct measured *measured)
{
    if (measured->report.reader) {
        leaks_free(&measured->leaks);
        graph_report_close(&measured->graph);
        for (size_t i = 0; i < measured->region_count; i++) {
            free(measured->regions[i].sure);
            region_leaks_free(&measured->regions[i].leaks);
        }
        for (size_t i = 0; i < measured->region_leaks_count; i++)
            leaks_free(&measured->region_leaks[i]);
        report_close(&measured->report);
    }
    baseline_free(&measured->state);
    free(measured->sure);
    free(measured->regions);
    free(measured->region_leaks);
    *measured = (struct measured){0};
}
