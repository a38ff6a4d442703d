/*
 * area.h - the memory file of one snapshot (internal/snapshot.h): the live blocks for the child, and its stream.
 *
 * Many blocks take a while to copy, and meanwhile rings would fill up and the program wait. So a large table is copied
 * by a clone of this process, which has it as it was at that moment; the drain goes on at once.
 *
 * Everything here is the drain thread's. The child can write to all of the area at any time: what comes out of the
 * stream is a private copy.
 */
#ifndef HEAPSAKE_RECORD_AREA_H
#define HEAPSAKE_RECORD_AREA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "record/session.h"

struct area {
    int fd; /* -1: none */
    struct hs_area *shared;
    uint64_t bytes;
    uint64_t tail; /* of the stream; what the area says is the child's to change */
    pid_t copier;  /* the clone that copies; 0: none */
    bool ready;    /* the live blocks are there      */
    bool ill;      /* ... and never will be, or the stream makes no sense */
};

/* Makes the area and begins to fill it with what lives in the session now. 0 or a negative errno. */
int area_open(struct area *area, const struct session *session, uint32_t number, uint32_t options);
/* Ends the copier, tells the child that nobody reads any more, and gives all back. */
void area_close(struct area *area);

/* Are the live blocks there? Looks after the copier. */
bool area_ready(struct area *area);

/*
 * The next frame of the stream, its bytes in `payload` (which is cleared before). 0: there is none yet, or the stream
 * is ill; else enum hs_stream_kind.
 */
unsigned area_frame(struct area *area, struct buf *payload);

/* For tests: blocks up to this many are copied at once, not by a clone. */
extern uint64_t area_copied_at_once;

#endif
