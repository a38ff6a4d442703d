/* cmd_leaks.c - `heapsake leaks`: why memory stayed, and what was alive at the end without a cause, by site. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "model/leak_causes.h"
#include "model/leak_limits.h"
#include "model/suppressions.h"
#include "report/graph_report.h"
#include "report/leak_report.h"
#include "report/out_json.h"
#include "report/out_leaks.h"
#include "report/out_text.h"
#include "report/region_leaks.h"
#include "report/report.h"
#include "report/report_options.h"
#include "report/watch_line.h"

#define TEXT_SITES 10
#define TEXT_FRAMES 12

static bool as_json, all, brief;
static int64_t limit = -1, snapshot_number = -1;
static double min_confidence = -1; /* not given */
static const char *cause, *region_name;
static struct option_strings suppression_files;

static const struct option options[] = {
    {.name = "all", .kind = OPTION_FLAG, .value = &all, .help = "also what is alive and in no leak, by site"},
    {.name = "brief", .kind = OPTION_FLAG, .value = &brief, .help = "as text, one line for each leak and nothing else"},
    {.name = "cause",
     .kind = OPTION_CHOICE,
     .value_name = "lost|over-referenced|cycle|growing|held|fragmentation",
     .value = &cause,
     .help = "leaks of this cause only"},
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the N first only (default: 10 as text, all as JSON; 0: all)"),
    {.name = "min-confidence",
     .kind = OPTION_FRACTION,
     .value_name = "X",
     .value = &min_confidence,
     .help = "leaks that are at least so sure, from 0 to 1 (default: 0.5 as text, 0 as JSON)"},
    {.name = "region",
     .kind = OPTION_STRING,
     .value_name = "NAME",
     .value = &region_name,
     .help = "what was born in a region and is a leak after its last occurrence: at the first whole snapshot then"},
    REPORT_OPTION_SNAPSHOT(snapshot_number, "tell causes from this snapshot (default: the last whole one)"),
    {.name = "suppressions",
     .kind = OPTION_STRINGS,
     .value_name = "FILE",
     .value = &suppression_files,
     .help =
         "leave out the leaks that FILE describes, in heapsake's, Valgrind's or LSan's format; may be given several "
         "times"},
    {0},
};

/* All that is printed. */
struct findings {
    struct report *report;
    struct graph_report graph;
    bool has_snapshot;
    struct leaks leaks;
    struct region_leaks of_region; /* with --region: its part of them */
    const struct leak *list;       /* of the one or the other */
    size_t count;
    size_t *shown; /* indexes into list */
    size_t shown_count;
    uint64_t weaker, weaker_bytes; /* less sure than --min-confidence */
    struct site *rest;             /* sites without the blocks that leaks claim */
    size_t rest_count;
    struct suppressions suppressions;
    uint64_t suppressed, suppressed_bytes;
};

/* --- what is shown --- */

static bool is_suppressed(struct findings *f, const struct leak *leak, uint32_t stack, uint64_t bytes)
{
    if (!leak_report_suppressed(&f->suppressions, f->report->stacks, leak, stack, bytes))
        return false;
    f->suppressed++;
    f->suppressed_bytes += bytes;
    return true;
}

static bool choose_leaks(struct findings *f)
{
    double least = min_confidence >= 0 ? min_confidence : as_json ? 0 : LEAK_TEXT_CONFIDENCE;
    f->shown = calloc(f->count + 1, sizeof *f->shown);
    if (!f->shown)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        const struct leak *leak = &f->list[i];
        if ((cause && strcmp(cause, leak_cause_names[leak->cause]) != 0) ||
            is_suppressed(f, leak, leak->stack, leak->bytes))
            continue;
        if (leak->confidence >= least) {
            f->shown[f->shown_count++] = i;
        } else {
            f->weaker++;
            f->weaker_bytes += leak->bytes;
        }
    }
    return true;
}

