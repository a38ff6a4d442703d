/* report.c - see report.h */
#include "report/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/live_stacks.h"
#include "report/early_stacks.h"
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

struct replaying {
    struct report *report;
    bool sites;
};

/* Keeps what is so now. */
static void keep_state(struct report *report, const struct lifetimes *lifetimes, bool sites)
{
    report->end = lifetimes->now;
    report->end_ns = lifetimes->now.time_ns;
    if (sites) {
        sites_clear(&report->end_sites);
        sites_add_live(&report->end_sites, lifetimes);
    }
    if (report->objects) {
        free(report->end_objects);
        report->end_objects = object_lives_types(report->objects);
        report->objects->failed |= !report->end_objects;
    }
}

static void keep_end(void *context, const struct lifetimes *lifetimes)
{
    struct replaying *replaying = context;
    replaying->report->finalized = true;
    keep_state(replaying->report, lifetimes, replaying->sites);
    if (replaying->report->regions)
        regions_done(replaying->report->regions, lifetimes);
}

static void follow(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    const struct replaying *replaying = context;
    struct report *report = replaying->report;
    if (report->objects)
        object_lives_event(report->objects, lifetimes, event);
    if (report->regions)
        regions_event(report->regions, lifetimes, event);
    if (report->allocated && event->kind == HSK_OP_ALLOC && event->domain != HSK_DOMAIN_ARENA) {
        struct site one = site_of_allocation(event);
        sites_add(report->allocated, &one);
    }
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

/* Everything that a replay fills, as it was before. */
static int start_again(struct report *report, struct error *error)
{
    lifetimes_free(report->lifetimes);
    report->lifetimes = lifetimes_new();
    bool failed = !report->lifetimes;
    if (report->objects) {
        object_lives_free(report->objects);
        failed |= object_lives_init(report->objects, &report->type_names) != 0;
    }
    if (report->allocated)
        sites_clear(report->allocated);
    if (report->regions) {
        regions_free(report->regions);
        failed |= regions_init(report->regions, &report->marks) != 0;
    }
    return failed ? error_set(error, -ENOMEM, "%s: out of memory", report->reader->path) : 0;
}

static bool is_at_told_peak(const struct report *report)
{
    const struct trace_info *info = &report->info;
    return trace_reader_complete(report->reader) && report->lifetimes->now.live_bytes == info->peak_bytes &&
           report->lifetimes->peak_event == info->peak_event;
}

static int replay_to_point(struct report *report, const struct trace_moment *moment, struct life_replay *replay,
                           struct moment_point *point, struct error *error)
{
    bool trust = true;
    for (;;) {
        int code = trace_moment_resolve(moment, report->reader, &report->info, trust, point, error);
        if (code != 0)
            return code;
        replay->until_ns = point->until_ns;
        replay->until_event = point->until_event;
        code = lifetimes_replay(report->lifetimes, report->reader, replay, error);
        if (code != 0 || !point->told || is_at_told_peak(report))
            return code;
        trust = false;
        if ((code = start_again(report, error)) != 0)
            return code;
    }
}

int report_replay_to(struct report *report, const struct trace_moment *moment, bool sites)
{
    struct error error = {0};
    struct moment_point point;
    struct replaying replaying = {.report = report, .sites = sites};
    struct life_replay replay = {.context = &replaying};
    bool end = moment->kind == MOMENT_END;
    if (report->objects || report->allocated || (report->regions && report->marks.any))
        replay.each = follow;
    if (end)
        replay.finalize = keep_end;
    int code = replay_to_point(report, moment, &replay, &point, &error);
    if (code == 0 && !report->finalized)
        keep_state(report, report->lifetimes, sites);
    if (code == 0 && report->regions)
        regions_finish(report->regions, report->lifetimes);
    if (code == 0 && !end)
        report->end_ns = moment->kind == MOMENT_PEAK ? report->lifetimes->peak_time_ns : point.time_ns;
    if (code == 0 && (report->end_sites.failed || (report->allocated && report->allocated->failed) ||
                      (report->objects && report->objects->failed) || (report->regions && report->regions->failed)))
        code = error_set(&error, -ENOMEM, "%s: out of memory", report->reader->path);
    if (code != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    if (end)
        compare_with_end(report);
    return EXIT_DONE;
}

int report_replay(struct report *report, bool sites)
{
    static const struct trace_moment end = {.kind = MOMENT_END};
    return report_replay_to(report, &end, sites);
}

int report_replay_to_peak(struct report *report)
{
    static const struct trace_moment peak = {.kind = MOMENT_PEAK};
    return report_replay_to(report, &peak, false);
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

int report_load_regions(struct report *report)
{
    struct error error = {0};
    int code = mark_table_load(&report->marks, report->reader, &error);
    if (code == 0) {
        report->regions = calloc(1, sizeof *report->regions);
        if (!report->regions || regions_init(report->regions, &report->marks) != 0)
            code = error_set(&error, -ENOMEM, "%s: out of memory", report->reader->path);
    }
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

int report_find_region(const struct report *report, const char *text, const struct named_region **named)
{
    const char *path = report->reader->path;
    *named = regions_find(report->regions, text, NULL);
    if (*named && (*named)->occurrences > 0)
        return EXIT_DONE;
    if (*named && (*named)->marks > 0)
        message_print("%s: \"%.200s\" is a mark, not a region: nothing is born in it", path, text);
    else if (report->marks.any)
        message_print("%s: has no region \"%.200s\": heapsake summary lists those that there are", path, text);
    else
        message_print(
            "%s: has no region \"%.200s\", nor any other: the program said none (heapsake.h, import heapsake)", path,
            text);
    return EXIT_UNUSABLE;
}

int report_load_stacks(struct report *report)
{
    struct error error = {0};
    int code = stacks_load(&report->stacks, report->reader, &error);
    if (code == 0 && !report->reader->has_end)
        code = early_stacks(report->stacks, report->reader, &report->early_names, &error);
    if (code == 0) {
        /* what lives is what most reports show: then their frames are named at once */
        live_stacks_expect(report->stacks, report->lifetimes);
        return EXIT_DONE;
    }
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
    if (report->regions)
        regions_free(report->regions);
    free(report->regions);
    mark_table_free(&report->marks);
    type_names_free(&report->type_names);
    stacks_free(report->stacks);
    early_names_close(report->early_names);
    lifetimes_free(report->lifetimes);
    trace_info_free(&report->info);
    trace_reader_close(report->reader);
    *report = (struct report){0};
}

void report_warn(struct report *report)
{
    struct error error = {0};
    if (!report->warned && trace_reader_describe_damage(report->reader, &error))
        error_print(&error);
    if (!report->warned && trace_info_attached(&report->info))
        message_print(
            "%s: of a process that ran already: what it had allocated before is not known, but for the objects of the "
            "first snapshot",
            report->reader->path);
    report->warned = true;
}

void report_print_inherited(const struct life_totals *totals)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    if (totals->inherited_live_blocks > 0)
        printf("Not counted: %s in %s blocks that the parent allocated before the fork.\n",
               out_bytes(bytes, totals->inherited_live_bytes), out_count(count, totals->inherited_live_blocks));
}
