/* cmd_dump.c - `heapsake dump`: the events of a trace, as text or JSON lines. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "model/mark_table.h"
#include "report/dump_graph.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report.h"
#include "trace/decode.h"
#include "trace/mark_records.h"
#include "trace/watch_records.h"

static bool as_json, with_stacks;
static double from_seconds = 0, to_seconds = -1;
static int64_t snapshot_number = -1;

static const struct option options[] = {
    {.name = "from",
     .kind = OPTION_SECONDS,
     .value_name = "T",
     .value = &from_seconds,
     .help = "begin at T seconds after the start"},
    {.name = "to", .kind = OPTION_SECONDS, .value_name = "T", .value = &to_seconds, .help = "end at T seconds"},
    {.name = "stacks",
     .kind = OPTION_FLAG,
     .value = &with_stacks,
     .help = "whole stacks, not the innermost frame only"},
    {.name = "snapshot",
     .kind = OPTION_INTEGER,
     .value_name = "N",
     .value = &snapshot_number,
     .help = "the nodes and edges of snapshot N instead of events"},
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document a line"},
    {0},
};

struct dump {
    struct report *report;
    struct mark_table marks;
    uint64_t from_ns, to_ns;
};

static uint64_t nanoseconds(double seconds)
{
    return seconds < 1.8e10 ? (uint64_t)(seconds * 1e9 + 0.5) : UINT64_MAX;
}

static const char *event_name(const struct event *event)
{
    switch (event->kind) {
    case HSK_OP_ALLOC:
        return "alloc";
    case HSK_OP_MARK:
        return "mark";
    case HSK_OP_OBJECT:
        return "birth";
    case HSK_OP_OBJECT_END:
        return "death";
    case HSK_OP_COUNT:
        return "count";
    default:
        return "free";
    }
}

static const char *type_text(const struct dump *dump, const struct event *event)
{
    return type_names_text(&dump->report->type_names, type_names_find(&dump->report->type_names, event->type));
}

static void dump_json_stack(const struct dump *dump, struct json *json, uint32_t node)
{
    uint32_t stack = stacks_of_node(dump->report->stacks, node);
    put_unsigned(json, "node", node);
    if (with_stacks) {
        put_stack(json, "stack", dump->report->stacks, stack);
    } else if (stack) {
        struct frame frame = stacks_frame(dump->report->stacks, stack);
        put_frame(json, "frame", &frame);
    } else {
        put_null(json, "frame");
    }
}

/* Where an object was born, or that its block says it. */
static void dump_json_birth(const struct dump *dump, struct json *json, const struct event *event)
{
    put_unsigned(json, "ordinal", event->ordinal);
    put_string(json, "type", type_text(dump, event));
    put_bool(json, "same_stack", event->same_stack);
    if (!event->same_stack)
        dump_json_stack(dump, json, event->node);
}

/* The count of a watch says what it was before in the watch's former events. */
static void dump_json_count(const struct dump *dump, struct json *json, const struct event *event)
{
    put_string(json, "source", count_source_name(event->source));
    put_unsigned(json, "count", event->count);
    if (event->source == HSK_COUNT_WATCH) {
        put_unsigned(json, "watch", event->watch);
    } else {
        put_bool(json, "down", event->down);
        if (event->loose) {
            put_address(json, "address", event->address);
            put_string(json, "type", type_text(dump, event));
        } else {
            put_unsigned(json, "ordinal", event->ordinal);
        }
    }
    dump_json_stack(dump, json, event->node);
}

static bool mark_of_region(const struct event *event)
{
    return event->mark == HSK_MARK_REGION_BEGIN || event->mark == HSK_MARK_REGION_END;
}

/* The name of a NAMED mark or of a region; `occurrence` is NULL when that is not described, or not a region's. */
static uint32_t mark_name(const struct dump *dump, const struct event *event, const struct mark_occurrence **occurrence)
{
    *occurrence = mark_of_region(event) ? mark_table_occurrence(&dump->marks, event->mark_number) : NULL;
    return *occurrence ? (*occurrence)->name : mark_table_name(&dump->marks, event->mark_number);
}

static void dump_json_mark(const struct dump *dump, struct json *json, const struct event *event)
{
    const struct mark_occurrence *occurrence;
    uint32_t name = mark_name(dump, event, &occurrence);
    put_string(json, "mark", mark_kind_name(event->mark));
    if (mark_of_region(event))
        put_unsigned(json, "occurrence", event->mark_number);
    if (event->mark == HSK_MARK_REGION_BEGIN)
        put_bool(json, "all_threads", occurrence && occurrence->flags & HSK_REGION_ALL_THREADS);
    if (mark_of_region(event) || event->mark == HSK_MARK_NAMED) {
        size_t length;
        const char *text = mark_table_text(&dump->marks, name, &length);
        if (name)
            put_bytes(json, "name", text, length);
        else
            put_null(json, "name");
    }
}

