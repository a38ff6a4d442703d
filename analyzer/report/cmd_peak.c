/* cmd_peak.c - `heapsake peak`: what was alive at the high-water mark, or at any time, by site. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"
#include "report/report_options.h"

#define TEXT_SITES 10
#define TEXT_FRAMES 12

static bool as_json;
static int64_t limit = -1;
static double at_seconds = -1;

static const struct option options[] = {
    {.name = "at",
     .kind = OPTION_SECONDS,
     .value_name = "T",
     .value = &at_seconds,
     .help = "at T seconds after the start instead of at the peak"},
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the N largest sites only (default: 10 as text, all as JSON; 0: all)"),
    {0},
};

static void print_json(const struct report *report, const struct sites *sites, uint64_t time_ns, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_seconds(&json, "time", time_ns);
    put_unsigned(&json, "bytes", report->lifetimes->now.live_bytes);
    put_unsigned(&json, "count", report->lifetimes->now.live_blocks);
    put_unsigned(&json, "inherited_bytes", report->lifetimes->now.inherited_live_bytes);
    open_array(&json, "sites");
    for (size_t i = 0; i < sites->count && i < shown; i++) {
        open_object(&json, NULL);
        put_unsigned(&json, "bytes", sites->sites[i].bytes);
        put_unsigned(&json, "count", sites->sites[i].count);
        put_stack(&json, "stack", report->stacks, sites->sites[i].stack);
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

static void print_text(const struct report *report, const struct sites *sites, uint64_t time_ns, size_t shown)
{
    const struct life_totals *now = &report->lifetimes->now;
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    out_heading("%s at %s: %s in %s blocks of %zu sites", at_seconds < 0 ? "Peak" : "Alive", out_seconds(when, time_ns),
                out_bytes(bytes, now->live_bytes), out_count(count, now->live_blocks), sites->count);
    report_print_inherited(now);
    for (size_t i = 0; i < sites->count && i < shown; i++) {
        const struct site *site = &sites->sites[i];
        printf("\n%s%s%s (%.1f %%) in %s block%s\n", out_color(OUT_NUMBER), out_bytes(bytes, site->bytes),
               out_color(OUT_PLAIN), now->live_bytes ? 100.0 * (double)site->bytes / (double)now->live_bytes : 0.0,
               out_count(count, site->count), site->count == 1 ? "" : "s");
        out_stack(report->stacks, site->stack, 4, TEXT_FRAMES);
    }
    if (shown < sites->count)
        printf("\n%zu more sites: --limit 0 shows all\n", sites->count - shown);
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    int status = report_operand(&command_peak, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    uint64_t time_ns;
    if (at_seconds >= 0) {
        time_ns = at_seconds < 1.8e10 ? (uint64_t)(at_seconds * 1e9 + 0.5) : UINT64_MAX - 1;
        status = report_replay_until(&report, time_ns, UINT64_MAX);
        if (time_ns > report.info.duration_ns)
            time_ns = report.info.duration_ns;
    } else {
        status = report_replay_to_peak(&report);
        time_ns = status == EXIT_DONE ? report.lifetimes->peak_time_ns : 0;
    }
    if (status == EXIT_DONE && (status = report_load_stacks(&report)) == EXIT_DONE) {
        struct sites sites = SITES_INIT;
        sites_add_live(&sites, report.lifetimes);
        sites_finish(&sites, report.stacks);
        report_warn(&report);
        size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_SITES;
        out_begin(!as_json);
        if (as_json)
            print_json(&report, &sites, time_ns, shown);
        else
            print_text(&report, &sites, time_ns, shown);
        status = out_end();
        if (sites.failed) {
            message_print("%s: out of memory: the report is not complete", path);
            status = EXIT_UNUSABLE;
        }
        sites_free(&sites);
    }
    report_close(&report);
    return status;
}

const struct command command_peak = {
    .name = "peak",
    .synopsis = "[OPTION...] TRACE",
    .summary = "what was alive at the high-water mark, by the site that allocated it",
    .description = "Lists the blocks that were alive when the program held the most bytes, added up by site (the whole "
                   "stack of the allocation), the most bytes first. With --at, the same at any other time.\n"
                   "\n"
                   "Arenas, which only hold blocks counted elsewhere, and blocks that a forked child inherited are not "
                   "part of the totals. The clock of a trace ticks about once a millisecond.",
    .examples = "$ heapsake peak app.hsk\n"
                "the ten largest sites at the peak\n"
                "$ heapsake peak --at 2.5 app.hsk\n"
                "what was alive two and a half seconds after the start",
    .options = options,
    .run = run,
};
