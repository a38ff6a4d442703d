/* out_json.c - see out_json.h */
#include "report/out_json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trace/trace_info.h"
#include "report/out_text.h"

static void quote_string(struct json *json, const char *bytes, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    FILE *out = json->out;
    const unsigned char *at = (const unsigned char *)bytes, *end = at + length;
    putc_unlocked('"', out);
    while (at < end) {
        unsigned char c = *at;
        if (c == '"' || c == '\\') {
            putc_unlocked('\\', out);
            putc_unlocked(c, out);
        } else if (c < 0x20 || c == 0x7f) {
            fputs("\\u00", out);
            putc_unlocked(hex[c >> 4], out);
            putc_unlocked(hex[c & 15], out);
        } else if (c < 0x80) {
            putc_unlocked(c, out);
        } else {
            /* the shortest form of a character that is no surrogate, or U+FFFD for this one byte */
            size_t left = (size_t)(end - at);
            size_t more = c >= 0xc2 && c < 0xe0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 0;
            bool valid = more > 0 && more < left;
            for (size_t i = 1; valid && i <= more; i++)
                valid = (at[i] & 0xc0) == 0x80;
            if (valid && ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] >= 0xa0) || (c == 0xf0 && at[1] < 0x90) ||
                          (c == 0xf4 && at[1] >= 0x90)))
                valid = false;
            if (valid) {
                fwrite(at, 1, more + 1, out);
                at += more;
            } else {
                fputs("\xef\xbf\xbd", out);
            }
        }
        at++;
    }
    putc_unlocked('"', out);
}

static void new_line(struct json *json)
{
    if (json->compact)
        return;
    putc_unlocked('\n', json->out);
    for (int i = 0; i < json->depth; i++)
        fputs("  ", json->out);
}

/* What comes before each value. */
static void begin_value(struct json *json, const char *key)
{
    if (json->filled)
        fputs(json->compact ? ", " : ",", json->out);
    if (json->depth > 0)
        new_line(json);
    json->filled = true;
    if (key) {
        quote_string(json, key, strlen(key));
        fputs(": ", json->out);
    }
}

static void open_group(struct json *json, const char *key, char bracket)
{
    begin_value(json, key);
    putc_unlocked(bracket, json->out);
    json->depth++;
    json->filled = false;
}

static void close_group(struct json *json, char bracket)
{
    json->depth--;
    if (json->filled)
        new_line(json);
    putc_unlocked(bracket, json->out);
    json->filled = true;
}

void open_object(struct json *json, const char *key)
{
    open_group(json, key, '{');
}
void close_object(struct json *json)
{
    close_group(json, '}');
}
void open_array(struct json *json, const char *key)
{
    open_group(json, key, '[');
}
void close_array(struct json *json)
{
    close_group(json, ']');
}

void put_null(struct json *json, const char *key)
{
    begin_value(json, key);
    fputs("null", json->out);
}

void put_bool(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void put_unsigned(struct json *json, const char *key, uint64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void put_signed(struct json *json, const char *key, int64_t value)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void put_number(struct json *json, const char *key, double value)
{
    if (!isfinite(value)) {
        put_null(json, key);
        return;
    }
    begin_value(json, key);
    fprintf(json->out, "%.9g", value);
}

void put_seconds(struct json *json, const char *key, uint64_t nanoseconds)
{
    begin_value(json, key);
    fprintf(json->out, "%" PRIu64 ".%09" PRIu64, nanoseconds / 1000000000, nanoseconds % 1000000000);
}

void put_address(struct json *json, const char *key, uint64_t address)
{
    begin_value(json, key);
    fprintf(json->out, "\"0x%" PRIx64 "\"", address);
}

void put_bytes(struct json *json, const char *key, const char *bytes, size_t length)
{
    begin_value(json, key);
    quote_string(json, bytes, length);
}

void put_string(struct json *json, const char *key, const char *string)
{
    if (string)
        put_bytes(json, key, string, strlen(string));
    else
        put_null(json, key);
}

void put_raw(struct json *json, const char *key, const char *value, size_t length)
{
    begin_value(json, key);
    fwrite(value, 1, length, json->out);
}

static void put_text(struct json *json, const char *key, struct text text)
{
    if (text.bytes)
        put_bytes(json, key, text.bytes, text.length);
    else
        put_null(json, key);
}

void put_frame(struct json *json, const char *key, const struct frame *frame)
{
    bool compact = json->compact;
    open_object(json, key);
    json->compact = true; /* a frame is one line */
    put_text(json, "function", frame->function);
    put_text(json, "file", frame->file);
    if (frame->line)
        put_unsigned(json, "line", frame->line);
    else
        put_null(json, "line");
    put_text(json, "module", frame->module);
    put_string(json, "language", frame->language == FRAME_PYTHON ? "python" : "native");
    close_object(json);
    json->compact = compact;
}

void put_stack(struct json *json, const char *key, const struct stacks *stacks, uint32_t stack)
{
    open_array(json, key);
    for (; stack != 0; stack = stacks_caller(stacks, stack)) {
        struct frame frame = stacks_frame(stacks, stack);
        put_frame(json, NULL, &frame);
    }
    close_array(json);
}

void put_domains(struct json *json, const char *key, uint32_t domains)
{
    open_array(json, key);
    for (int domain = 0; domain < HSK_DOMAINS; domain++)
        if (domains & 1u << domain)
            put_string(json, NULL, out_domain_names[domain]);
    close_array(json);
}

void put_texts(struct json *json, const char *key, const struct text_list *list)
{
    open_array(json, key);
    for (size_t i = 0; i < list->count; i++)
        put_string(json, NULL, list->texts[i]);
    close_array(json);
}

void put_end(struct json *json)
{
    putc_unlocked('\n', json->out);
    json->filled = false;
}
