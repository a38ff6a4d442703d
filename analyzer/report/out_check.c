/* out_check.c - see out_check.h */
#include "report/out_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "report/out_json.h"
#include "report/out_leaks.h"
#include "report/out_text.h"
#include "report/source_path.h"

#define TEXT_FRAMES 12
#define DETAIL_FRAMES 24
#define ANNOTATION_MAX_BYTES 4000u

static const struct stacks *stacks_of(const struct verdict *verdict)
{
    return verdict->measured->report.stacks;
}

void out_check_limit(const struct limit *limit, FILE *to)
{
    char text[OUT_NUMBER_SIZE];
    const char *before = " of cause ";
    bool growth = limit->rule == LIMIT_MAX_GROWTH_PER;
    if (limit->region && !growth) {
        out_untrusted(to, limit->region, strlen(limit->region));
        fputc(':', to);
    }
    fputs(limit_rule_names[limit->rule], to);
    switch (limit->rule) {
    case LIMIT_MAX_GROWTH_PER:
        fputc(' ', to);
        out_untrusted(to, limit->region, strlen(limit->region));
        fprintf(to, ":%s", limit->text);
        break;
    case LIMIT_MAX_ALLOCATIONS:
        fprintf(to, " %s", out_count(text, limit->most));
        break;
    case LIMIT_TOLERANCE:
        fprintf(to, " %g %%", limit->percent);
        break;
    case LIMIT_NO_LEAKS:
        for (int cause = LEAK_UNKNOWN + 1; cause < LEAK_CAUSES; cause++) {
            if (!(limit->causes & 1u << cause) || limit->causes == LIMIT_ALL_CAUSES)
                continue;
            fprintf(to, "%s%s", before, leak_cause_names[cause]);
            before = ", ";
        }
        break;
    case LIMIT_NO_NEW_LEAKS:
        break;
    default:
        fprintf(to, " %s", limit->text);
    }
}

/* --- text --- */

static void print_site(const struct verdict *verdict, const struct violation *violation,
                       const struct violation_place *place)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    const char *what = strcmp(violation->measure, "allocations") == 0 ? "allocation" : "block";
    printf("\n    %s%s%s in %s %s%s at\n", out_color(OUT_NUMBER), out_bytes(bytes, place->bytes), out_color(OUT_PLAIN),
           out_count(count, place->count), what, place->count == 1 ? "" : "s");
    out_stack(stacks_of(verdict), place->stack, 8, TEXT_FRAMES);
}

static void print_violation(const struct verdict *verdict, const struct violation *violation)
{
    printf("\n%s%s%s  ", out_color(OUT_WARNING), limit_rule_names[violation->limit->rule], out_color(OUT_PLAIN));
    out_untrusted(stdout, (const char *)violation->message.data, violation->message.length);
    putchar('\n');
    for (unsigned i = 0; i < violation->place_count; i++) {
        const struct violation_place *place = &violation->places[i];
        if (place->leak)
            out_leak(place->leak, stacks_of(verdict), TEXT_FRAMES);
        else
            print_site(verdict, violation, place);
    }
}

static void print_passed(const struct verdict *verdict, const struct limit *limit)
{
    char text[OUT_NUMBER_SIZE];
    uint64_t actual;
    bool count = limit->rule == LIMIT_MAX_ALLOCATIONS || limit->measure != MARK_BYTES;
    printf("    ");
    out_check_limit(limit, stdout);
    if (verdict_actual(verdict, limit, &actual))
        printf(": %s", count ? out_count(text, actual) : out_bytes(text, actual));
    putchar('\n');
}

