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
    if (!trace_reader_describe_damage(measured->report.reader, &error))
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

static int check_run(const struct measured *measured)
{
    const struct trace_info *info = &measured->report.info;
    const char *path = measured->report.reader->path, *by = info->ended_by ? info->ended_by : "";
    char ending[OUT_END_SIZE];
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

static int choose_leaks(struct measured *measured, struct suppressions *suppressions)
{
    measured->sure = calloc(measured->leaks.count + 1, sizeof *measured->sure);
    if (!measured->sure)
        return out_of_memory(measured);
    for (size_t i = 0; i < measured->leaks.count; i++) {
        const struct leak *leak = &measured->leaks.list[i];
        if (leak->confidence < LEAK_TEXT_CONFIDENCE)
            continue;
        if (suppressions &&
            leak_report_suppressed(suppressions, measured->report.stacks, leak, leak->stack, leak->bytes)) {
            measured->suppressed++;
            measured->suppressed_bytes += leak->bytes;
            continue;
        }
        measured->sure[measured->sure_count++] = i;
        measured->state.leaked += leak->bytes;
        if (baseline_add(&measured->state, leak, i, measured->report.stacks) != 0)
            return out_of_memory(measured);
    }
    baseline_settle(&measured->state);
    return EXIT_DONE;
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

int measured_open(struct measured *measured, const char *path, bool leaks, struct suppressions *suppressions)
{
    struct report *report = &measured->report;
    *measured = (struct measured){.leaks = LEAKS_INIT, .state = BASELINE_INIT};
    int status = report_open(report, path);
    if (status != EXIT_DONE) {
        report->reader = NULL; /* report_open() has closed it */
        return status;
    }
    if ((status = report_replay(report, false)) != EXIT_DONE || (status = check_file(measured)) != EXIT_DONE ||
        (status = check_run(measured)) != EXIT_DONE || (status = report_load_stacks(report)) != EXIT_DONE ||
        (status = name_program(measured)) != EXIT_DONE)
        return status;
    measured->state.peak = report->lifetimes->peak_bytes;
    measured->state.live = report->end.live_bytes;
    measured->state.allocations = report->lifetimes->now.allocations;
    measured->has_leaks = leaks;
    if (leaks && (status = find_leaks(measured, suppressions)) != EXIT_DONE)
        return status;
    return check_file(measured);
}

void measured_close(struct measured *measured)
{
    if (measured->report.reader) {
        leaks_free(&measured->leaks);
        graph_report_close(&measured->graph);
        report_close(&measured->report);
    }
    baseline_free(&measured->state);
    free(measured->sure);
    *measured = (struct measured){0};
}

/* --- sites --- */

static void add_allocation(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    (void)lifetimes;
    if (event->kind != HSK_OP_ALLOC || event->domain == HSK_DOMAIN_ARENA)
        return;
    struct site one = {.stack = event->node,
                       .count = 1,
                       .bytes = event->size,
                       .domains = 1u << event->domain,
                       .first_ns = event->time_ns,
                       .last_ns = event->time_ns};
    sites_add(context, &one);
}

static int most_allocations_first(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

int measured_find_sites(struct measured *measured, enum measured_sites which, struct sites *sites)
{
    struct report *report = &measured->report;
    struct error error = {0};
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX};
    struct lifetimes *lifetimes = lifetimes_new();
    *sites = SITES_INIT;
    if (!lifetimes)
        return out_of_memory(measured);
    if (which == MEASURED_AT_PEAK)
        replay.until_event = report->lifetimes->peak_event;
    if (which == MEASURED_AT_END)
        replay.until_event = report->end.allocations + report->end.frees;
    if (which == MEASURED_ALLOCATED) {
        replay.each = add_allocation;
        replay.context = sites;
    }
    int code = lifetimes_replay(lifetimes, report->reader, &replay, &error);
    if (code == 0 && which != MEASURED_ALLOCATED)
        sites_add_live(sites, lifetimes);
    sites_finish(sites, report->stacks);
    if (which == MEASURED_ALLOCATED && sites->count > 1)
        qsort(sites->sites, sites->count, sizeof *sites->sites, most_allocations_first);
    lifetimes_free(lifetimes);
    if (code != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    return sites->failed ? out_of_memory(measured) : EXIT_DONE;
}
