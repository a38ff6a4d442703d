/* cmd_verify.c - `heapsake verify`: is this file whole, and what is missing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "report/out_json.h"
#include "report/out_snapshots.h"
#include "report/out_text.h"
#include "report/report.h"

static bool as_json;

static const struct option options[] = {
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {0},
};

/* Chunks that nothing else has read: their checksums. */
static void read_rest(struct trace_reader *reader)
{
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].state == TRACE_CHUNK_UNREAD)
            trace_reader_load(reader, i, &raw, &length);
    }
}

static void print_json(const struct trace_reader *reader, uint64_t events, const struct graph_snapshots *snapshots)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_bool(&json, "complete", trace_reader_complete(reader));
    put_unsigned(&json, "chunks", reader->known_chunks);
    put_unsigned(&json, "damaged_chunks", trace_reader_lost_chunks(reader));
    put_unsigned(&json, "recovered_events", events);
    open_array(&json, "problems");
    for (size_t i = 0; i < reader->problem_count; i++)
        put_string(&json, NULL, (const char *)reader->problems[i].data);
    close_array(&json);
    out_snapshots_json(&json, snapshots);
    close_object(&json);
    put_end(&json);
}

static void print_text(const struct trace_reader *reader, uint64_t events, const struct graph_snapshots *snapshots)
{
    char count[OUT_NUMBER_SIZE];
    printf("%s: %" PRIu64 " of %" PRIu64 " chunks, %s events\n",
           trace_reader_complete(reader) ? "complete" : "not complete",
           reader->known_chunks - trace_reader_lost_chunks(reader), reader->known_chunks, out_count(count, events));
    for (size_t i = 0; i < reader->problem_count; i++)
        printf("  %s%s%s\n", out_color(OUT_WARNING), (const char *)reader->problems[i].data, out_color(OUT_PLAIN));
    if (reader->problems_left_out > 0)
        printf("  and %" PRIu64 " problems more\n", reader->problems_left_out);
    out_snapshots_problems(snapshots);
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    struct graph_snapshots snapshots = {0};
    int status = report_operand(&command_verify, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    status = report_load_stacks(&report);
    if (status == EXIT_DONE)
        status = report_load_objects(&report);
    if (status == EXIT_DONE)
        status = report_replay(&report, false);
    if (status == EXIT_DONE)
        status = report_load_snapshots(&report, &snapshots);
    if (status == EXIT_DONE) {
        read_rest(report.reader);
        report_warn(&report);
        out_begin(!as_json);
        uint64_t events = report.lifetimes->now.allocations + report.lifetimes->now.frees;
        if (as_json)
            print_json(report.reader, events, &snapshots);
        else
            print_text(report.reader, events, &snapshots);
        status = out_end();
        if (status == EXIT_DONE && !trace_reader_complete(report.reader))
            status = EXIT_UNUSABLE;
    }
    graph_snapshots_free(&snapshots);
    report_close(&report);
    return status;
}

const struct command command_verify = {
    .name = "verify",
    .synopsis = "[OPTION...] TRACE",
    .summary = "is this file whole, and what is missing",
    .description =
        "Reads all of a trace, compares its checksums and counts, and says what is missing. The exit status is "
        "0 when the file is whole, and 3 when it is not.\n"
        "\n"
        "A file that was cut off or damaged loses the chunks concerned, and all commands use the others. A "
        "program that was killed does not make its trace incomplete; a recorder that was killed does. Nor does a "
        "snapshot that did not come to its end, which is named, with what went wrong.",
    .examples = "$ heapsake verify app.hsk\n"
                "one line, and one for each problem\n"
                "$ heapsake verify --json app.hsk | jq .damaged_chunks\n"
                "how many chunks are lost",
    .options = options,
    .run = run,
};