static int claim_by_stack(const void *left, const void *right)
{
    const struct leak_claim *a = left, *b = right;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static void subtract(struct site *site, const struct leak_claim *claims, size_t count)
{
    struct leak_claim sought = {.stack = site->stack};
    const struct leak_claim *claim = count ? bsearch(&sought, claims, count, sizeof *claims, claim_by_stack) : NULL;
    if (!claim)
        return;
    while (claim > claims && claim[-1].stack == site->stack)
        claim--;
    for (; claim < claims + count && claim->stack == site->stack; claim++) {
        site->count -= claim->count < site->count ? claim->count : site->count;
        site->bytes -= claim->bytes < site->bytes ? claim->bytes : site->bytes;
    }
}

/* What is alive at the end and in no leak. */
static bool take_rest(struct findings *f)
{
    const struct sites *sites = &f->report->end_sites;
    f->rest = calloc(sites->count + 1, sizeof *f->rest);
    if (!f->rest)
        return false;
    if (f->leaks.claim_count > 1)
        qsort(f->leaks.claims, f->leaks.claim_count, sizeof *f->leaks.claims, claim_by_stack);
    for (size_t i = 0; i < sites->count; i++) {
        struct site site = sites->sites[i];
        subtract(&site, f->leaks.claims, f->leaks.claim_count);
        if (site.count > 0 && !is_suppressed(f, NULL, site.stack, site.bytes))
            f->rest[f->rest_count++] = site;
    }
    return true;
}

/* --- printing --- */

static void domain_list(char *text, size_t size, uint32_t domains)
{
    size_t length = 0;
    text[0] = '\0';
    for (int domain = 0; domain < HSK_DOMAINS; domain++)
        if (domains & 1u << domain)
            length +=
                (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", out_domain_names[domain]);
}

static void explain_site(char *text, size_t size, const struct site *site, const struct findings *f)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], first[OUT_NUMBER_SIZE], last[OUT_NUMBER_SIZE];
    const struct report *report = f->report;
    const char *when = report->finalized      ? "when the program was done, before the interpreter's teardown"
                       : report->info.has_end ? "at the end of the recording"
                                              : "where the file ends";
    const char *why = f->has_snapshot ? "nothing says that it is a leak" : "why is not known from allocations alone";
    if (site->count == 1)
        snprintf(text, size, "1 block of %s, allocated at %s, was alive %s; %s", out_bytes(bytes, site->bytes),
                 out_seconds(first, site->first_ns), when, why);
    else
        snprintf(text, size, "%s blocks of together %s, allocated between %s and %s, were alive %s; %s",
                 out_count(count, site->count), out_bytes(bytes, site->bytes), out_seconds(first, site->first_ns),
                 out_seconds(last, site->last_ns), when, why);
}

static void put_site(struct json *json, const struct site *site, const struct findings *f)
{
    char text[512];
    open_object(json, NULL);
    put_null(json, "cause");
    put_null(json, "type");
    put_unsigned(json, "count", site->count);
    put_unsigned(json, "bytes", site->bytes);
    put_null(json, "retained_bytes");
    put_unsigned(json, "confidence", 0);
    put_stack(json, "stack", f->report->stacks, site->stack);
    put_null(json, "culprit");
    open_array(json, "why");
    close_array(json);
    open_object(json, "evidence");
    put_seconds(json, "first_time", site->first_ns);
    put_seconds(json, "last_time", site->last_ns);
    put_domains(json, "domains", site->domains);
    close_object(json);
    explain_site(text, sizeof text, site, f);
    put_string(json, "explanation", text);
    close_object(json);
}

static void put_sum(struct json *json, const char *key, uint64_t count, uint64_t bytes)
{
    open_object(json, key);
    put_unsigned(json, "count", count);
    put_unsigned(json, "bytes", bytes);
    close_object(json);
}

static void put_totals(struct json *json, const struct findings *f)
{
    open_object(json, "totals");
    for (int i = LEAK_UNKNOWN + 1; i < LEAK_CAUSES; i++) {
        uint64_t count = 0, bytes = 0;
        for (size_t k = 0; k < f->shown_count; k++) {
            const struct leak *leak = &f->list[f->shown[k]];
            count += (int)leak->cause == i ? leak->count : 0;
            bytes += (int)leak->cause == i ? leak->bytes : 0;
        }
        if (count > 0)
            put_sum(json, leak_cause_names[i], count, bytes);
    }
    uint64_t count = 0, bytes = 0;
    for (size_t i = 0; i < f->rest_count; i++) {
        count += f->rest[i].count;
        bytes += f->rest[i].bytes;
    }
    if (!region_name)
        put_sum(json, "unknown", count, bytes);
    close_object(json);
}

/* As Memcheck sorts native blocks. */
static void put_classes(struct json *json, const struct leaks *leaks)
{
    const struct {
        const char *name;
        const struct leak_class *class;
    } classes[] = {{"definitely", &leaks->definite},
                   {"indirectly", &leaks->indirect},
                   {"possibly", &leaks->possible},
                   {"reachable", &leaks->reachable}};
    open_object(json, "native");
    for (size_t i = 0; i < HS_COUNT_OF(classes); i++) {
        open_object(json, classes[i].name);
        put_unsigned(json, "blocks", classes[i].class->blocks);
        put_unsigned(json, "bytes", classes[i].class->bytes);
        close_object(json);
    }
    close_object(json);
}

