/* cmd_leaks.c - `heapsake leaks`: what was alive at the end, by site. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"

#define TEXT_SITES 10
#define TEXT_FRAMES 12

static bool as_json;
static int64_t limit = -1;

static const struct option options[] = {
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {.letter = 'n',
     .name = "limit",
     .kind = OPTION_INTEGER,
     .value_name = "N",
     .value = &limit,
     .help = "show the N largest only (default: 10 as text, all as JSON; 0: all)"},
    {0},
};

static void domain_list(char *text, size_t size, uint32_t domains)
{
    size_t length = 0;
    text[0] = '\0';
    for (int domain = 0; domain < HSK_DOMAINS; domain++)
        if (domains & 1u << domain)
            length +=
                (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", out_domain_names[domain]);
}

static void explain(char *text, size_t size, const struct site *site, const struct report *report)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], first[OUT_NUMBER_SIZE], last[OUT_NUMBER_SIZE];
    const char *when = report->finalized      ? "when the program was done, before the interpreter's teardown"
                       : report->info.has_end ? "at the end of the recording"
                                              : "where the file ends";
    if (site->count == 1)
        snprintf(text, size, "1 block of %s, allocated at %s, was alive %s; why is not known from allocations alone",
                 out_bytes(bytes, site->bytes), out_seconds(first, site->first_ns), when);
    else
        snprintf(text, size,
                 "%s blocks of together %s, allocated between %s and %s, were alive %s; why is not known from "
                 "allocations alone",
                 out_count(count, site->count), out_bytes(bytes, site->bytes), out_seconds(first, site->first_ns),
                 out_seconds(last, site->last_ns), when);
}

static void print_json(const struct report *report, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    uint64_t count = 0, bytes = 0;
    open_object(&json, NULL);
    open_array(&json, "leaks");
    for (size_t i = 0; i < report->end_sites.count; i++) {
        const struct site *site = &report->end_sites.sites[i];
        char text[512];
        count += site->count;
        bytes += site->bytes;
        if (i >= shown)
            continue;
        open_object(&json, NULL);
        put_null(&json, "cause");
        put_null(&json, "type");
        put_unsigned(&json, "count", site->count);
        put_unsigned(&json, "bytes", site->bytes);
        put_null(&json, "retained_bytes");
        put_unsigned(&json, "confidence", 0);
        put_stack(&json, "stack", report->stacks, site->stack);
        put_null(&json, "culprit");
        open_array(&json, "why");
        close_array(&json);
        open_object(&json, "evidence");
        put_seconds(&json, "first_time", site->first_ns);
        put_seconds(&json, "last_time", site->last_ns);
        open_array(&json, "domains");
        for (int domain = 0; domain < HSK_DOMAINS; domain++)
            if (site->domains & 1u << domain)
                put_string(&json, NULL, out_domain_names[domain]);
        close_array(&json);
        close_object(&json);
        explain(text, sizeof text, site, report);
        put_string(&json, "explanation", text);
        close_object(&json);
    }
    close_array(&json);
    open_object(&json, "totals");
    open_object(&json, "unknown");
    put_unsigned(&json, "count", count);
    put_unsigned(&json, "bytes", bytes);
    close_object(&json);
    close_object(&json);
    open_object(&json, "inherited");
    put_unsigned(&json, "count", report->end.inherited_live_blocks);
    put_unsigned(&json, "bytes", report->end.inherited_live_bytes);
    close_object(&json);
    close_object(&json);
    put_end(&json);
}

static void print_text(const struct report *report, size_t shown)
{
    const struct sites *sites = &report->end_sites;
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    out_heading("Alive at the end (%s): %s in %s blocks of %zu sites", out_seconds(when, report->end_ns),
                out_bytes(bytes, report->end.live_bytes), out_count(count, report->end.live_blocks), sites->count);
    report_print_inherited(&report->end);
    for (size_t i = 0; i < shown && i < sites->count; i++) {
        const struct site *site = &sites->sites[i];
        char domains[80], first[OUT_NUMBER_SIZE], last[OUT_NUMBER_SIZE];
        domain_list(domains, sizeof domains, site->domains);
        printf("\n%s%s%s in %s block%s of %s, allocated from %s to %s\n", out_color(OUT_NUMBER),
               out_bytes(bytes, site->bytes), out_color(OUT_PLAIN), out_count(count, site->count),
               site->count == 1 ? "" : "s", domains, out_seconds(first, site->first_ns),
               out_seconds(last, site->last_ns));
        out_stack(report->stacks, site->stack, 4, TEXT_FRAMES);
    }
    if (shown < sites->count)
        printf("\n%zu more sites: --limit 0 shows all\n", sites->count - shown);
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    int status = report_operand(&command_leaks, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    if ((status = report_replay(&report, true)) == EXIT_DONE && (status = report_load_stacks(&report)) == EXIT_DONE) {
        sites_finish(&report.end_sites, report.stacks);
        report_warn(&report);
        size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_SITES;
        out_begin(!as_json);
        if (as_json)
            print_json(&report, shown);
        else
            print_text(&report, shown);
        status = out_end();
        if (report.end_sites.failed) {
            message_print("%s: out of memory: the report is not complete", path);
            status = EXIT_UNUSABLE;
        }
    }
    report_close(&report);
    return status;
}

const struct command command_leaks = {
    .name = "leaks",
    .synopsis = "[OPTION...] TRACE",
    .summary = "what was alive at the end, by the site that allocated it",
    .description =
        "Lists the blocks that were alive when the program was done, added up by site (the whole stack of the "
        "allocation), the most bytes first. What a Python interpreter frees while it tears itself down was "
        "alive at the end. Blocks that a forked child inherited are told apart.\n"
        "\n"
        "Not everything that is alive at the end is a leak: this list says where it was allocated, and the "
        "cause stays open.",
    .examples = "$ heapsake leaks app.hsk\n"
                "the ten largest sites\n"
                "$ heapsake leaks --limit 3 --json app.hsk\n"
                "the three largest, for a script",
    .options = options,
    .run = run,
};
