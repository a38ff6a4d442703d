/* out_sarif.c - a verdict as SARIF 2.1.0 (OASIS), which code hosts show beside the lines; see out_check.h */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/out_check.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/source_path.h"

#define SCHEMA "https://json.schemastore.org/sarif-2.1.0.json"
#define STACK_FRAMES 32u

static const char *const rule_texts[LIMIT_RULES] = {
    [LIMIT_MAX_PEAK] = "More memory was alive at once than allowed",
    [LIMIT_MAX_LIVE] = "More memory was alive at the end than allowed",
    [LIMIT_MAX_LEAKED] = "More memory leaked than allowed",
    [LIMIT_MAX_ALLOCATIONS] = "More allocations were made than allowed",
    [LIMIT_NO_LEAKS] = "Memory leaked",
    [LIMIT_NO_NEW_LEAKS] = "Memory leaked where the baseline knows of no leak",
    [LIMIT_TOLERANCE] = "More memory was used than the baseline's, and the tolerance",
    [LIMIT_MAX_GROWTH_PER] = "More memory stayed per occurrence of a mark than allowed",
};

static void put_message(struct json *json, const char *key, const char *bytes, size_t length)
{
    open_object(json, key);
    put_bytes(json, "text", bytes, length);
    close_object(json);
}

/* Made harmless first: a viewer shows it in a terminal, or as Markdown would. */
static void put_untrusted(struct json *json, const char *key, const char *bytes, size_t length)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (memory) {
        out_untrusted(memory, bytes, length);
        if (fclose(memory) == 0)
            put_message(json, key, text, size);
    }
    free(text);
}

/* physicalLocation, where the frame has a file, and logicalLocations, its function. */
static void put_location(struct json *json, const char *key, const struct frame *frame, const char *folder)
{
    struct buf uri = BUF_INIT;
    open_object(json, key);
    if (source_uri(&uri, frame, folder)) {
        open_object(json, "physicalLocation");
        open_object(json, "artifactLocation");
        put_bytes(json, "uri", (const char *)uri.data, uri.length);
        close_object(json);
        if (frame->line) {
            open_object(json, "region");
            put_unsigned(json, "startLine", frame->line);
            close_object(json);
        }
        close_object(json);
    }
    if (frame->function.bytes) {
        open_array(json, "logicalLocations");
        open_object(json, NULL);
        put_bytes(json, "fullyQualifiedName", frame->function.bytes, frame->function.length);
        put_string(json, "kind", "function");
        close_object(json);
        close_array(json);
    }
    close_object(json);
    buf_free(&uri);
}

static void put_stacks(struct json *json, const struct verdict *verdict, const struct violation *violation)
{
    const struct stacks *stacks = verdict->measured->report.stacks;
    const char *folder = verdict->measured->report.info.working_directory;
    bool some = false;
    for (unsigned i = 0; i < violation->place_count; i++)
        some |= violation->places[i].stack != 0;
    if (!some)
        return;
    open_array(json, "stacks");
    for (unsigned i = 0; i < violation->place_count; i++) {
        uint32_t stack = violation->places[i].stack;
        if (stack == 0)
            continue;
        open_object(json, NULL);
        put_message(json, "message", "allocated at", strlen("allocated at"));
        open_array(json, "frames");
        for (unsigned shown = 0; stack != 0 && shown < STACK_FRAMES; stack = stacks_caller(stacks, stack), shown++) {
            struct frame frame = stacks_frame(stacks, stack);
            open_object(json, NULL);
            put_location(json, "location", &frame, folder);
            if (frame.module.bytes)
                put_bytes(json, "module", frame.module.bytes, frame.module.length);
            close_object(json);
        }
        close_array(json);
        close_object(json);
    }
    close_array(json);
}