void out_check_text(const struct verdict *verdict)
{
    const struct measured *measured = verdict->measured;
    const struct limits *limits = verdict->limits;
    char bytes[OUT_NUMBER_SIZE];
    size_t passed = 0;
    for (size_t i = 0; i < limits->count; i++)
        passed += verdict_violations(verdict, &limits->list[i]) == 0;
    if (verdict->count == 0)
        out_heading("Passed: %zu limit%s", passed, passed == 1 ? "" : "s");
    else
        out_heading("Failed: %zu violation%s of %zu limit%s", verdict->count, verdict->count == 1 ? "" : "s",
                    limits->count - passed, limits->count - passed == 1 ? "" : "s");
    for (size_t i = 0; i < verdict->count; i++)
        print_violation(verdict, &verdict->list[i]);
    if (passed > 0 && verdict->count > 0)
        printf("\nPassed:\n");
    for (size_t i = 0; i < limits->count; i++)
        if (verdict_violations(verdict, &limits->list[i]) == 0)
            print_passed(verdict, &limits->list[i]);
    if (measured->suppressed > 0)
        printf("\nSuppressed: %" PRIu64 " leak%s, of together %s\n", measured->suppressed,
               measured->suppressed == 1 ? "" : "s", out_bytes(bytes, measured->suppressed_bytes));
    if (verdict->still_there > 0)
        printf("\n%zu leak%s of the baseline %s not told of this run, but as much is alive at %s place%s: keep %s\n",
               verdict->still_there, verdict->still_there == 1 ? "" : "s", verdict->still_there == 1 ? "is" : "are",
               verdict->still_there == 1 ? "its" : "their", verdict->still_there == 1 ? "" : "s",
               verdict->still_there == 1 ? "it" : "them");
    if (verdict->gone > 0)
        printf("\n%zu leak%s of the baseline %s gone: --write-baseline takes %s out\n", verdict->gone,
               verdict->gone == 1 ? "" : "s", verdict->gone == 1 ? "is" : "are", verdict->gone == 1 ? "it" : "them");
}

/* --- plain text, for what others show --- */

static void tell_line(const char *before, const char *line, FILE *to)
{
    if (!line)
        return;
    fputs(before, to);
    out_untrusted(to, line, strlen(line));
    fputc('\n', to);
}

static void tell_leak(const struct leak *leak, FILE *to)
{
    fprintf(to, "confidence %.2f\n", leak->confidence);
    tell_line("", leak->explanation, to);
    tell_line("", leak->advice, to);
    for (unsigned i = 0; i < leak->fact_count; i++)
        if (strcmp(leak->facts[i].key, "pattern") == 0)
            tell_line("cycle ", leak->facts[i].text, to);
    for (size_t i = 0; i < leak->why_count; i++) {
        fputs(i == 0 ? "kept by " : " → ", to);
        out_untrusted(to, leak->why[i], strlen(leak->why[i]));
    }
    if (leak->why_count > 0)
        fputc('\n', to);
}

/* As out_frame(), without colors. */
static void tell_frame(const struct frame *frame, FILE *to)
{
    if (frame->function.bytes)
        out_untrusted(to, frame->function.bytes, frame->function.length);
    else
        fputs("unknown", to);
    struct text where = frame->file.bytes ? frame->file : out_base_name(frame->module);
    if (!where.bytes)
        return;
    fputs(frame->file.bytes ? "  " : "  in ", to);
    out_untrusted(to, where.bytes, where.length);
    if (frame->file.bytes && frame->line)
        fprintf(to, ":%" PRIu32, frame->line);
}

static void tell_stack(const struct stacks *stacks, uint32_t stack, FILE *to)
{
    unsigned shown = 0;
    for (; stack != 0 && shown < DETAIL_FRAMES; stack = stacks_caller(stacks, stack), shown++) {
        struct frame frame = stacks_frame(stacks, stack);
        fputs("    ", to);
        tell_frame(&frame, to);
        fputc('\n', to);
    }
    if (stack != 0)
        fputs("    ...\n", to);
    if (shown == 0)
        fputs("    (no stack)\n", to);
}

void out_check_details(const struct verdict *verdict, const struct violation *violation, FILE *to)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE];
    for (unsigned i = 0; i < violation->place_count; i++) {
        const struct violation_place *place = &violation->places[i];
        if (!place->leak || violation->place_count > 1)
            fprintf(to, "%s in %s:\n", out_bytes(bytes, place->bytes), out_count(count, place->count));
        if (place->leak)
            tell_leak(place->leak, to);
        if (place->leak && place->leak->culprit && place->leak->culprit != place->stack) {
            struct frame frame = stacks_frame(stacks_of(verdict), place->leak->culprit);
            fputs(place->leak->watched ? "culprit " : "suspect ", to);
            tell_frame(&frame, to);
            fputc('\n', to);
        }
        fputs("allocated at\n", to);
        tell_stack(stacks_of(verdict), place->stack, to);
    }
}

