/* report.c - see report.h */
#include "report/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/out_text.h"

int report_operand(const struct command *command, int argc, char **argv, const char **path)
{
    if (argc == 1) {
        *path = argv[0];
        return EXIT_DONE;
    }
    if (argc == 0)
        message_print("%s: no trace given (see heapsake %s --help)", command->name, command->name);
    else
        message_print("%s: one trace at a time: %s is too much (see heapsake %s --help)", command->name, argv[1],
                      command->name);
    return EXIT_USAGE;
}

int report_open(struct report *report, const char *path)
{
    struct error error = {0};
    *report = (struct report){.end_sites = SITES_INIT};
    if (trace_reader_open(path, &report->reader, &error) != 0 ||
        trace_info_read(&report->info, report->reader, &error) != 0) {
        error_print(&error);
        trace_reader_close(report->reader);
        return EXIT_UNUSABLE;
    }
    report->lifetimes = lifetimes_new();
    if (!report->lifetimes) {
        message_print("%s: out of memory", path);
        report_close(report);
        return EXIT_UNUSABLE;
    }
    return EXIT_DONE;
}

struct finalizing {
    struct report *report;
    bool sites;
};

static void keep_end(void *context, const struct lifetimes *lifetimes)
{
    struct finalizing *finalizing = context;
    struct report *report = finalizing->report;
    report->finalized = true;
    report->end = lifetimes->now;
    report->end_ns = lifetimes->now.time_ns;
    if (finalizing->sites) {
        sites_clear(&report->end_sites);
        sites_add_live(&report->end_sites, lifetimes);
    }
    if (report->objects) {
        free(report->end_objects);
        report->end_objects = object_lives_types(report->objects);
        report->objects->failed |= !report->end_objects;
    }
}

static void follow_objects(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    struct finalizing *finalizing = context;
    object_lives_event(finalizing->report->objects, lifetimes, event);
}

/* What END counted against what is there. */
static void compare_with_end(struct report *report)
{
    const struct life_totals *now = &report->lifetimes->now;
    const struct trace_info *info = &report->info;
    if (!info->has_end)
        return;
    if (now->allocations != info->allocations || now->frees != info->frees)
        trace_reader_problem(report->reader,
                             "the recorder counted %" PRIu64 " allocations and %" PRIu64 " frees, the file has %" PRIu64
                             " and %" PRIu64,
                             info->allocations, info->frees, now->allocations, now->frees);
    if (report->objects && report->objects->told != info->objects)
        trace_reader_problem(report->reader,
                             "the recorder counted %" PRIu64 " births of objects, the file has %" PRIu64, info->objects,
                             report->objects->told);
    if (now->lost_frees > 0)
        trace_reader_problem(report->reader, "frees of allocations that the file does not have: %" PRIu64,
                             now->lost_frees);
}

int report_replay(struct report *report, bool sites)
{
    struct error error = {0};
    struct finalizing finalizing = {.report = report, .sites = sites};
    struct life_replay replay = {
        .until_ns = UINT64_MAX, .until_event = UINT64_MAX, .finalize = keep_end, .context = &finalizing};
    if (report->objects)
        replay.each = follow_objects;
    int code = lifetimes_replay(report->lifetimes, report->reader, &replay, &error);
    if (code == 0 && !report->finalized) {
        keep_end(&finalizing, report->lifetimes);
        report->finalized = false;
    }
    if (code == 0 && (report->end_sites.failed || (report->objects && report->objects->failed)))
        code = error_set(&error, -1, "%s: out of memory", report->reader->path);
    if (code != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    compare_with_end(report);
    return EXIT_DONE;
}

int report_replay_until(struct report *report, uint64_t until_ns, uint64_t until_event)
{
    struct error error = {0};
    struct life_replay replay = {.until_ns = until_ns, .until_event = until_event};
    if (lifetimes_replay(report->lifetimes, report->reader, &replay, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

/*
 * The recorder wrote into END which event the peak was: if stopping there gives what END says, it was; else (no END,
 * damage, inherited blocks counted) a first pass finds it and a second goes there.
 */
int report_replay_to_peak(struct report *report)
{
    const struct trace_info *info = &report->info;
    int status;
    if (info->has_peak && trace_reader_complete(report->reader)) {
        status = report_replay_until(report, UINT64_MAX, info->peak_event);
        if (status != EXIT_DONE)
            return status;
        if (trace_reader_complete(report->reader) && report->lifetimes->now.live_bytes == info->peak_bytes &&
            report->lifetimes->peak_event == info->peak_event)
            return EXIT_DONE;
        lifetimes_free(report->lifetimes);
        report->lifetimes = lifetimes_new();
    }
    if (report->lifetimes && (status = report_replay_until(report, UINT64_MAX, UINT64_MAX)) != EXIT_DONE)
        return status;
    uint64_t peak_event = report->lifetimes ? report->lifetimes->peak_event : 0;
    lifetimes_free(report->lifetimes);
    report->lifetimes = lifetimes_new();
    if (!report->lifetimes) {
        message_print("%s: out of memory", report->reader->path);
        return EXIT_UNUSABLE;
    }
    return report_replay_until(report, UINT64_MAX, peak_event);
}

int report_load_objects(struct report *report)
{
    struct error error = {0};
    int code = type_names_load(&report->type_names, report->reader, &error);
    report->objects = calloc(1, sizeof *report->objects);
    if (code == 0 && (!report->objects || object_lives_init(report->objects, &report->type_names) != 0))
        code = error_set(&error, -ENOMEM, "%s: out of memory", report->reader->path);
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

int report_load_stacks(struct report *report)
{
    struct error error = {0};
    if (stacks_load(&report->stacks, report->reader, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

int report_load_snapshots(const struct report *report, struct graph_snapshots *snapshots)
{
    struct error error = {0};
    *snapshots = (struct graph_snapshots){0};
    if (graph_snapshots_list(snapshots, report->reader, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

void report_close(struct report *report)
{
    sites_free(&report->end_sites);
    if (report->objects)
        object_lives_free(report->objects);
    free(report->objects);
    free(report->end_objects);
    type_names_free(&report->type_names);
    stacks_free(report->stacks);
    lifetimes_free(report->lifetimes);
    trace_info_free(&report->info);
    trace_reader_close(report->reader);
    *report = (struct report){0};
}

static bool is_attached(const struct trace_info *info)
{
    for (size_t i = 0; i < info->options.count; i++)
        if (strcmp(info->options.texts[i], "attached") == 0)
            return true;
    return false;
}

void report_warn(const struct report *report)
{
    struct error error = {0};
    if (trace_reader_describe_damage(report->reader, &error))
        error_print(&error);
    if (is_attached(&report->info))
        message_print("%s: of a process that ran already: what it had allocated before is not known, but for the objects of the "
                      "first snapshot",
                      report->reader->path);
}

void report_print_inherited(const struct life_totals *totals)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    if (totals->inherited_live_blocks > 0)
        printf("Not counted: %s in %s blocks that the parent allocated before the fork.\n",
               out_bytes(bytes, totals->inherited_live_bytes), out_count(count, totals->inherited_live_blocks));
}
