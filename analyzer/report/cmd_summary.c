/* cmd_summary.c - `heapsake summary`: one screen about a trace. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model/process_tree.h"
#include "report/out_json.h"
#include "report/out_processes.h"
#include "report/out_regions.h"
#include "report/out_snapshots.h"
#include "report/out_text.h"
#include "report/report.h"
#include "report/report_options.h"
#include "trace/stack_records.h"

static bool as_json;

static const struct option options[] = {
    REPORT_OPTION_JSON(as_json),
    {0},
};

typedef void take_text(void *context, const char *text);

/* Everything that the numbers cannot show, a sentence each. */
static void each_blind_spot(const struct report *report, take_text *take, void *context)
{
    const struct trace_info *info = &report->info;
    struct symbol_counts symbols;
    char text[512];
    symbol_counts_read(&symbols, report->reader);
    for (size_t i = 0; i < info->blind_spots.count; i++)
        take(context, info->blind_spots.texts[i]);
    if (info->lost > 0) {
        snprintf(text, sizeof text, "%" PRIu64 " events were lost: the ring was full, or a thread had none",
                 info->lost);
        take(context, text);
    }
    if (info->lost_stacks > 0) {
        snprintf(text, sizeof text, "%" PRIu64 " stacks were not recorded: no room for them", info->lost_stacks);
        take(context, text);
    }
    const struct life_totals *now = &report->lifetimes->now;
    if (now->unknown_frees > 0) {
        snprintf(text, sizeof text, "%" PRIu64 " frees were of blocks whose allocation was not seen",
                 now->unknown_frees);
        take(context, text);
    }
    if (now->lost_frees > 0) {
        snprintf(text, sizeof text, "%" PRIu64 " frees were of blocks whose allocation is missing from the file",
                 now->lost_frees);
        take(context, text);
    }
    if (!info->has_end)
        take(context, symbols.frames
                          ? "the end of the recording is not in the file: losses and exit status are not known"
                          : "the end of the recording is not in the file: losses, exit status and names of "
                            "native functions are not known; `heapsake symbolize TRACE` may find the names");
    if (symbols.without_function > 0) {
        snprintf(text, sizeof text,
                 "%" PRIu64 " of %" PRIu64
                 " native frames have no function's name: `heapsake symbolize TRACE` may find "
                 "it",
                 symbols.without_function, symbols.frames);
        take(context, text);
    }
    for (size_t i = 0; i < report->reader->problem_count; i++) {
        snprintf(text, sizeof text, "damaged file: %s", (const char *)report->reader->problems[i].data);
        take(context, text);
    }
}

static void json_blind_spot(void *context, const char *text)
{
    put_string(context, NULL, text);
}

static void json_histogram(struct json *json, const char *key, const struct histogram *histogram, bool seconds)
{
    unsigned used = histogram_used(histogram);
    open_array(json, key);
    for (unsigned bucket = 0; bucket < used; bucket++) {
        open_object(json, NULL);
        if (seconds) {
            put_seconds(json, "from", histogram_from(bucket));
            put_seconds(json, "to", histogram_to(bucket));
        } else {
            put_unsigned(json, "from", histogram_from(bucket));
            put_unsigned(json, "to", histogram_to(bucket));
        }
        put_unsigned(json, "count", histogram->count[bucket]);
        put_unsigned(json, "bytes", histogram->sum[bucket]);
        close_object(json);
    }
    close_array(json);
}

static void json_optional(struct json *json, const char *key, int64_t value)
{
    if (value < 0)
        put_null(json, key);
    else
        put_signed(json, key, value);
}

static void json_process(struct json *json, const struct trace_info *info)
{
    open_object(json, "process");
    json_optional(json, "pid", info->pid);
    json_optional(json, "parent_pid", info->parent_pid);
    put_texts(json, "argv", &info->arguments);
    put_string(json, "executable", info->executable);
    put_string(json, "working_directory", info->working_directory);
    put_string(json, "host", info->host);
    put_string(json, "python_version", info->python_version);
    put_seconds(json, "start_time", info->start_time_ns);
    put_seconds(json, "duration", info->duration_ns);
    out_ending_json(json, info);
    put_string(json, "ended_by", info->ended_by);
    put_bool(json, "forked", info->forked);
    put_string(json, "parent_trace", info->parent_trace);
    put_texts(json, "children", &info->children);
    close_object(json);
}

