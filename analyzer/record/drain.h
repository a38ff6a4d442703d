/*
 * drain.h - from the rings of one session to its encoder: in order, matched, and trusting nothing.
 *
 * The rings lie in memory that the traced program can write to at any time.
 * Every number from there is copied once and checked before it is used; what
 * makes no sense ends the session with HS_STOP_PROTOCOL and keeps what was good.
 *
 * Order. Within a ring, as written. Between rings, as ring_reader.h has it for events, and ring_messages.h for marks
 * and what is like them.
 */
#ifndef HEAPSAKE_RECORD_DRAIN_H
#define HEAPSAKE_RECORD_DRAIN_H

#include "record/session.h"

struct drain_result {
    uint64_t slots;    /* read now                                           */
    unsigned fullness; /* of the fullest ring before, in percent             */
    bool left;         /* there is more: in the rings, or beyond the budget  */
};

/*
 * Reads up to about `budget` slots. With `over` the writers are gone: then numbers that never came are skipped, and
 * when nothing is left, reallocs that were under way are undone. Nothing at all is read while the session waits for its
 * parent.
 */
struct drain_result drain_session(struct session *session, uint64_t budget, bool over);

#endif