/* --- JSON --- */

/* The keys of a frame, in an object that has more. */
static void put_frame_keys(struct json *json, const struct stacks *stacks, uint32_t stack)
{
    struct frame frame = stack ? stacks_frame(stacks, stack) : (struct frame){0};
    const struct {
        const char *key;
        struct text text;
    } texts[] = {{"function", frame.function}, {"file", frame.file}, {"module", frame.module}};
    for (size_t i = 0; i < HS_COUNT_OF(texts); i++) {
        if (texts[i].text.bytes)
            put_bytes(json, texts[i].key, texts[i].text.bytes, texts[i].text.length);
        else
            put_null(json, texts[i].key);
    }
    if (frame.line)
        put_unsigned(json, "line", frame.line);
    else
        put_null(json, "line");
    put_string(json, "language", stack == 0 ? NULL : frame.language == FRAME_PYTHON ? "python" : "native");
}

static void put_place(struct json *json, const char *key, const struct verdict *verdict,
                      const struct violation_place *place)
{
    const struct leak *leak = place->leak;
    open_object(json, key);
    put_frame_keys(json, stacks_of(verdict), place->look_at);
    put_unsigned(json, "count", place->count);
    put_unsigned(json, "bytes", place->bytes);
    put_string(json, "cause", leak ? leak_cause_names[leak->cause] : NULL);
    put_string(json, "type", leak ? leak->type : NULL);
    if (leak) {
        put_number(json, "confidence", leak->confidence);
        put_string(json, "explanation", leak->explanation);
        open_array(json, "why");
        for (size_t i = 0; i < leak->why_count; i++)
            put_string(json, NULL, leak->why[i]);
        close_array(json);
    }
    put_stack(json, "stack", stacks_of(verdict), place->stack);
    close_object(json);
}

/* Which part of the run a limit is of. */
static void put_part(struct json *json, const struct limit *limit)
{
    bool growth = limit->rule == LIMIT_MAX_GROWTH_PER;
    put_string(json, "region", growth ? NULL : limit->region);
    put_string(json, "mark", growth ? limit->region : NULL);
}

static void put_violation(struct json *json, const struct verdict *verdict, const struct violation *violation)
{
    open_object(json, NULL);
    put_string(json, "rule", limit_rule_names[violation->limit->rule]);
    put_part(json, violation->limit);
    if (violation->region)
        put_unsigned(json, "occurrence", violation->region->number);
    else
        put_null(json, "occurrence");
    put_string(json, "measure", violation->measure);
    put_unsigned(json, "limit", violation->most);
    put_unsigned(json, "actual", violation->actual);
    put_bytes(json, "message", (const char *)violation->message.data, violation->message.length);
    if (violation->place_count > 0)
        put_place(json, "where", verdict, &violation->places[0]);
    else
        put_null(json, "where");
    open_array(json, "also");
    for (unsigned i = 1; i < violation->place_count; i++)
        put_place(json, NULL, verdict, &violation->places[i]);
    close_array(json);
    close_object(json);
}

/* A limit's own number: bytes, a count, percent, or the causes that are not allowed. */
static void put_limit_value(struct json *json, const struct limit *limit)
{
    switch (limit->rule) {
    case LIMIT_TOLERANCE:
        put_number(json, "limit", limit->percent);
        break;
    case LIMIT_NO_LEAKS:
        open_array(json, "limit");
        for (int cause = LEAK_UNKNOWN + 1; cause < LEAK_CAUSES; cause++)
            if (limit->causes & 1u << cause)
                put_string(json, NULL, leak_cause_names[cause]);
        close_array(json);
        break;
    case LIMIT_NO_NEW_LEAKS:
        put_null(json, "limit");
        break;
    default:
        put_unsigned(json, "limit", limit->most);
    }
    if (limit->rule == LIMIT_MAX_GROWTH_PER)
        put_string(json, "unit", mark_measure_names[limit->measure]);
}