/* The same for the same leak when its lines have moved: what a code host knows a result by. */
static void put_fingerprint(struct json *json, const struct verdict *verdict, const struct violation *violation)
{
    const struct violation_place *place = &violation->places[0];
    struct leak_site site;
    struct buf text = BUF_INIT;
    if (leak_site_of(&site, verdict->measured->report.stacks, place->stack) != 0)
        return;
    if (violation->limit->region) {
        leak_site_append_name(&text, violation->limit->region, strlen(violation->limit->region));
        buf_append_byte(&text, ' ');
    }
    if (place->leak)
        buf_printf(&text, "%s ", leak_cause_names[place->leak->cause]);
    if (place->leak && place->leak->type) {
        leak_site_append_name(&text, place->leak->type, strlen(place->leak->type));
        buf_append_byte(&text, ' ');
    }
    buf_append(&text, site.text, strlen(site.text));
    open_object(json, "partialFingerprints");
    put_bytes(json, "heapsakeSite/v1", (const char *)text.data, text.length);
    close_object(json);
    free(site.text);
    buf_free(&text);
}

static bool has_file(const struct frame *frame, const char *folder)
{
    struct buf uri = BUF_INIT;
    bool has = source_uri(&uri, frame, folder);
    buf_free(&uri);
    return has;
}

static void put_result(struct json *json, const struct verdict *verdict, const struct violation *violation,
                       const char *trace)
{
    const struct report *report = &verdict->measured->report;
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    open_object(json, NULL);
    put_string(json, "ruleId", limit_rule_names[violation->limit->rule]);
    put_unsigned(json, "ruleIndex", violation->limit->rule);
    put_string(json, "level", "error");
    if (memory) {
        out_untrusted(memory, (const char *)violation->message.data, violation->message.length);
        fputc('\n', memory);
        out_check_details(verdict, violation, memory);
        if (fclose(memory) == 0)
            put_message(json, "message", text, length);
    }
    free(text);
    open_array(json, "locations");
    struct frame frame = {0};
    if (violation_look_at(violation) != 0)
        frame = stacks_frame(report->stacks, violation_look_at(violation));
    if (!has_file(&frame, report->info.working_directory)) /* code hosts refuse a result without one */
        frame = (struct frame){.language = FRAME_NATIVE, .file = {trace, strlen(trace)}};
    put_location(json, NULL, &frame, report->info.working_directory);
    close_array(json);
    put_stacks(json, verdict, violation);
    if (violation->place_count > 0)
        put_fingerprint(json, verdict, violation);
    close_object(json);
}

static void put_tool(struct json *json)
{
    open_object(json, "tool");
    open_object(json, "driver");
    put_string(json, "name", "heapsake");
    put_string(json, "version", HEAPSAKE_VERSION);
    open_array(json, "rules");
    for (int rule = 0; rule < LIMIT_RULES; rule++) {
        open_object(json, NULL);
        put_string(json, "id", limit_rule_names[rule]);
        put_message(json, "shortDescription", rule_texts[rule], strlen(rule_texts[rule]));
        close_object(json);
    }
    close_array(json);
    close_object(json);
    close_object(json);
}

static void put_invocation(struct json *json, const struct verdict *verdict, const char *trace)
{
    static const char failed[] = "could not be checked: see what heapsake check said";
    open_array(json, "invocations");
    open_object(json, NULL);
    put_bool(json, "executionSuccessful", verdict != NULL);
    if (!verdict) {
        open_array(json, "toolExecutionNotifications");
        open_object(json, NULL);
        put_string(json, "level", "error");
        put_message(json, "message", failed, strlen(failed));
        close_object(json);
        close_array(json);
    }
    open_object(json, "properties");
    put_untrusted(json, "trace", trace, strlen(trace));
    close_object(json);
    close_object(json);
    close_array(json);
}

void out_check_sarif(const struct verdict *verdict, const char *trace, FILE *to)
{
    struct json json = JSON_INIT(to);
    open_object(&json, NULL);
    put_string(&json, "$schema", SCHEMA);
    put_string(&json, "version", "2.1.0");
    open_array(&json, "runs");
    open_object(&json, NULL);
    put_tool(&json);
    put_invocation(&json, verdict, trace);
    open_array(&json, "results");
    for (size_t i = 0; verdict && i < verdict->count; i++)
        put_result(&json, verdict, &verdict->list[i], trace);
    close_array(&json);
    close_object(&json);
    close_array(&json);
    close_object(&json);
    put_end(&json);
}
