/* frame_texts.c - see frame_texts.h */
#include "report/frame_texts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/out_text.h"

void frame_texts_init(struct frame_texts *texts, const struct stacks *stacks, frame_text_make *make)
{
    *texts = (struct frame_texts){.stacks = stacks, .make = make, .bytes = BUF_INIT};
    texts->texts = calloc((size_t)stacks_frame_count(stacks) + 1, sizeof *texts->texts);
    texts->failed = !texts->texts;
}

void frame_texts_free(struct frame_texts *texts)
{
    buf_free(&texts->bytes);
    free(texts->texts);
    *texts = (struct frame_texts){0};
}

static bool make_text(struct frame_texts *texts, struct frame_text *text, uint32_t stack)
{
    char *bytes = NULL;
    size_t length = 0;
    struct frame frame = stacks_frame(texts->stacks, stack);
    FILE *to = open_memstream(&bytes, &length);
    if (!to)
        return false;
    texts->make(to, &frame);
    bool whole = !ferror(to);
    whole &= fclose(to) == 0;
    if (whole) {
        *text = (struct frame_text){.begin = texts->bytes.length, .length = length, .made = true};
        buf_append(&texts->bytes, bytes, length);
    }
    free(bytes);
    return whole && !texts->bytes.failed;
}

struct text frame_text_of(struct frame_texts *texts, uint32_t stack)
{
    struct frame_text *text = texts->failed ? NULL : &texts->texts[stacks_frame_number(texts->stacks, stack)];
    if (!text || (!text->made && !make_text(texts, text, stack))) {
        texts->failed = true;
        return (struct text){.bytes = ""};
    }
    return (struct text){.bytes = (const char *)texts->bytes.data + text->begin, .length = text->length};
}

/* As out_untrusted(), and no semicolons. */
static void put_name(FILE *to, struct text name)
{
    while (name.length > 0) {
        const char *semicolon = memchr(name.bytes, ';', name.length);
        size_t length = semicolon ? (size_t)(semicolon - name.bytes) : name.length;
        out_untrusted(to, name.bytes, length);
        if (!semicolon)
            return;
        putc_unlocked(':', to);
        name.bytes += length + 1;
        name.length -= length + 1;
    }
}

void frame_text_folded(FILE *to, const struct frame *frame)
{
    if (frame->function.length > 0)
        put_name(to, frame->function);
    else
        fputs("unknown", to);
    if (frame->file.length > 0) {
        fputs(" (", to);
        put_name(to, frame->file);
        if (frame->line)
            fprintf(to, ":%" PRIu32, frame->line);
        putc_unlocked(')', to);
    } else if (frame->module.length > 0) {
        fputs(" (", to);
        put_name(to, out_base_name(frame->module));
        putc_unlocked(')', to);
    }
}

/* Stacks can be deep: they are turned around in pieces, each found again from the innermost frame. */
#define PIECE 512

void frame_texts_put_folded(FILE *to, struct frame_texts *texts, uint32_t stack)
{
    uint32_t piece[PIECE];
    size_t depth = 0;
    if (stack == 0)
        fputs("(no stack)", to);
    for (uint32_t at = stack; at != 0; at = stacks_caller(texts->stacks, at))
        depth++;
    for (size_t done = 0; done < depth;) {
        /* frames depth - done - count .. depth - done - 1, counted from the innermost */
        size_t count = depth - done < PIECE ? depth - done : PIECE;
        uint32_t at = stack;
        for (size_t skip = depth - done - count; skip > 0; skip--)
            at = stacks_caller(texts->stacks, at);
        for (size_t i = 0; i < count; i++, at = stacks_caller(texts->stacks, at))
            piece[count - 1 - i] = at;
        for (size_t i = 0; i < count; i++) {
            struct text text = frame_text_of(texts, piece[i]);
            if (done + i > 0)
                putc_unlocked(';', to);
            fwrite_unlocked(text.bytes, 1, text.length, to);
        }
        done += count;
    }
}