static void print_json(const struct report *report, const struct graph_snapshots *snapshots,
                       const struct process_tree *tree)
{
    struct json json = JSON_INIT(stdout);
    const struct trace_reader *reader = report->reader;
    const struct lifetimes *lifetimes = report->lifetimes;
    const struct life_totals *now = &lifetimes->now, *end = &report->end;
    open_object(&json, NULL);

    open_object(&json, "trace");
    put_string(&json, "file", reader->path);
    put_unsigned(&json, "bytes", reader->bytes);
    put_bool(&json, "complete", trace_reader_complete(reader));
    put_unsigned(&json, "format_version", reader->format_version);
    put_string(&json, "recorder_version", report->info.recorder_version);
    close_object(&json);

    json_process(&json, &report->info);

    open_object(&json, "events");
    put_unsigned(&json, "total", now->allocations + now->frees);
    put_unsigned(&json, "allocations", now->allocations);
    put_unsigned(&json, "frees", now->frees);
    put_unsigned(&json, "lost", report->info.lost);
    put_unsigned(&json, "lost_stacks", report->info.lost_stacks);
    put_unsigned(&json, "unknown_frees", now->unknown_frees + now->lost_frees);
    close_object(&json);

    open_object(&json, "memory");
    put_unsigned(&json, "allocated_bytes", now->allocated_bytes);
    put_unsigned(&json, "peak_bytes", lifetimes->peak_bytes);
    put_seconds(&json, "peak_time", lifetimes->peak_time_ns);
    put_unsigned(&json, "live_bytes", end->live_bytes);
    put_unsigned(&json, "live_blocks", end->live_blocks);
    put_unsigned(&json, "temporary_allocations", now->temporary);
    put_unsigned(&json, "inherited_bytes", end->inherited_live_bytes);
    put_unsigned(&json, "inherited_blocks", end->inherited_live_blocks);
    if (report->info.samples > 0)
        put_unsigned(&json, "peak_resident_bytes", report->info.resident_max);
    else
        put_null(&json, "peak_resident_bytes");
    close_object(&json);

    open_object(&json, "domains");
    for (int domain = 0; domain < HSK_DOMAINS; domain++) {
        open_object(&json, out_domain_names[domain]);
        put_unsigned(&json, "allocations", now->domains[domain].allocations);
        put_unsigned(&json, "frees", now->domains[domain].frees);
        put_unsigned(&json, "allocated_bytes", now->domains[domain].allocated_bytes);
        put_unsigned(&json, "live_bytes", end->domains[domain].live_bytes);
        put_unsigned(&json, "live_blocks", end->domains[domain].live_blocks);
        close_object(&json);
    }
    close_object(&json);

    json_histogram(&json, "sizes", &lifetimes->sizes, false);
    json_histogram(&json, "lifetimes", &lifetimes->lifetimes, true);
    out_regions_json(&json, report->regions);
    out_snapshots_json(&json, snapshots);
    out_processes_json(&json, tree);
    open_array(&json, "blind_spots");
    each_blind_spot(report, json_blind_spot, &json);
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

static void print_row(const char *label, const char *value)
{
    printf("  %-24s %s\n", label, value);
}

static void print_untrusted_row(const char *label, const char *text)
{
    if (!text)
        return;
    printf("  %-24s ", label);
    out_untrusted(stdout, text, strlen(text));
    putchar('\n');
}

static void print_process(const struct report *report)
{
    const struct trace_info *info = &report->info;
    char value[160], number[OUT_NUMBER_SIZE], other[OUT_NUMBER_SIZE], end[OUT_END_SIZE];
    out_heading("Process");
    if (info->arguments.count > 0) {
        printf("  %-24s", "command");
        for (size_t i = 0; i < info->arguments.count; i++) {
            putchar(' ');
            out_untrusted(stdout, info->arguments.texts[i], strlen(info->arguments.texts[i]));
        }
        putchar('\n');
    }
    print_untrusted_row("executable", info->executable);
    print_untrusted_row("Python", info->python_version);
    if (info->pid >= 0) {
        snprintf(value, sizeof value, "%" PRId64 "%s", info->pid, info->forked ? ", born by fork" : "");
        print_row("pid", value);
    }
    print_row("duration", out_seconds(number, info->duration_ns));
    print_untrusted_row("ended", out_ending(end, info));
    print_untrusted_row("child of", info->parent_trace);
    snprintf(value, sizeof value, "%s, %s", out_bytes(number, report->reader->bytes),
             trace_reader_complete(report->reader) ? "complete" : "not complete");
    print_row("trace", value);
    const struct life_totals *now = &report->lifetimes->now;
    uint64_t events = now->allocations + now->frees;
    if (events > 0) {
        snprintf(value, sizeof value, "%s, %.2f bytes of trace each", out_count(other, events),
                 (double)report->reader->bytes / (double)events);
        print_row("events", value);
    }
}

static void print_memory(const struct report *report)
{
    const struct lifetimes *lifetimes = report->lifetimes;
    const struct life_totals *now = &lifetimes->now, *end = &report->end;
    char value[160], bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    out_heading("Memory");
    snprintf(value, sizeof value, "%s at %s", out_bytes(bytes, lifetimes->peak_bytes),
             out_seconds(count, lifetimes->peak_time_ns));
    print_row("peak", value);
    snprintf(value, sizeof value, "%s in %s blocks%s", out_bytes(bytes, end->live_bytes),
             out_count(count, end->live_blocks), report->finalized ? ", before the interpreter's teardown" : "");
    print_row("alive at the end", value);
    snprintf(value, sizeof value, "%s in %s allocations", out_bytes(bytes, now->allocated_bytes),
             out_count(count, now->allocations - now->domains[HSK_DOMAIN_ARENA].allocations));
    print_row("allocated altogether", value);
    if (now->allocations > 0) {
        snprintf(value, sizeof value, "%s (%.1f %%)", out_count(count, now->temporary),
                 100.0 * (double)now->temporary / (double)now->allocations);
        print_row("temporary allocations", value);
    }
    if (end->inherited_blocks > 0) {
        snprintf(value, sizeof value, "%s in %s blocks, of %s at the fork (not counted above)",
                 out_bytes(bytes, end->inherited_live_bytes), out_count(count, end->inherited_live_blocks),
                 out_bytes((char[OUT_NUMBER_SIZE]){0}, end->inherited_bytes));
        print_row("inherited", value);
    }
    if (report->info.samples > 0)
        print_row("resident set, largest", out_bytes(bytes, report->info.resident_max));
}

static void print_domains(const struct report *report)
{
    const struct life_totals *now = &report->lifetimes->now, *end = &report->end;
    out_heading("Domains");
    printf("  %-10s %15s %15s %12s %12s %13s\n", "", "allocations", "frees", "allocated", "live bytes", "live blocks");
    for (int domain = 0; domain < HSK_DOMAINS; domain++) {
        const struct domain_totals *all = &now->domains[domain], *kept = &end->domains[domain];
        char text[5][OUT_NUMBER_SIZE];
        if (all->allocations == 0 && all->frees == 0)
            continue;
        printf("  %-10s %15s %15s %12s %12s %13s\n", out_domain_names[domain], out_count(text[0], all->allocations),
               out_count(text[1], all->frees), out_bytes(text[2], all->allocated_bytes),
               out_bytes(text[3], kept->live_bytes), out_count(text[4], kept->live_blocks));
    }
    if (now->domains[HSK_DOMAIN_ARENA].allocations > 0)
        printf("  (arenas hold blocks of the other domains and are not part of the totals)\n");
}

static void print_histogram(const struct histogram *histogram, bool seconds)
{
    enum { BAR = 40 };
    unsigned used = histogram_used(histogram);
    uint64_t most = 1;
    for (unsigned bucket = 0; bucket < used; bucket++)
        if (histogram->count[bucket] > most)
            most = histogram->count[bucket];
    for (unsigned bucket = 0; bucket < used; bucket++) {
        char limit[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
        uint64_t to = histogram_to(bucket);
        if (histogram->count[bucket] == 0)
            continue;
        int bar = (int)((double)histogram->count[bucket] * BAR / (double)most + 0.5);
        printf("  up to %10s %15s  %s%.*s%s\n", seconds ? out_seconds(limit, to) : out_bytes(limit, to),
               out_count(count, histogram->count[bucket]), out_color(OUT_NUMBER), bar,
               "########################################", out_color(OUT_PLAIN));
    }
}

static void text_blind_spot(void *context, const char *text)
{
    unsigned *count = context;
    if ((*count)++ == 0)
        out_heading("Blind spots");
    printf("  %s", out_color(OUT_WARNING));
    out_untrusted(stdout, text, strlen(text));
    printf("%s\n", out_color(OUT_PLAIN));
}

static void print_text(const struct report *report, const struct graph_snapshots *snapshots,
                       const struct process_tree *tree)
{
    unsigned blind_spots = 0;
    print_process(report);
    out_processes_text(tree);
    print_memory(report);
    print_domains(report);
    out_heading("Sizes of allocations");
    print_histogram(&report->lifetimes->sizes, false);
    out_heading("Lifetimes of freed blocks (the clock ticks once a millisecond)");
    print_histogram(&report->lifetimes->lifetimes, true);
    out_regions_text(report->regions);
    out_snapshots_text(snapshots);
    each_blind_spot(report, text_blind_spot, &blind_spots);
}

static int load_tree(struct process_tree *tree, const char *path)
{
    struct error error = {0};
    if (process_tree_load(tree, path, &error) == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    struct graph_snapshots snapshots = {0};
    struct process_tree tree = {0};
    int status = report_operand(&command_summary, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    status = report_load_regions(&report);
    if (status == EXIT_DONE)
        status = report_replay(&report, false);
    if (status == EXIT_DONE)
        status = report_load_snapshots(&report, &snapshots);
    if (status == EXIT_DONE)
        status = load_tree(&tree, path);
    if (status == EXIT_DONE) {
        report_warn(&report);
        out_begin(!as_json);
        if (as_json)
            print_json(&report, &snapshots, &tree);
        else
            print_text(&report, &snapshots, &tree);
        status = out_end();
    }
    process_tree_free(&tree);
    graph_snapshots_free(&snapshots);
    report_close(&report);
    return status;
}

const struct command command_summary = {
    .name = "summary",
    .synopsis = "[OPTION...] TRACE",
    .summary = "what a program allocated, kept and when",
    .description =
        "Shows one screen about a trace: the process, how it ended, its events, the peak, what was alive at "
        "the end, the same by domain, the sizes and lifetimes of its blocks, its regions and marks, its snapshots, and "
        "what "
        "the trace cannot show. Where the process had children, or was replaced by exec, the tree of all whose traces "
        "lie "
        "beside this one follows, with their sums.\n"
        "\n"
        "Sizes are in binary units (1 KiB is 1024 bytes). A reallocation counts as a free and an allocation. "
        "An allocation is temporary when the very next event of its thread frees it. \"The end\" is when the "
        "program was done: what a Python interpreter frees while it tears itself down was alive at the end.\n"
        "\n"
        "Of a region, what was born in it is told: its own peak, the most that was alive at once of one occurrence; "
        "what "
        "outlived it, alive when the occurrence ended; and how many allocations were made, of all occurrences "
        "together.",
    .examples = "$ heapsake summary app.hsk\n"
                "the screen, through the pager on a terminal\n"
                "$ heapsake summary --json app.hsk | jq .memory.peak_bytes\n"
                "one number for a script\n"
                "$ heapsake summary --json app.hsk | jq '.processes[].peak_bytes'\n"
                "the peak of every process of a recording",
    .options = options,
    .run = run,
};