/* `block`: of a FREE, the block that it ends; NULL when it is not known. */
static void dump_json(const struct dump *dump, const struct event *event, const struct life_block *block)
{
    struct json json = {.out = stdout, .compact = true};
    open_object(&json, NULL);
    put_seconds(&json, "time", event->time_ns);
    put_unsigned(&json, "thread", event->thread);
    put_string(&json, "event", event_name(event));
    if (event->kind == HSK_OP_MARK) {
        dump_json_mark(dump, &json, event);
    } else if (event->kind == HSK_OP_COUNT) {
        dump_json_count(dump, &json, event);
    } else if (event->kind == HSK_OP_OBJECT) {
        dump_json_birth(dump, &json, event);
    } else if (event->kind == HSK_OP_OBJECT_END) {
        put_unsigned(&json, "ordinal", event->ordinal);
    } else if (event->kind == HSK_OP_FREE_UNKNOWN) {
        put_null(&json, "ordinal");
        put_address(&json, "address", event->address);
        put_null(&json, "size");
        put_string(&json, "domain", out_domain_names[event->domain]);
    } else if (event->kind == HSK_OP_FREE && !block) {
        put_unsigned(&json, "ordinal", event->ordinal);
        put_null(&json, "address");
        put_null(&json, "size");
        put_null(&json, "domain");
        put_bool(&json, "realloc", event->is_realloc);
    } else {
        bool alloc = event->kind == HSK_OP_ALLOC;
        put_unsigned(&json, "ordinal", event->ordinal);
        put_address(&json, "address", alloc ? event->address : block->address);
        put_unsigned(&json, "size", alloc ? event->size : life_block_size(block));
        put_string(&json, "domain", out_domain_names[alloc ? event->domain : life_block_domain(block)]);
        put_bool(&json, "realloc", event->is_realloc);
        if (!alloc)
            put_seconds(&json, "lifetime", event->time_ns > block->time_ns ? event->time_ns - block->time_ns : 0);
        if (alloc)
            dump_json_stack(dump, &json, event->node);
    }
    close_object(&json);
    put_end(&json);
}

static void dump_text_stack(const struct dump *dump, uint32_t node)
{
    uint32_t stack = stacks_of_node(dump->report->stacks, node);
    if (with_stacks) {
        putchar('\n');
        out_stack(dump->report->stacks, stack, 20, 0);
    } else if (stack) {
        struct frame frame = stacks_frame(dump->report->stacks, stack);
        out_frame(stdout, &frame);
        putchar('\n');
    } else {
        puts("(no stack)");
    }
}

static void dump_text_object(const struct dump *dump, const struct event *event)
{
    if (event->kind == HSK_OP_OBJECT_END) {
        printf(" #%" PRIu64 "\n", event->ordinal);
        return;
    }
    printf(" #%-10" PRIu64 " ", event->ordinal);
    const char *type = type_text(dump, event);
    out_untrusted(stdout, type, strlen(type));
    if (event->same_stack) {
        putchar('\n');
    } else {
        fputs(", ", stdout);
        dump_text_stack(dump, event->node);
    }
}

static void dump_text_count(const struct dump *dump, const struct event *event)
{
    if (event->source == HSK_COUNT_WATCH)
        printf(" watch %-5" PRIu32 " is %-10" PRIu64 " ", event->watch, event->count);
    else if (event->loose)
        printf(" 0x%012" PRIx64 " %s to %" PRIu64 " (%s) ", event->address, event->down ? "down" : "up", event->count,
               count_source_name(event->source));
    else
        printf(" #%-10" PRIu64 " %s to %" PRIu64 " (%s) ", event->ordinal, event->down ? "down" : "up", event->count,
               count_source_name(event->source));
    dump_text_stack(dump, event->node);
}

static void dump_text_mark(const struct dump *dump, const struct event *event)
{
    const struct mark_occurrence *occurrence;
    uint32_t name = mark_name(dump, event, &occurrence);
    if (event->mark != HSK_MARK_NAMED)
        printf(" %s", mark_kind_name(event->mark));
    if (mark_of_region(event))
        printf(" %" PRIu64 "%s", event->mark_number,
               occurrence && occurrence->flags & HSK_REGION_ALL_THREADS ? ", all threads:" : ":");
    if (mark_of_region(event) || event->mark == HSK_MARK_NAMED) {
        size_t length;
        const char *text = mark_table_text(&dump->marks, name, &length);
        putchar(' ');
        out_untrusted(stdout, text, length);
    }
    putchar('\n');
}

