/*
 * ring_messages.h - messages as they stand in rings, and the moment at which each may be read. What they say is
 * messages.h' affair.
 *
 * Marks, and with them forks, snapshots and wishes, stand in order: they are sequenced as one stripe, HS_MARK_STRIPE,
 * and each of them waits in its ring until all other rings have been read to where they were at that moment: what other
 * threads had done before stands before it. What they did behind it says so by HS_MARKS_SEEN, and is not read earlier.
 * A ring that waits for an event that stands behind the mark, in another ring, says by HS_MARKS_MAYBE that it need not
 * be waited for.
 *
 * A message whose turn has come passes in three steps: its ring stops at it (at_message) when others may still have to
 * be read; rings_cut() notes where all rings are; and when those have been read to there, ring_message_may_pass().
 * Where nothing of this can come any more ring_message_pass() goes on. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_RING_MESSAGES_H
#define HEAPSAKE_RECORD_RING_MESSAGES_H

#include "record/session.h"

HS_ALWAYS_INLINE uint64_t ring_message_length(struct hs_slot slot)
{
    return hs_slot_sequenced(slot) ? hs_slot_size(slot) : slot.w1;
}

/* With its head; at least 1, of a length that makes no sense any number. */
HS_ALWAYS_INLINE uint64_t ring_message_slots(struct hs_slot slot)
{
    return 1 + ring_message_length(slot) / sizeof slot + (ring_message_length(slot) % sizeof slot != 0);
}

/* Have all marks below this number been taken? Blocks the ring when they have not. */
bool ring_marks_are_due(const struct session *session, struct ring_reader *reader, uint64_t number);
/* Notes that what the ring has from here on was not done before marks below this number. */
void ring_note_marks(struct ring_reader *reader, uint64_t marks);

/*
 * Notes where all rings are. Everything that was done before anything that stands before their `cut` stands before
 * their `cut_barrier`, also in rings that have appeared meanwhile. False: something is wrong, as of
 * session_notice_rings().
 */
bool rings_cut(struct session *session);

/* A ring that stands at a message whose turn has come; NULL: there is none. */
struct ring_reader *ring_at_message(const struct session *session);
/* May it pass that? */
bool ring_message_may_pass(const struct session *session, const struct ring_reader *reader);

/*
 * Takes the message whose head is the ring's next slot; `head` is the ring's, at most. It stays there, and the ring is
 * blocked or at_message, when it has to wait. False: it makes no sense.
 */
bool ring_message_take(struct session *session, struct ring_reader *reader, struct hs_slot slot, uint64_t head);
/* A message that a ring stands at passes, whatever the others do. False: it makes no sense any more. */
bool ring_message_pass(struct session *session, struct ring_reader *reader);

#endif
