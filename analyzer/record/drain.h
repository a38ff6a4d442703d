/*
 * drain.h - from the rings of one session to its encoder: in order, matched, and trusting nothing.
 *
 * The rings lie in memory that the traced program can write to at any time.
 * Every number from there is copied once and checked before it is used; what
 * makes no sense ends the session with HS_STOP_PROTOCOL and keeps what was good.
 *
 * Order. Within a ring, as written. Between rings, sequenced events of one
 * stripe (event.h) in the order of their numbers: an event whose number is not
 * next blocks its ring, and the others go on. Events from before the program had
 * a second thread have no numbers; therefore a ring that appears later is read
 * only when the older ones have been read to where they were at that moment, or have
 * come to sequenced events.
 *
 * Marks, and with them forks, snapshots and wishes, are sequenced as one stripe, and each of them waits in its ring until
 * all other rings have been read to where they were at that moment: what other threads had done before stands before it.
 * What they did behind it says so by HS_MARKS_SEEN, and is not read earlier. A ring that waits for an event that stands
 * behind the mark, in another ring, says by HS_MARKS_MAYBE that it need not be waited for.
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