static void dump_text(const struct dump *dump, const struct event *event, const struct life_block *block)
{
    printf("%12.6f  t%-3" PRIu32 " %-5s", (double)event->time_ns / 1e9, event->thread, event_name(event));
    if (event->kind == HSK_OP_MARK) {
        dump_text_mark(dump, event);
    } else if (event->kind == HSK_OP_COUNT) {
        dump_text_count(dump, event);
    } else if (event->kind >= HSK_OP_OBJECT) {
        dump_text_object(dump, event);
    } else if (event->kind == HSK_OP_FREE_UNKNOWN) {
        printf(" #?          0x%012" PRIx64 " %10s    %-9s (allocation not seen)\n", event->address, "?",
               out_domain_names[event->domain]);
    } else if (event->kind == HSK_OP_FREE && !block) {
        printf(" #%-10" PRIu64 " (allocation not in the file)\n", event->ordinal);
    } else if (event->kind == HSK_OP_FREE) {
        char lifetime[OUT_NUMBER_SIZE];
        printf(" #%-10" PRIu64 " 0x%012" PRIx64 " %10" PRIu64 " B  %-9s %slived %s\n", event->ordinal, block->address,
               life_block_size(block), out_domain_names[life_block_domain(block)], event->is_realloc ? "realloc, " : "",
               out_seconds(lifetime, event->time_ns > block->time_ns ? event->time_ns - block->time_ns : 0));
    } else {
        printf(" #%-10" PRIu64 " 0x%012" PRIx64 " %10" PRIu64 " B  %-9s %s", event->ordinal, event->address,
               event->size, out_domain_names[event->domain], event->is_realloc ? "realloc, " : "");
        dump_text_stack(dump, event->node);
    }
}

/* The events of one chunk; false: all that was asked for has been shown. */
static bool dump_chunk(const struct dump *dump, struct events *events)
{
    struct event event = {0};
    while (events_next(events, &event, true)) {
        if (event.time_ns > dump->to_ns)
            return false;
        if (event.kind == HSK_OP_TICK || event.kind == HSK_OP_THREAD)
            continue;
        if (event.time_ns >= dump->from_ns) {
            const struct life_block *block =
                event.kind == HSK_OP_FREE ? lifetimes_find(dump->report->lifetimes, event.ordinal) : NULL;
            if (as_json)
                dump_json(dump, &event, block);
            else
                dump_text(dump, &event, block);
            if (ferror(stdout))
                return false;
        }
        lifetimes_event(dump->report->lifetimes, &event);
    }
    return true;
}

/* ---- watches ---- */

static const char *watch_type(const struct dump *dump, const struct watch_record *record)
{
    return type_names_text(&dump->report->type_names, type_names_find(&dump->report->type_names, record->type));
}

static void dump_json_watch(const struct dump *dump, const struct watch_record *record)
{
    struct json json = {.out = stdout, .compact = true};
    open_object(&json, NULL);
    put_seconds(&json, "time", record->time_ns);
    put_string(&json, "event", record->ends ? "watch-end" : "watch");
    put_unsigned(&json, "watch", record->watch);
    put_unsigned(&json, "count", record->count);
    if (record->ends) {
        put_string(&json, "reason", watch_end_name(record->reason));
    } else {
        if (record->by_program)
            put_null(&json, "request");
        else
            put_unsigned(&json, "request", record->request);
        put_address(&json, "address", record->address);
        put_unsigned(&json, "bytes", record->bytes);
        if (record->in_block)
            put_unsigned(&json, "ordinal", record->ordinal);
        else
            put_null(&json, "ordinal");
        if (record->type)
            put_string(&json, "type", watch_type(dump, record));
        else
            put_null(&json, "type");
        put_bool(&json, "born", record->flags & HSK_WATCH_BORN);
        put_bool(&json, "python", record->flags & HSK_WATCH_PYTHON);
        dump_json_stack(dump, &json, record->node);
    }
    close_object(&json);
    put_end(&json);
}

