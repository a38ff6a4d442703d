/* ring_messages.c - see ring_messages.h */
#include "record/ring_messages.h"

#include <string.h>

#include "record/messages.h"

/* It was in a ring before the heads were read for the second time. */
bool rings_cut(struct session *session)
{
    for (uint32_t i = 0; i < session->rings.count; i++)
        session->rings.readers[i]->cut = ring_head(session->rings.readers[i]);
    if (!session_notice_rings(session))
        return false;
    for (uint32_t i = 0; i < session->rings.count; i++)
        session->rings.readers[i]->cut_barrier = ring_head(session->rings.readers[i]);
    return true;
}

bool ring_marks_are_due(const struct session *session, struct ring_reader *reader, uint64_t number)
{
    reader->sequenced = true;
    if (number <= session->rings.expected[HS_MARK_STRIPE])
        return true;
    ring_block(reader, HS_MARK_STRIPE, number);
    return false;
}

void ring_note_marks(struct ring_reader *reader, uint64_t marks)
{
    if (marks > reader->marks_beyond)
        reader->marks_beyond = marks;
}

/* Is it sure that what the ring has next was not done before the mark that is expected? */
static bool is_beyond(const struct session *session, const struct ring_reader *reader)
{
    uint64_t mark = session->rings.expected[HS_MARK_STRIPE];
    return reader->marks_beyond > mark ||
           (reader->blocked && reader->blocked_stripe == HS_MARK_STRIPE && reader->blocked_number > mark);
}

/* When the others have been read to their barriers, or as far as they may be before. */
bool ring_message_may_pass(const struct session *session, const struct ring_reader *reader)
{
    if (reader->tail >= reader->cut)
        return false;
    for (uint32_t i = 0; i < session->rings.count; i++) {
        const struct ring_reader *other = session->rings.readers[i];
        if (other->tail < other->cut_barrier && other != reader && !is_beyond(session, other))
            return false;
    }
    return true;
}

struct ring_reader *ring_at_message(const struct session *session)
{
    for (uint32_t i = 0; i < session->rings.count; i++)
        if (session->rings.readers[i]->at_message)
            return session->rings.readers[i];
    return NULL;
}

/* `must`: it passes, whatever the others do. */
static bool take(struct session *session, struct ring_reader *reader, struct hs_slot slot, uint64_t head, bool must)
{
    bool in_order = hs_slot_sequenced(slot);
    uint64_t length = ring_message_length(slot), slots = ring_message_slots(slot), kind = hs_slot_address(slot);
    if (length > HS_MESSAGE_MAX || slots > head - reader->tail)
        return session_nonsense(session, "a message that is longer than its ring");
    if (in_order) {
        uint64_t number = ring_number(reader, slot, HS_MARK_STRIPE);
        if (!ring_marks_are_due(session, reader, number))
            return true;
        if (session->rings.count == 1 && !session_notice_rings(session))
            return false;
        /* One whose number was given up has no place any more: it and the one that is expected would wait for each
         * other. */
        bool late = number < session->rings.expected[HS_MARK_STRIPE];
        if (session->rings.count > 1 && !must && !late && !ring_message_may_pass(session, reader)) {
            reader->at_message = true;
            return true;
        }
    }
    /*
     * The clone comes next, and the recorder would copy its own table beside it, which slows both. With other rings
     * there is no waiting: they would go on meanwhile.
     */
    if (kind == HS_MESSAGE_SNAPSHOT && session->rings.count == 1 && slots == head - reader->tail && !session->over_now)
        return true;
    reader->at_message = false;
    if (in_order) {
        ring_is_due(&session->rings, reader, slot, HS_MARK_STRIPE);
        ring_note_marks(reader, reader->last_sequence[HS_MARK_STRIPE]);
    }
    const uint8_t *ring = (const uint8_t *)reader->ring->slots;
    size_t size = (size_t)reader->slot_count * sizeof slot;
    size_t at = (size_t)((reader->tail + 1) & (reader->slot_count - 1)) * sizeof slot;
    size_t first = length < size - at ? (size_t)length : size - at;
    memcpy(session->message, ring + at, first);
    memcpy(session->message + first, ring, (size_t)length - first);
    reader->tail += slots;
    if (encoder_full(&session->encoder)) /* a message may make many ops */
        session_flush(session);
    return message_take(session, reader, (unsigned)kind, session->message, (size_t)length);
}

bool ring_message_take(struct session *session, struct ring_reader *reader, struct hs_slot slot, uint64_t head)
{
    return take(session, reader, slot, head, false);
}

bool ring_message_pass(struct session *session, struct ring_reader *reader)
{
    struct hs_slot slot = reader->ring->slots[reader->tail & (reader->slot_count - 1)];
    if (hs_slot_type(slot) != HS_SLOT_MESSAGE)
        return session_nonsense(session, "a message that changed");
    encoder_thread(&session->encoder, reader->thread); /* another ring's was read last */
    bool good = take(session, reader, slot, ring_head(reader), true);
    atomic_store(&reader->ring->tail, reader->tail);
    return good;
}
