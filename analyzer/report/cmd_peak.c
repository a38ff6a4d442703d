/* cmd_peak.c - `heapsake peak`: what was alive at the high-water mark, or at any time, by site. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model/sites_wanted.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"
#include "report/report_options.h"

#define TEXT_SITES 10
#define TEXT_FRAMES 12

static bool as_json;
static int64_t limit = -1;
static const char *at, *region_name;

static const struct option options[] = {
    {.name = "at",
     .kind = OPTION_STRING,
     .value_name = "MOMENT",
     .value = &at,
     .help =
         "at a moment instead of at the peak: seconds after the start (12.5), mark:NAME, mark:NAME#N, snapshot:N or "
         "end"},
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the N largest sites only (default: 10 as text, all as JSON; 0: all)"),
    {.name = "region",
     .kind = OPTION_STRING,
     .value_name = "NAME",
     .value = &region_name,
     .help = "the peak of a region by itself: of what was born in one occurrence of it"},
    {0},
};

/* What is shown: of the whole process, or of what was born in one occurrence of a region. */
struct peak {
    const struct report *report;
    struct sites *sites;
    const struct region *region; /* NULL: of all */
    uint64_t time_ns, bytes, count;
};

static void print_json(const struct peak *peak, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    const struct report *report = peak->report;
    open_object(&json, NULL);
    put_seconds(&json, "time", peak->time_ns);
    put_unsigned(&json, "bytes", peak->bytes);
    put_unsigned(&json, "count", peak->count);
    if (peak->region) {
        put_string(&json, "region", region_name);
        put_unsigned(&json, "occurrence", peak->region->number);
    } else {
        put_unsigned(&json, "inherited_bytes", report->end.inherited_live_bytes);
    }
    open_array(&json, "sites");
    for (size_t i = 0; i < peak->sites->count && i < shown; i++) {
        const struct site *site = &peak->sites->sites[i];
        open_object(&json, NULL);
        put_unsigned(&json, "bytes", site->bytes);
        put_unsigned(&json, "count", site->count);
        put_stack(&json, "stack", report->stacks, site->stack);
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

static void print_heading(const struct peak *peak)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    out_heading("%s at %s: %s in %s blocks of %zu sites",
                peak->region ? "Own peak of a region"
                : at         ? "Alive"
                             : "Peak",
                out_seconds(when, peak->time_ns), out_bytes(bytes, peak->bytes), out_count(count, peak->count),
                peak->sites->count);
    if (peak->region) {
        const struct named_region *named = &peak->report->regions->names[peak->region->name];
        printf("Of what was born in ");
        out_untrusted(stdout, region_name, strlen(region_name));
        printf(", occurrence %" PRIu32 " of %" PRIu32 ", from %s", peak->region->number, named->occurrences,
               out_seconds(when, peak->region->begin_ns));
        if (peak->region->open)
            printf(" on: it never ended\n");
        else
            printf(" to %s\n", out_seconds(when, peak->region->end_ns));
    } else {
        report_print_inherited(&peak->report->end);
    }
}

static void print_text(const struct peak *peak, size_t shown)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    const struct sites *sites = peak->sites;
    print_heading(peak);
    for (size_t i = 0; i < sites->count && i < shown; i++) {
        const struct site *site = &sites->sites[i];
        printf("\n%s%s%s (%.1f %%) in %s block%s\n", out_color(OUT_NUMBER), out_bytes(bytes, site->bytes),
               out_color(OUT_PLAIN), peak->bytes ? 100.0 * (double)site->bytes / (double)peak->bytes : 0.0,
               out_count(count, site->count), site->count == 1 ? "" : "s");
        out_stack(peak->report->stacks, site->stack, 4, TEXT_FRAMES);
    }
    if (shown < sites->count)
        printf("\n%zu more sites: --limit 0 shows all\n", sites->count - shown);
}

/* --- the way of a report --- */