static void dump_text_watch(const struct dump *dump, const struct watch_record *record)
{
    printf("%12.6f  watch %-5" PRIu32 " ", (double)record->time_ns / 1e9, record->watch);
    if (record->ends) {
        printf("ends at %" PRIu64 ": %s\n", record->count, watch_end_name(record->reason));
        return;
    }
    printf("begins at %" PRIu64 ": 0x%012" PRIx64 ", %" PRIu64 " bytes", record->count, record->address, record->bytes);
    if (record->in_block)
        printf(" in #%" PRIu64, record->ordinal);
    if (record->type) {
        const char *type = watch_type(dump, record);
        fputs(", ", stdout);
        out_untrusted(stdout, type, strlen(type));
    }
    fputs(record->flags & HSK_WATCH_BORN ? ", born at " : ", found at ", stdout);
    dump_text_stack(dump, record->node);
}

/* False: its records cannot be read. */
static bool dump_watches(const struct dump *dump, const uint8_t *raw, size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    struct watch_record record;
    while (watch_records_next(&cursor, &record)) {
        if (record.time_ns < dump->from_ns || record.time_ns > dump->to_ns)
            continue;
        if (as_json)
            dump_json_watch(dump, &record);
        else
            dump_text_watch(dump, &record);
    }
    return !cursor.failed;
}

static int dump_events(const struct dump *dump)
{
    struct trace_reader *reader = dump->report->reader;
    struct events *events = malloc(sizeof *events);
    if (!events)
        return -ENOMEM;
    for (size_t i = 0; i < reader->chunk_count && !dump->report->lifetimes->failed; i++) {
        const struct hsk_chunk_header header = reader->chunks[i].header;
        const uint8_t *raw;
        size_t length;
        const char *wrong = NULL;
        bool events_chunk = header.type == HSK_CHUNK_EVENTS, inherited = header.type == HSK_CHUNK_INHERITED;
        bool watches = header.type == HSK_CHUNK_WATCHES;
        if ((!events_chunk && !inherited && !watches) || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (inherited) {
            if (!lifetimes_inherit(dump->report->lifetimes, raw, length))
                wrong = "its blocks cannot be read";
        } else if (watches) {
            if (!dump_watches(dump, raw, length))
                wrong = "its records cannot be read";
        } else if (events_begin(events, &header, raw, length, &wrong)) {
            if (!dump_chunk(dump, events))
                break;
        }
        if (wrong)
            trace_reader_damaged(reader, i, wrong);
    }
    free(events);
    return dump->report->lifetimes->failed ? -ENOMEM : 0;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    int status = report_operand(&command_dump, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    if (snapshot_number >= 0) {
        status = dump_graph(&report, snapshot_number, as_json);
    } else if ((status = report_load_stacks(&report)) == EXIT_DONE &&
               (status = report_load_objects(&report)) == EXIT_DONE) {
        struct dump dump = {.report = &report,
                            .from_ns = nanoseconds(from_seconds),
                            .to_ns = to_seconds >= 0 ? nanoseconds(to_seconds) : UINT64_MAX};
        struct error error = {0};
        int code = mark_table_load(&dump.marks, report.reader, &error);
        if (code == 0) {
            out_begin(!as_json);
            code = dump_events(&dump);
            status = out_end();
            report_warn(&report);
        }
        mark_table_free(&dump.marks);
        if (code != 0) {
            message_print("%s: out of memory", path);
            status = EXIT_UNUSABLE;
        }
    }
    report_close(&report);
    return status;
}

const struct command command_dump = {
    .name = "dump",
    .synopsis = "[OPTION...] TRACE",
    .summary = "the events of a trace, as text or JSON lines",
    .description =
        "Prints every event in order: its time in seconds, thread, ordinal, address, size in bytes, domain and, of "
        "an allocation, the innermost frame of its stack. An allocation keeps its ordinal for good; a free names "
        "the ordinal that it ends. Births and deaths of Python objects name the ordinal of their block, and a birth "
        "that did not come with the block its own stack. A mark has its name, a region its name and a number for each "
        "time "
        "that it was entered. A count names the watch that has seen it, or the block of the "
        "object, and what the change left. With --json each line is one JSON document.\n"
        "\n"
        "With --snapshot it prints a snapshot's graph: each node with what the analysis found of it, and its edges; "
        "those marked \"..\" do not keep their target alive. docs/GRAPH.md tells how to read it.",
    .examples = "$ heapsake dump --from 1 --to 1.01 app.hsk\n"
                "ten milliseconds of a program's life\n"
                "$ heapsake dump --json --stacks app.hsk | head -n 100\n"
                "the first hundred events for a script, with whole stacks\n"
                "$ heapsake dump --snapshot 1 app.hsk\n"
                "what refers to what in the first snapshot",
    .options = options,
    .run = run,
};
