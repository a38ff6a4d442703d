/*
 * closing.h - the screen that `heapsake run` prints at the end, made from what the recorder has at hand.
 *
 * Nothing is read back from the trace, so that it comes at once also after millions of events.
 */
#ifndef HEAPSAKE_RECORD_CLOSING_H
#define HEAPSAKE_RECORD_CLOSING_H

#include "base/buf.h"
#include "record/session.h"

/* What lives now, by node, without arenas and inherited blocks. Replaces what `picture` held. When memory is short it
 * has none. */
void live_picture_take(struct live_picture *picture, const struct session *session);

struct closing_numbers {
    uint64_t trace_bytes;
    uint64_t lost, lost_stacks;
    unsigned children; /* other traces of this run       */
    bool incomplete;   /* the trace does not hold all     */
};

/* Appends the screen. `symbols` is the payload of the SYMBOLS chunks (concatenated calls of one each), or empty. */
void closing_write(struct buf *screen, struct session *session, const struct closing_numbers *numbers,
                   const struct buf *symbols);

#endif
