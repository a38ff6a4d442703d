/* leak_site.c - see leak_site.h */
#include "model/leak_site.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/frame_roles.h"

#define NAME_MAX_BYTES 160u

/* FNV-1a */
static uint64_t hash(const char *bytes, size_t length)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        value = (value ^ (uint8_t)bytes[i]) * UINT64_C(0x100000001b3);
    return value;
}

void leak_site_append_name(struct buf *text, const char *bytes, size_t length)
{
    size_t begin = text->length, at = 0;
    while (at < length && text->length - begin < NAME_MAX_BYTES && !text->failed) {
        size_t step = utf8_length(bytes + at, length - at);
        /* " <" and " (" divide frames */
        bool divides = at > 0 && bytes[at - 1] == ' ' && (bytes[at] == '<' || bytes[at] == '(');
        if (step == 0 || utf8_is_control(bytes + at, step) || bytes[at] == '\\' || divides) {
            buf_printf(text, "\\x%02x", (unsigned char)bytes[at]);
            at++;
        } else {
            buf_append(text, bytes + at, step);
            at += step;
        }
    }
    if (at < length)
        buf_printf(text, "...%016" PRIx64, hash(bytes, length));
}

static bool is_left_out(const struct frame *frame)
{
    return frame_acts_for_others(frame) || text_begins(frame->file, "<frozen importlib") ||
           (frame->language == FRAME_NATIVE && text_is(frame->function, "_start"));
}

/* Of the program itself, as far as a path tells: neither installed nor made up. */
static bool is_own(const struct frame *frame)
{
    struct text file = frame->file;
    return file.bytes && file.length > 0 && frame->line > 0 && file.bytes[0] != '<' && !text_begins(file, "/usr/") &&
           !text_holds(file, "/site-packages/") && !text_holds(file, "/dist-packages/") &&
           !text_holds(file, "/lib/python3");
}

static void append_frame(struct buf *text, const struct frame *frame)
{
    struct text file = text_base_name(frame->file.bytes ? frame->file : frame->module);
    if (frame->function.bytes)
        leak_site_append_name(text, frame->function.bytes, frame->function.length);
    else
        buf_append(text, "?", 1);
    buf_append(text, " (", 2);
    if (file.bytes)
        leak_site_append_name(text, file.bytes, file.length);
    else
        buf_append(text, "?", 1);
    buf_append(text, ")", 1);
}

int leak_site_of(struct leak_site *site, const struct stacks *stacks, uint32_t stack)
{
    struct buf text = BUF_INIT, frame_text = BUF_INIT, last = BUF_INIT;
    /* up to and with the outermost frame of the program's own */
    size_t own_length = 0;
    unsigned own_count = 0;
    *site = (struct leak_site){0};
    for (; stack != 0 && site->line_count < LEAK_SITE_FRAMES; stack = stacks_caller(stacks, stack)) {
        struct frame frame = stacks_frame(stacks, stack);
        if (is_left_out(&frame))
            continue;
        buf_clear(&frame_text);
        append_frame(&frame_text, &frame);
        if (site->line_count > 0 && frame_text.length == last.length &&
            memcmp(frame_text.data, last.data, last.length) == 0)
            continue;
        if (site->line_count > 0)
            buf_append(&text, " < ", 3);
        buf_append(&text, frame_text.data, frame_text.length);
        buf_clear(&last);
        buf_append(&last, frame_text.data, frame_text.length);
        site->lines[site->line_count++] = frame.line;
        if (is_own(&frame)) {
            own_length = text.length;
            own_count = site->line_count;
        }
    }
    if (own_count > 0) {
        text.length = own_length;
        site->line_count = own_count;
    }
    if (site->line_count == 0)
        buf_append(&text, "?", 1);
    buf_append_byte(&text, 0);
    bool failed = text.failed || frame_text.failed || last.failed;
    buf_free(&frame_text);
    buf_free(&last);
    if (failed) {
        buf_free(&text);
        return -ENOMEM;
    }
    site->text = (char *)text.data;
    return 0;
}

int leak_site_compare_lines(const struct leak_site *left, const struct leak_site *right)
{
    for (unsigned i = 0; i < left->line_count && i < right->line_count; i++)
        if (left->lines[i] != right->lines[i])
            return left->lines[i] < right->lines[i] ? -1 : 1;
    return left->line_count < right->line_count ? -1 : left->line_count > right->line_count;
}

int leak_site_compare(const struct leak_site *left, const struct leak_site *right)
{
    int order = strcmp(left->text, right->text);
    return order != 0 ? order : leak_site_compare_lines(left, right);
}

uint32_t leak_site_place(const struct stacks *stacks, uint32_t stack)
{
    uint32_t in_file = 0;
    for (uint32_t at = stack; at != 0; at = stacks_caller(stacks, at)) {
        struct frame frame = stacks_frame(stacks, at);
        if (is_left_out(&frame))
            continue;
        if (is_own(&frame))
            return at;
        if (in_file == 0 && frame.file.bytes && frame.line > 0)
            in_file = at;
    }
    return in_file != 0 ? in_file : stack;
}