static void put_snapshot(struct json *json, const struct findings *f)
{
    if (!f->has_snapshot) {
        put_null(json, "snapshot");
        return;
    }
    const struct snapshot_info *snapshot = f->graph.snapshot;
    open_object(json, "snapshot");
    put_unsigned(json, "number", snapshot->number);
    put_string(json, "reason", snapshot->reason);
    put_seconds(json, "time", snapshot->time_ns);
    put_bool(json, "whole", snapshot->whole && f->graph.graph.missing_parts == 0);
    close_object(json);
    put_classes(json, &f->leaks);
}

static bool lists_rest(const struct findings *f)
{
    return (all || !f->has_snapshot) && !cause && !region_name;
}

/* The first of them that nobody has tried to watch: how to. */
static const struct leak *to_be_watched(const struct findings *f)
{
    for (size_t i = 0; i < f->shown_count; i++) {
        const struct leak *leak = &f->list[f->shown[i]];
        if (leak->cause == LEAK_OVER_REFERENCED && !leak->watched && !leak->missed)
            return leak;
    }
    return NULL;
}

/* The command that would name a culprit; null: none is asked for. */
static void put_next(struct json *json, const struct findings *f)
{
    const struct leak *leak = to_be_watched(f);
    struct buf line = BUF_INIT;
    if (leak)
        watch_line(&line, f->report->reader->path, leak->number, &f->report->info);
    if (line.length > 0 && !line.failed)
        put_bytes(json, "next", (const char *)line.data, line.length);
    else
        put_null(json, "next");
    buf_free(&line);
}

static void print_json(const struct findings *f, size_t most)
{
    struct json json = JSON_INIT(stdout);
    size_t shown = 0;
    open_object(&json, NULL);
    open_array(&json, "leaks");
    for (size_t i = 0; i < f->shown_count && shown < most; i++, shown++)
        put_leak(&json, &f->list[f->shown[i]], f->report->stacks);
    for (size_t i = 0; lists_rest(f) && i < f->rest_count && shown < most; i++, shown++)
        put_site(&json, &f->rest[i], f);
    close_array(&json);
    put_next(&json, f);
    if (region_name)
        put_string(&json, "region", region_name);
    put_totals(&json, f);
    put_snapshot(&json, f);
    put_sum(&json, "suppressed", f->suppressed, f->suppressed_bytes);
    put_sum(&json, "inherited", f->report->end.inherited_live_blocks, f->report->end.inherited_live_bytes);
    close_object(&json);
    put_end(&json);
}

static void print_site(const struct findings *f, const struct site *site)
{
    char domains[80], bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], first[OUT_NUMBER_SIZE], last[OUT_NUMBER_SIZE];
    domain_list(domains, sizeof domains, site->domains);
    printf("\n%s%s%s in %s block%s of %s, allocated from %s to %s\n", out_color(OUT_NUMBER),
           out_bytes(bytes, site->bytes), out_color(OUT_PLAIN), out_count(count, site->count),
           site->count == 1 ? "" : "s", domains, out_seconds(first, site->first_ns), out_seconds(last, site->last_ns));
    out_stack(f->report->stacks, site->stack, 4, TEXT_FRAMES);
}

static void print_region(const struct findings *f)
{
    const struct named_region *named = f->of_region.named;
    char count[OUT_NUMBER_SIZE];
    printf("Of what was born in ");
    out_untrusted(stdout, region_name, strlen(region_name));
    printf(", %s occurrence%s", out_count(count, named->occurrences), named->occurrences == 1 ? "" : "s");
    if (named->open > 0)
        printf(", %s of them never ended", out_count(count, named->open));
    putchar('\n');
}

