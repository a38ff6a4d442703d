/* cmd_objects.c - `heapsake objects`: Python objects by type. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"
#include "report/report_options.h"
#include "report/type_totals.h"

#define TEXT_TYPES 20

static bool as_json;
static int64_t limit = -1;
static const char *sort_by = "bytes";

static const struct option options[] = {
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the first N types only (default: 20 as text, all as JSON; 0: all)"),
    {.name = "sort",
     .kind = OPTION_CHOICE,
     .value_name = "live|bytes|created",
     .value = &sort_by,
     .help = "which types come first: of the most live objects, of the most live bytes (default), or of the most that "
             "were created"},
    {0},
};

static uint64_t key_of(const struct type_total *type)
{
    return sort_by[0] == 'l' ? type->live : sort_by[0] == 'b' ? type->live_bytes : type->created;
}

static int compare(const void *left, const void *right)
{
    const struct type_total *a = left, *b = right;
    if (key_of(a) != key_of(b))
        return key_of(a) < key_of(b) ? 1 : -1;
    return strcmp(a->name, b->name);
}

static void print_json(const struct type_totals *totals, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    if (totals->births)
        put_null(&json, "snapshot");
    else
        put_unsigned(&json, "snapshot", totals->snapshot);
    open_array(&json, "types");
    for (size_t i = 0; i < shown && i < totals->count; i++) {
        const struct type_total *type = &totals->list[i];
        open_object(&json, NULL);
        put_string(&json, "type", type->name);
        put_unsigned(&json, "live", type->live);
        put_unsigned(&json, "live_bytes", type->live_bytes);
        if (totals->births) {
            put_unsigned(&json, "created", type->created);
            put_unsigned(&json, "died", type->died);
        } else {
            put_null(&json, "created");
            put_null(&json, "died");
        }
        if (totals->births && type->died > 0)
            put_seconds(&json, "median_lifetime", type->median_ns);
        else
            put_null(&json, "median_lifetime");
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

static void print_type(const struct type_totals *totals, const struct type_total *type)
{
    char live[OUT_NUMBER_SIZE], bytes[OUT_NUMBER_SIZE], created[OUT_NUMBER_SIZE], median[OUT_NUMBER_SIZE];
    printf("%s%11s %11s%s", out_color(OUT_NUMBER), out_count(live, type->live), out_bytes(bytes, type->live_bytes),
           out_color(OUT_PLAIN));
    if (totals->births)
        printf(" %13s %11s", out_count(created, type->created),
               type->died ? out_seconds(median, type->median_ns) : "-");
    fputs("  ", stdout);
    out_untrusted(stdout, type->name, strlen(type->name));
    putchar('\n');
}

static void print_text(const struct report *report, const struct type_totals *totals, size_t shown)
{
    uint64_t live = 0, bytes = 0;
    char when[OUT_NUMBER_SIZE], live_text[OUT_NUMBER_SIZE], bytes_text[OUT_NUMBER_SIZE];
    for (size_t i = 0; i < totals->count; i++) {
        live += totals->list[i].live;
        bytes += totals->list[i].live_bytes;
    }
    out_count(live_text, live);
    out_bytes(bytes_text, bytes);
    if (totals->births)
        out_heading("Python objects at the end (%s): %s of %zu types, %s", out_seconds(when, report->end_ns), live_text,
                    totals->count, bytes_text);
    else
        out_heading("Python objects in snapshot %" PRIu32 " (%s, at %s): %s of %zu types, %s", totals->snapshot,
                    totals->reason, out_seconds(when, totals->time_ns), live_text, totals->count, bytes_text);
    printf("\n%s%11s %11s", out_color(OUT_DIM), "live", "bytes");
    if (totals->births)
        printf(" %13s %11s", "created", "median life");
    printf("  type%s\n", out_color(OUT_PLAIN));
    for (size_t i = 0; i < shown && i < totals->count; i++)
        print_type(totals, &totals->list[i]);
    if (shown < totals->count)
        printf("\n%zu more types: --limit 0 shows all\n", totals->count - shown);
    if (totals->births && report->info.forked)
        printf("\nNot counted: objects that the parent made before the fork.\n");
}

static int print(struct report *report)
{
    struct type_totals totals;
    struct error error = {0};
    int code = type_totals_get(&totals, report, &error);
    if (code == -ENODATA || totals.births)
        report_warn(report); /* else the snapshot's graph has done so */
    if (code != 0) {
        if (error.text[0])
            error_print(&error);
        return EXIT_UNUSABLE;
    }
    qsort(totals.list, totals.count, sizeof *totals.list, compare);
    size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_TYPES;
    out_begin(!as_json);
    if (as_json)
        print_json(&totals, shown);
    else
        print_text(report, &totals, shown);
    type_totals_free(&totals);
    return out_end();
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    int status = report_operand(&command_objects, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    if ((status = report_load_objects(&report)) == EXIT_DONE && (status = report_replay(&report, false)) == EXIT_DONE)
        status = print(&report);
    report_close(&report);
    return status;
}

const struct command command_objects = {
    .name = "objects",
    .synopsis = "[OPTION...] TRACE",
    .summary = "Python objects by type: how many live, were created, how long they lived",
    .description =
        "Lists the types of the Python objects that a program made: how many of them and of their bytes were alive "
        "when "
        "it was done (before the interpreter's teardown), how many were created since the interpreter was initialized, "
        "and how "
        "long those that died had lived. The bytes are those of the blocks that the objects lie in, without what "
        "they refer to. Types of the same name are added up.\n"
        "\n"
        "An object that is made in the memory of a dead one is a new object, with a stack of its own. The median is "
        "exact to a "
        "power of two, and to the millisecond of the trace's clock.\n"
        "\n"
        "CPython tells of births and deaths from 3.13 on. Where a trace has none, the objects are those of its last "
        "whole snapshot, which the heading names, and how many were created is not known.",
    .examples = "$ heapsake objects app.hsk\n"
                "the twenty types with the most live bytes\n"
                "$ heapsake objects --sort created --limit 5 app.hsk\n"
                "what the program makes most of",
    .options = options,
    .run = run,
};
