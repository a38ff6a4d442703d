/*
 * out_pprof.c - profiles for pprof: a gzip'ed message Profile.
 *
 * Messages and field numbers are those of proto/profile.proto in github.com/google/pprof, which says what they mean. Of
 * Protocol Buffers that takes two wire types, varints and runs of bytes with their length, and both are the trace
 * format's own (buf.h); docs/ARCHITECTURE.md says why no library is used.
 *
 * Strings, functions and locations are numbered as they come up and written at the end; samples go out at once.
 *
 *   a native location   where its code lies, and a line for each function that was inlined there
 *   a Python location   one line; no address and no mapping
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/gzip_out.h"
#include "base/intern.h"
#include "report/out_text.h"
#include "report/profile_format.h"

enum { VARINT = 0, BYTES = 2 }; /* wire types */

enum profile_field {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};
enum value_type_field { VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT = 2 };
enum sample_field { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum label_field { LABEL_KEY = 1, LABEL_STR = 2 };
enum mapping_field {
    MAPPING_ID = 1,
    MAPPING_MEMORY_START = 2,
    MAPPING_MEMORY_LIMIT = 3,
    MAPPING_FILENAME = 5,
    MAPPING_BUILD_ID = 6,
    MAPPING_HAS_FUNCTIONS = 7,
    MAPPING_HAS_FILENAMES = 8,
    MAPPING_HAS_LINE_NUMBERS = 9,
    MAPPING_HAS_INLINE_FRAMES = 10,
};
enum location_field { LOCATION_ID = 1, LOCATION_MAPPING_ID = 2, LOCATION_ADDRESS = 3, LOCATION_LINE = 4 };
enum line_field { LINE_FUNCTION_ID = 1, LINE_LINE = 2 };
enum function_field { FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3, FUNCTION_FILENAME = 4 };

struct pprof {
    const struct profile *profile;
    const struct stacks *stacks;
    struct gzip_out *gzip;
    struct intern strings;              /* a number is an index of string_table, in which 0 is ""  */
    struct intern functions, locations; /* messages without their ids; a number is an id           */
    uint32_t *location;                 /* by stack: of its innermost frames; 0: not known yet                      */
    uint32_t *beyond;                   /* by stack: what is left of it without them                                */
    bool *mapped;                       /* by number of the module: a location lies in it                           */
    struct buf head, message, part, line;
    FILE *clean; /* into `text`: a string, made harmless */
    char *text;
    size_t text_length;
    bool failed;
};

/* ---- messages ---- */

static void put_tag(struct buf *message, unsigned field, unsigned wire_type)
{
    buf_append_varint(message, field << 3 | wire_type);
}

/* 0 is what a field has that is not there. */
static void put_number(struct buf *message, unsigned field, uint64_t value)
{
    if (value == 0)
        return;
    put_tag(message, field, VARINT);
    buf_append_varint(message, value);
}

static void put_part(struct buf *message, unsigned field, const struct buf *part)
{
    put_tag(message, field, BYTES);
    buf_append_string(message, part->data, part->length);
}

/* A field of the profile itself that is a message, or a string. */
static void put_out(struct pprof *p, enum profile_field field, const void *bytes, size_t length)
{
    buf_clear(&p->head);
    put_tag(&p->head, field, BYTES);
    buf_append_varint(&p->head, length);
    gzip_put(p->gzip, p->head.data, p->head.length);
    gzip_put(p->gzip, bytes, length);
}

static void put_message_out(struct pprof *p, enum profile_field field)
{
    p->failed |= p->message.failed || p->part.failed || p->line.failed;
    put_out(p, field, p->message.data, p->message.length);
}

static uint32_t number_of(struct pprof *p, struct intern *intern, const void *bytes, size_t length)
{
    uint32_t number = intern_bytes(intern, bytes, length);
    p->failed |= number == 0;
    return number;
}

/* ---- what samples refer to ---- */

static uint32_t string_of(struct pprof *p, const char *string)
{
    return string[0] ? number_of(p, &p->strings, string, strlen(string)) : 0;
}

/* What is in `clean`, which is empty again. */
static uint32_t take_clean(struct pprof *p)
{
    p->failed |= fflush(p->clean) != 0;
    uint32_t number = p->text_length ? number_of(p, &p->strings, p->text, p->text_length) : 0;
    rewind(p->clean);
    return number;
}

static uint32_t text_of(struct pprof *p, struct text text)
{
    if (text.length == 0)
        return 0;
    out_untrusted(p->clean, text.bytes, text.length);
    return take_clean(p);
}

/* A native function without a name is called by its offset, which says nothing without its module. */
static bool is_nameless(const struct frame *frame)
{
    return frame->language == FRAME_NATIVE && !frame->file.bytes && frame->module.bytes && frame->function.length > 2 &&
           memcmp(frame->function.bytes, "0x", 2) == 0;
}

static uint32_t name_of(struct pprof *p, const struct frame *frame)
{
    if (frame->function.length == 0)
        return string_of(p, "unknown");
    out_untrusted(p->clean, frame->function.bytes, frame->function.length);
    if (is_nameless(frame)) {
        struct text module = out_base_name(frame->module);
        fputs(" in ", p->clean);
        out_untrusted(p->clean, module.bytes, module.length);
    }
    return take_clean(p);
}

static uint32_t function_of(struct pprof *p, uint32_t name, uint32_t file)
{
    buf_clear(&p->line);
    put_number(&p->line, FUNCTION_NAME, name);
    put_number(&p->line, FUNCTION_SYSTEM_NAME, name);
    put_number(&p->line, FUNCTION_FILENAME, file);
    return number_of(p, &p->functions, p->line.data, p->line.length);
}

/* Adds a line to the location in `part`. */
static void add_line(struct pprof *p, uint32_t function, uint32_t line)
{
    buf_clear(&p->line);
    put_number(&p->line, LINE_FUNCTION_ID, function);
    put_number(&p->line, LINE_LINE, line);
    put_part(&p->part, LOCATION_LINE, &p->line);
}

static uint32_t take_location(struct pprof *p)
{
    p->failed |= p->part.failed || p->line.failed;
    return number_of(p, &p->locations, p->part.data, p->part.length);
}

static uint32_t location_without_stack(struct pprof *p)
{
    buf_clear(&p->part);
    add_line(p, function_of(p, string_of(p, "(no stack)"), 0), 0);
    return take_location(p);
}

/* The location of the innermost frames of a stack; *beyond: the stack without them. */
static uint32_t location_of(struct pprof *p, uint32_t stack, uint32_t *beyond)
{
    if (p->location[stack] == 0) {
        struct stack_place place = {.frames = 1};
        uint32_t at = stack;
        buf_clear(&p->part);
        if (stacks_place(p->stacks, stack, &place)) {
            put_number(&p->part, LOCATION_MAPPING_ID, place.module);
            put_number(&p->part, LOCATION_ADDRESS, place.address);
            if (place.module)
                p->mapped[place.module - 1] = true;
        }
        for (uint32_t i = 0; i < place.frames && at != 0; i++, at = stacks_caller(p->stacks, at)) {
            struct frame frame = stacks_frame(p->stacks, at);
            uint32_t name = name_of(p, &frame), file = text_of(p, frame.file);
            add_line(p, function_of(p, name, file), frame.line);
        }
        p->location[stack] = take_location(p);
        p->beyond[stack] = at;
    }
    *beyond = p->beyond[stack];
    return p->location[stack];
}

/* ---- the profile ---- */

static void put_value_type(struct pprof *p, enum profile_field field, const char *type, const char *unit)
{
    buf_clear(&p->message);
    put_number(&p->message, VALUE_TYPE_TYPE, string_of(p, type));
    put_number(&p->message, VALUE_TYPE_UNIT, string_of(p, unit));
    put_message_out(p, field);
}

/* Adds a label to the sample in `message`. */
static void add_label(struct pprof *p, const char *key, uint32_t value)
{
    buf_clear(&p->part);
    put_number(&p->part, LABEL_KEY, string_of(p, key));
    put_number(&p->part, LABEL_STR, value);
    put_part(&p->message, SAMPLE_LABEL, &p->part);
}

static void put_sample(struct pprof *p, const struct profile_sample *sample, struct buf *ids)
{
    buf_clear(ids);
    uint32_t stack = sample->site.stack;
    if (stack == 0)
        buf_append_varint(ids, location_without_stack(p));
    while (stack != 0)
        buf_append_varint(ids, location_of(p, stack, &stack));
    buf_clear(&p->message);
    put_part(&p->message, SAMPLE_LOCATION_ID, ids);
    buf_clear(&p->part);
    buf_append_varint(&p->part, sample->site.count);
    buf_append_varint(&p->part, sample->site.bytes);
    put_part(&p->message, SAMPLE_VALUE, &p->part);
    const struct leak *leak = sample->leak;
    if (leak) {
        char confidence[16];
        snprintf(confidence, sizeof confidence, "%.2f", leak->confidence);
        add_label(p, "cause", string_of(p, leak_cause_names[leak->cause]));
        if (leak->type)
            add_label(p, "type", text_of(p, (struct text){leak->type, strlen(leak->type)}));
        add_label(p, "confidence", string_of(p, confidence));
    }
    put_message_out(p, PROFILE_SAMPLE);
}

static void put_samples(struct pprof *p)
{
    struct buf ids = BUF_INIT;
    for (size_t i = 0; i < p->profile->count && !p->failed; i++)
        put_sample(p, &p->profile->samples[i], &ids);
    p->failed |= ids.failed;
    buf_free(&ids);
}

static void put_mapping(struct pprof *p, uint32_t number)
{
    static const char hex[] = "0123456789abcdef";
    struct stack_module module = stacks_module(p->stacks, number);
    buf_clear(&p->message);
    put_number(&p->message, MAPPING_ID, (uint64_t)number + 1);
    put_number(&p->message, MAPPING_MEMORY_START, module.start);
    put_number(&p->message, MAPPING_MEMORY_LIMIT, module.end);
    put_number(&p->message, MAPPING_FILENAME, text_of(p, module.path));
    for (size_t i = 0; i < module.build_id.length; i++) {
        unsigned byte = (unsigned char)module.build_id.bytes[i];
        fputc(hex[byte >> 4], p->clean);
        fputc(hex[byte & 15], p->clean);
    }
    put_number(&p->message, MAPPING_BUILD_ID, take_clean(p));
    /* all that the trace knows is here: pprof is not to look for more in files, which may be others by now */
    for (unsigned field = MAPPING_HAS_FUNCTIONS; field <= MAPPING_HAS_INLINE_FRAMES; field++)
        put_number(&p->message, field, true);
    put_message_out(p, PROFILE_MAPPING);
}

/* The executable comes first, as pprof takes the first one for the program; then those with a location. */
static void put_mappings(struct pprof *p)
{
    uint32_t count = stacks_module_count(p->stacks), first = count;
    for (uint32_t i = 0; i < count; i++)
        if (stacks_module(p->stacks, i).is_executable)
            first = i;
    const char *executable = p->profile->report.info.executable;
    if (first < count) {
        put_mapping(p, first);
    } else if (executable) {
        buf_clear(&p->message);
        put_number(&p->message, MAPPING_ID, (uint64_t)count + 1);
        put_number(&p->message, MAPPING_FILENAME, text_of(p, (struct text){executable, strlen(executable)}));
        put_number(&p->message, MAPPING_HAS_FUNCTIONS, true);
        put_message_out(p, PROFILE_MAPPING);
    }
    for (uint32_t i = 0; i < count; i++)
        if (p->mapped[i] && i != first)
            put_mapping(p, i);
}

/* Interned messages, each with its number for an id (field 1 of both). */
static void put_numbered(struct pprof *p, enum profile_field field, const struct intern *messages)
{
    for (uint32_t number = 1; number <= messages->count; number++) {
        size_t length;
        const char *bytes = intern_get(messages, number, &length);
        buf_clear(&p->message);
        put_number(&p->message, 1, number);
        buf_append(&p->message, bytes, length);
        put_message_out(p, field);
    }
}

static void add_comment(struct pprof *p, struct buf *ids)
{
    buf_append_varint(ids, take_clean(p));
}

static void put_comments(struct pprof *p)
{
    const struct profile *profile = p->profile;
    const struct trace_info *info = &profile->report.info;
    const char *path = profile->report.reader->path;
    char when[OUT_NUMBER_SIZE];
    buf_clear(&p->part);
    fprintf(p->clean, "heapsake %s", HEAPSAKE_VERSION);
    add_comment(p, &p->part);
    fputs("trace: ", p->clean);
    out_untrusted(p->clean, path, strlen(path));
    add_comment(p, &p->part);
    fprintf(p->clean, "%s", profile_title(profile));
    if (profile->has_time)
        fprintf(p->clean, ", at %s", out_seconds(when, profile->time_ns));
    fprintf(p->clean, "; %s stacks", profile->wishes.stacks);
    add_comment(p, &p->part);
    if (info->arguments.count > 0) {
        fputs("command:", p->clean);
        for (size_t i = 0; i < info->arguments.count; i++) {
            putc(' ', p->clean);
            out_untrusted(p->clean, info->arguments.texts[i], strlen(info->arguments.texts[i]));
        }
        add_comment(p, &p->part);
    }
    struct error damage = {0};
    if (trace_reader_describe_damage(profile->report.reader, &damage)) {
        out_untrusted(p->clean, damage.text, strlen(damage.text));
        add_comment(p, &p->part);
    }
    p->failed |= p->part.failed;
    put_out(p, PROFILE_COMMENT, p->part.data, p->part.length);
}

static void put_numbers(struct pprof *p)
{
    const struct trace_info *info = &p->profile->report.info;
    buf_clear(&p->message);
    put_number(&p->message, PROFILE_TIME_NANOS, info->start_time_ns);
    put_number(&p->message, PROFILE_DURATION_NANOS, info->duration_ns);
    put_number(&p->message, PROFILE_PERIOD, 1); /* every byte: nothing is sampled */
    put_number(&p->message, PROFILE_DEFAULT_SAMPLE_TYPE, string_of(p, "bytes"));
    p->failed |= p->message.failed;
    gzip_put(p->gzip, p->message.data, p->message.length);
}

static void put_profile(struct pprof *p)
{
    put_value_type(p, PROFILE_SAMPLE_TYPE, "objects", "count");
    put_value_type(p, PROFILE_SAMPLE_TYPE, "bytes", "bytes");
    put_value_type(p, PROFILE_PERIOD_TYPE, "bytes", "bytes");
    put_numbers(p);
    put_comments(p);
    put_samples(p);
    put_mappings(p);
    put_numbered(p, PROFILE_LOCATION, &p->locations);
    put_numbered(p, PROFILE_FUNCTION, &p->functions);
    put_out(p, PROFILE_STRING_TABLE, "", 0);
    for (uint32_t number = 1; number <= p->strings.count; number++) {
        size_t length;
        const char *bytes = intern_get(&p->strings, number, &length);
        put_out(p, PROFILE_STRING_TABLE, bytes, length);
    }
}

static bool begin(struct pprof *p, FILE *to)
{
    size_t stacks = (size_t)stacks_count(p->stacks) + 1, modules = (size_t)stacks_module_count(p->stacks) + 1;
    p->location = calloc(stacks, sizeof *p->location);
    p->beyond = calloc(stacks, sizeof *p->beyond);
    p->mapped = calloc(modules, sizeof *p->mapped);
    p->gzip = malloc(sizeof *p->gzip);
    p->clean = open_memstream(&p->text, &p->text_length);
    return p->location && p->beyond && p->mapped && p->gzip && p->clean && gzip_begin(p->gzip, to);
}

static bool write_pprof(FILE *to, const struct profile *profile)
{
    struct pprof p = {.profile = profile, .stacks = profile->report.stacks};
    p.failed = !begin(&p, to);
    if (!p.failed) {
        put_profile(&p);
        p.failed |= !gzip_end(p.gzip) || p.head.failed || ferror(p.clean);
    }
    if (p.clean)
        fclose(p.clean);
    free(p.text);
    free(p.gzip);
    free(p.location);
    free(p.beyond);
    free(p.mapped);
    intern_free(&p.strings);
    intern_free(&p.functions);
    intern_free(&p.locations);
    buf_free(&p.head);
    buf_free(&p.message);
    buf_free(&p.part);
    buf_free(&p.line);
    return !p.failed;
}

const struct profile_format format_pprof = {
    .name = "pprof",
    .opened_by = "go tool pprof -http=: FILE",
    .binary = true,
    .write = write_pprof,
};