static void print_causes(const struct findings *f, size_t most)
{
    char bytes[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    uint64_t sum = 0;
    for (size_t i = 0; i < f->shown_count; i++)
        sum += f->list[f->shown[i]].bytes;
    const struct snapshot_info *snapshot = f->graph.snapshot;
    if (f->shown_count == 0)
        out_heading("No leaks found (snapshot %" PRIu32 " at %s, %s)", snapshot->number,
                    out_seconds(when, snapshot->time_ns), snapshot->reason);
    else
        out_heading("Leaks: %zu, of together %s (snapshot %" PRIu32 " at %s, %s)", f->shown_count,
                    out_bytes(bytes, sum), snapshot->number, out_seconds(when, snapshot->time_ns), snapshot->reason);
    if (region_name)
        print_region(f);
    for (size_t i = 0; i < f->shown_count && i < most; i++)
        out_leak(&f->list[f->shown[i]], f->report->stacks, TEXT_FRAMES);
    if (most < f->shown_count)
        printf("\n%zu more leaks: --limit 0 shows all\n", f->shown_count - most);
    if (f->weaker > 0)
        printf("\n%" PRIu64 " weaker suspect%s, of together %s: --min-confidence 0 shows %s\n", f->weaker,
               f->weaker == 1 ? "" : "s", out_bytes(bytes, f->weaker_bytes), f->weaker == 1 ? "it" : "them");
}

static void print_next(const struct findings *f)
{
    const struct leak *leak = to_be_watched(f);
    struct buf line = BUF_INIT;
    if (leak)
        watch_line(&line, f->report->reader->path, leak->number, &f->report->info);
    if (line.length > 0 && !line.failed) {
        out_heading("Who takes the references of #%u is told by watching some of its objects:", leak->number);
        fputs("  ", stdout);
        out_untrusted(stdout, (const char *)line.data, line.length);
        putchar('\n');
    }
    buf_free(&line);
}

static void print_brief(const struct findings *f, size_t most)
{
    for (size_t i = 0; i < f->shown_count && i < most; i++)
        out_leak_line(&f->list[f->shown[i]], f->report->stacks);
    if (most < f->shown_count)
        printf("  and %zu more\n", f->shown_count - most);
    if (f->shown_count == 0)
        printf("  no leaks found%s\n", f->has_snapshot ? "" : ": the trace has no snapshot");
}

static void print_rest(const struct findings *f, size_t most)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    uint64_t blocks = 0, sum = 0;
    for (size_t i = 0; i < f->rest_count; i++) {
        blocks += f->rest[i].count;
        sum += f->rest[i].bytes;
    }
    out_heading("%s (%s): %s in %s blocks of %zu sites%s",
                f->has_snapshot ? "Alive and in use at the end" : "Alive at the end",
                out_seconds(when, f->report->end_ns), out_bytes(bytes, sum), out_count(count, blocks), f->rest_count,
                lists_rest(f) ? "" : " (--all lists them)");
    report_print_inherited(&f->report->end);
    if (!f->has_snapshot)
        printf("Why it stayed cannot be told: the trace has no snapshot.\n");
    for (size_t i = 0; lists_rest(f) && i < most && i < f->rest_count; i++)
        print_site(f, &f->rest[i]);
    if (lists_rest(f) && most < f->rest_count)
        printf("\n%zu more sites: --limit 0 shows all\n", f->rest_count - most);
}

static void print_suppressed(const struct findings *f)
{
    char bytes[OUT_NUMBER_SIZE];
    if (f->suppressions.count == 0)
        return;
    out_heading("Suppressed: %" PRIu64 ", of together %s", f->suppressed, out_bytes(bytes, f->suppressed_bytes));
    for (size_t i = 0; i < f->suppressions.count; i++) {
        struct suppression_use use = suppressions_use(&f->suppressions, i);
        if (use.matches == 0)
            continue;
        printf("%6" PRIu64 "  %10s  ", use.matches, out_bytes(bytes, use.bytes));
        out_untrusted(stdout, use.name, strlen(use.name));
        putchar('\n');
    }
}

/* --- the way of a report --- */

static int load_suppressions(struct suppressions *suppressions)
{
    struct error error = {0};
    for (int i = 0; i < suppression_files.count; i++) {
        if (suppressions_load(suppressions, suppression_files.values[i], &error) == 0)
            continue;
        error_print(&error);
        return EXIT_USAGE;
    }
    return EXIT_DONE;
}

static int find_causes(struct findings *f)
{
    int status = leak_report_find(&f->leaks, &f->graph, f->report, snapshot_number);
    f->has_snapshot = status == EXIT_DONE;
    f->list = f->leaks.list;
    f->count = f->leaks.count;
    return status;
}

static int find_causes_of_region(struct findings *f)
{
    struct graph_snapshots snapshots = {0};
    const struct named_region *named;
    int status = report_find_region(f->report, region_name, &named);
    if (status == EXIT_DONE && snapshot_number < 0) {
        status = report_load_snapshots(f->report, &snapshots);
        if (status == EXIT_DONE)
            status = region_leaks_snapshot(&snapshot_number, f->report, &snapshots, named, region_name);
        graph_snapshots_free(&snapshots);
    }
    if (status != EXIT_DONE)
        return status;
    f->report->regions->names[named - f->report->regions->names].leaks_wanted = true;
    if ((status = find_causes(f)) != EXIT_DONE)
        return status;
    if (region_leaks_take(&f->of_region, &f->leaks, &f->graph, named) != 0) {
        message_print("%s: out of memory", f->report->reader->path);
        return EXIT_UNUSABLE;
    }
    f->list = f->of_region.list;
    f->count = f->of_region.count;
    return EXIT_DONE;
}

