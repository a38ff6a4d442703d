/*
 * frame_texts.h - the frames of a profile as texts of a format, each made once.
 *
 * A profile has few frames and shows them often. Not thread-safe.
 */
#ifndef HEAPSAKE_REPORT_FRAME_TEXTS_H
#define HEAPSAKE_REPORT_FRAME_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "model/stacks.h"

typedef void frame_text_make(FILE *to, const struct frame *frame);

struct frame_text {
    size_t begin, length;
    bool made;
};

struct frame_texts {
    bool failed; /* memory ran out */
    /* private */
    const struct stacks *stacks;
    frame_text_make *make;
    struct buf bytes;
    struct frame_text *texts; /* by number of the frame */
};

/* `stacks` stays as long as the texts, and gets no more frames. */
void frame_texts_init(struct frame_texts *texts, const struct stacks *stacks, frame_text_make *make);
void frame_texts_free(struct frame_texts *texts);

/* The text of the innermost frame of a stack that is not 0, valid until the next call; "" when memory ran out. */
struct text frame_text_of(struct frame_texts *texts, uint32_t stack);

/*
 * "function (file:line)" or "function (module)", without control characters, what is no UTF-8, and semicolons (which
 * become colons: they separate frames). A frame_text_make.
 */
void frame_text_folded(FILE *to, const struct frame *frame);

/* All of a stack by such texts, outermost first, a semicolon between them; "(no stack)" for 0. */
void frame_texts_put_folded(FILE *to, struct frame_texts *texts, uint32_t stack);

#endif