void out_check_json(const struct verdict *verdict, FILE *to)
{
    const struct baseline *state = &verdict->measured->state;
    struct json json = JSON_INIT(to);
    open_object(&json, NULL);
    put_bool(&json, "passed", verdict->count == 0);
    put_string(&json, "program", state->program);
    open_array(&json, "violations");
    for (size_t i = 0; i < verdict->count; i++)
        put_violation(&json, verdict, &verdict->list[i]);
    close_array(&json);
    open_array(&json, "limits");
    for (size_t i = 0; i < verdict->limits->count; i++) {
        const struct limit *limit = &verdict->limits->list[i];
        uint64_t actual;
        open_object(&json, NULL);
        put_string(&json, "rule", limit_rule_names[limit->rule]);
        put_part(&json, limit);
        put_limit_value(&json, limit);
        if (verdict_actual(verdict, limit, &actual))
            put_unsigned(&json, "actual", actual);
        else
            put_null(&json, "actual");
        put_bool(&json, "passed", verdict_violations(verdict, limit) == 0);
        close_object(&json);
    }
    close_array(&json);
    open_object(&json, "measured");
    put_unsigned(&json, "peak_bytes", state->peak);
    put_unsigned(&json, "live_bytes", state->live);
    put_unsigned(&json, "allocations", state->allocations);
    if (verdict->measured->has_leaks)
        put_unsigned(&json, "leaked_bytes", state->leaked);
    else
        put_null(&json, "leaked_bytes");
    close_object(&json);
    open_object(&json, "suppressed");
    put_unsigned(&json, "count", verdict->measured->suppressed);
    put_unsigned(&json, "bytes", verdict->measured->suppressed_bytes);
    close_object(&json);
    if (verdict->has_baseline)
        put_unsigned(&json, "gone", verdict->gone);
    else
        put_null(&json, "gone");
    if (verdict->has_baseline)
        put_unsigned(&json, "still_there", verdict->still_there);
    else
        put_null(&json, "still_there");
    close_object(&json);
    put_end(&json);
}

/* --- GitHub workflows --- */

/*
 * ::error file=...,line=...,title=...::message, as GitHub documents "workflow commands": %, CR and LF are written as
 * %25, %0D and %0A, in a property : and , too. Other control characters, and what is no UTF-8, as \xNN.
 */
static void put_escaped(FILE *to, const char *bytes, size_t length, bool property)
{
    for (size_t at = 0; at < length;) {
        size_t step = utf8_length(bytes + at, length - at);
        char c = bytes[at];
        if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ',')))
            fprintf(to, "%%%02X", (unsigned char)c);
        else if (step == 0 || utf8_is_control(bytes + at, step))
            fprintf(to, "\\x%02x", (unsigned char)c);
        else
            fwrite(bytes + at, 1, step, to);
        at += step ? step : 1;
    }
}

/* At most `most` bytes of it, and no half character. */
static size_t cut(const char *bytes, size_t length, size_t most)
{
    size_t end = 0;
    while (end < length) {
        size_t step = utf8_length(bytes + end, length - end);
        step = step ? step : 1;
        if (end + step > most)
            break;
        end += step;
    }
    return end;
}

static void annotate(const struct verdict *verdict, const struct violation *violation, FILE *to)
{
    struct buf path = BUF_INIT;
    struct frame frame = {0};
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (!memory)
        return;
    if (violation_look_at(violation) != 0)
        frame = stacks_frame(stacks_of(verdict), violation_look_at(violation));
    out_untrusted(memory, (const char *)violation->message.data, violation->message.length);
    fputc('\n', memory);
    out_check_details(verdict, violation, memory);
    fputs("::error ", to);
    if (source_path(&path, &frame, verdict->measured->report.info.working_directory)) {
        fputs("file=", to);
        put_escaped(to, (const char *)path.data, cut((const char *)path.data, path.length, ANNOTATION_MAX_BYTES), true);
        if (frame.line)
            fprintf(to, ",line=%" PRIu32, frame.line);
        fputc(',', to);
    }
    fprintf(to, "title=heapsake %s::", limit_rule_names[violation->limit->rule]);
    if (fclose(memory) == 0)
        put_escaped(to, text, cut(text, length, ANNOTATION_MAX_BYTES), false);
    fputc('\n', to);
    free(text);
    buf_free(&path);
}

void out_check_annotations(const struct verdict *verdict, FILE *to)
{
    for (size_t i = 0; i < verdict->count; i++)
        annotate(verdict, &verdict->list[i], to);
}