static bool has_snapshots(struct report *report)
{
    struct graph_snapshots snapshots = {0};
    struct error error = {0};
    bool some = graph_snapshots_list(&snapshots, report->reader, &error) == 0 && snapshots.count > 0;
    graph_snapshots_free(&snapshots);
    return some;
}

static int print(struct findings *f)
{
    size_t most = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_SITES;
    bool complete = choose_leaks(f) && take_rest(f);
    out_begin(!as_json && !brief);
    if (as_json) {
        print_json(f, most);
    } else if (brief) {
        print_brief(f, most);
    } else {
        if (f->has_snapshot)
            print_causes(f, most);
        if (!region_name)
            print_rest(f, most);
        print_suppressed(f);
        print_next(f);
    }
    int status = out_end();
    if (complete && !f->report->end_sites.failed)
        return status;
    message_print("%s: out of memory: the report is not complete", f->report->reader->path);
    return EXIT_UNUSABLE;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    struct findings findings = {.report = &report, .leaks = LEAKS_INIT, .suppressions = SUPPRESSIONS_INIT};
    int status = report_operand(&command_leaks, argc, argv, &path);
    if (status != EXIT_DONE || (status = load_suppressions(&findings.suppressions)) != EXIT_DONE)
        return status;
    if ((status = report_open(&report, path)) != EXIT_DONE) {
        suppressions_free(&findings.suppressions);
        return status;
    }
    if (region_name)
        status = report_load_regions(&report);
    if (status == EXIT_DONE && (status = report_replay(&report, true)) == EXIT_DONE &&
        (status = report_load_stacks(&report)) == EXIT_DONE) {
        if (region_name)
            status = find_causes_of_region(&findings);
        else if (has_snapshots(&report) || snapshot_number >= 0)
            status = find_causes(&findings);
        else
            report_warn(&report);
        sites_finish(&report.end_sites, report.stacks);
        if (status == EXIT_DONE)
            status = print(&findings);
    }
    region_leaks_free(&findings.of_region);
    leaks_free(&findings.leaks);
    graph_report_close(&findings.graph);
    suppressions_free(&findings.suppressions);
    free(findings.shown);
    free(findings.rest);
    report_close(&report);
    return status;
}

const struct command command_leaks = {
    .name = "leaks",
    .synopsis = "[OPTION...] TRACE",
    .summary = "why memory stayed: every leak with its cause",
    .description =
        "Tells why memory stayed: lost (native memory that nothing points to), over-referenced (an object with more "
        "references than anything holds), cycle (garbage that was not collected), growing (reachable, in what only "
        "grows), held (reachable through something forgotten: a traceback, a generator, a closure, a default "
        "argument) or fragmentation (freed, but kept by few survivors). Each comes with its evidence, where it was "
        "allocated, and a confidence from 0 to 1; over 0.5 means: rather a mistake than not. As text, suspects below "
        "that are only counted; --min-confidence 0 shows them. The most confidence times bytes come first.\n"
        "\n"
        "Causes are told from a snapshot, which heapsake run takes when the program ends. Without one, the report "
        "lists "
        "what was alive when the program was done, by site (the whole stack of the allocation), the most bytes first; "
        "--all lists that too. What a Python interpreter frees while it tears itself down was alive at the end. Blocks "
        "that a forked child inherited are told apart.\n"
        "\n"
        "With --region, leaks are told as far as they were born in a region of the program, at the first whole "
        "snapshot "
        "after its last occurrence.\n"
        "\n"
        "A file of suppressions is heapsake's own ([NAME], then lines like cause = growing, type = app.Cache*, "
        "function = "
        "load_*, file = */vendor/*, module = libfoo.so*; all of them must match), Valgrind's, or LSan's.",
    .examples = "$ heapsake leaks app.hsk\n"
                "the ten most important leaks\n"
                "$ heapsake leaks --cause growing --json app.hsk\n"
                "what only grows, for a script\n"
                "$ heapsake leaks --min-confidence 0 app.hsk\n"
                "weak suspects as well\n"
                "$ heapsake leaks --all --limit 3 app.hsk\n"
                "also what was alive at the end without a cause\n"
                "$ heapsake leaks --region parse app.hsk\n"
                "what was allocated in the region parse and leaked\n"
                "$ heapsake leaks --suppressions known.supp app.hsk\n"
                "without what is known already",
    .options = options,
    .run = run,
};