static int find_moment(struct peak *peak, struct report *report)
{
    struct trace_moment moment = {.kind = MOMENT_PEAK};
    struct error error = {0};
    if (at && trace_moment_read(at, &moment, &error) != 0) {
        message_print("peak: --at %s", error.text);
        return EXIT_USAGE;
    }
    int status = report_replay_to(report, &moment, true);
    if (status == EXIT_DONE)
        status = report_load_stacks(report);
    if (status != EXIT_DONE)
        return status;
    sites_finish(&report->end_sites, report->stacks);
    *peak = (struct peak){.report = report,
                          .sites = &report->end_sites,
                          .time_ns = report->end_ns,
                          .bytes = report->end.live_bytes,
                          .count = report->end.live_blocks};
    return EXIT_DONE;
}

static int find_region(struct peak *peak, struct report *report, struct sites_wanted *wanted)
{
    const struct named_region *named;
    struct error error = {0};
    int status = report_load_regions(report);
    if (status == EXIT_DONE)
        status = report_replay(report, false);
    if (status == EXIT_DONE)
        status = report_find_region(report, region_name, &named);
    if (status == EXIT_DONE)
        status = report_load_stacks(report);
    if (status != EXIT_DONE)
        return status;
    const struct region *region = &report->regions->list[named->most_peak];
    *wanted = (struct sites_wanted){.event = region->peak_event, .region = region};
    if (sites_wanted_find(wanted, 1, report->reader, report->stacks, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    *peak = (struct peak){.report = report,
                          .sites = &wanted->sites,
                          .region = region,
                          .time_ns = region->peak_bytes ? region->peak_ns : region->begin_ns,
                          .bytes = region->peak_bytes};
    for (size_t i = 0; i < wanted->sites.count; i++)
        peak->count += wanted->sites.sites[i].count;
    return EXIT_DONE;
}

static int print(const struct peak *peak)
{
    size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_SITES;
    out_begin(!as_json);
    if (as_json)
        print_json(peak, shown);
    else
        print_text(peak, shown);
    int status = out_end();
    if (!peak->sites->failed)
        return status;
    message_print("%s: out of memory: the report is not complete", peak->report->reader->path);
    return EXIT_UNUSABLE;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    struct peak peak;
    struct sites_wanted wanted = {0};
    int status = report_operand(&command_peak, argc, argv, &path);
    if (status == EXIT_DONE && at && region_name) {
        message_print("peak: --at names a moment, and --region another one: give one of both");
        status = EXIT_USAGE;
    }
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    status = region_name ? find_region(&peak, &report, &wanted) : find_moment(&peak, &report);
    if (status == EXIT_DONE) {
        report_warn(&report);
        status = print(&peak);
    }
    sites_free(&wanted.sites);
    report_close(&report);
    return status;
}

const struct command command_peak = {
    .name = "peak",
    .synopsis = "[OPTION...] TRACE",
    .summary = "what was alive at the high-water mark, by the site that allocated it",
    .description = "Lists the blocks that were alive when the program held the most bytes, added up by site (the whole "
                   "stack of the allocation), the most bytes first. With --at, the same at any other moment; with "
                   "--region, for what a region of the program allocated, at the highest point of that.\n"
                   "\n"
                   "Arenas, which only hold blocks counted elsewhere, and blocks that a forked child inherited are not "
                   "part of the totals. The clock of a trace ticks about once a millisecond.",
    .examples = "$ heapsake peak app.hsk\n"
                "the ten largest sites at the peak\n"
                "$ heapsake peak --at 2.5 app.hsk\n"
                "what was alive two and a half seconds after the start\n"
                "$ heapsake peak --at mark:loaded app.hsk\n"
                "what was alive when the program said heapsake_mark(\"loaded\")\n"
                "$ heapsake peak --region parse app.hsk\n"
                "what was allocated in the region parse, where most of it was alive",
    .options = options,
    .run = run,
};
