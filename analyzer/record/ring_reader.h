/*
 * ring_reader.h - the rings of one session: which there are, how far each has been read, and whether its next event is
 * due.
 *
 * Nothing in a ring's memory is to be trusted. Sequenced events of one stripe (event.h) are due in the order of their
 * numbers, over all rings; a ring whose next event is not due is blocked, and the others go on. Events from before the
 * program had a second thread have no numbers: therefore a ring that appears later is ready only when the older ones
 * have been read to where they were at that moment, or have come to sequenced events. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_RING_READER_H
#define HEAPSAKE_RECORD_RING_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/compiler.h"
#include "internal/event.h"
#include "internal/session.h"
#include "record/live_table.h"

/* A realloc that a thread is in the midst of: what becomes of the block is told later. */
struct pending_realloc {
    struct live_block block;
    bool open;  /* between BEGIN and what follows it     */
    bool known; /* the block was in the table            */
};

/* A ring, and how far it has been read. */
struct ring_reader {
    struct hs_ring *ring;
    size_t mapped_bytes;
    uint64_t slot_count;
    uint64_t tail;    /* slots read                                                  */
    uint64_t barrier; /* head when the last younger ring was noticed                 */
    uint64_t cut; /* messages before it may pass when the other rings are at their cut_barrier: see ring_messages.h */
    uint64_t cut_barrier;
    uint64_t marks_beyond; /* nothing that is still to be read was done before a mark of a lower number */
    uint64_t size_high;    /* of the next event                                           */
    uint32_t thread;       /* index in THREADS of who writes now; UINT32_MAX: not known yet */
    uint32_t tid;
    uint32_t known_then; /* rings that were there before this one                       */
    bool ready;          /* those have been drained to their barriers                   */
    bool sequenced;      /* has come to its first sequenced event                       */
    bool blocked;        /* its next event is not due                                   */
    bool at_message;     /* its next slot is a fork or the like, waiting for the other rings */
    uint64_t blocked_number;
    uint32_t blocked_stripe;
    struct pending_realloc realloc;
    uint64_t last_sequence[HS_STRIPES]; /* 1 + the last number read, as the writer keeps it  */
};

/* All rings of a session. Zeroed: none yet. */
struct rings {
    struct ring_reader **readers; /* in the order of their announcement */
    uint32_t count;
    uint64_t expected[HS_STRIPES]; /* number of the next event of each stripe   */
    uint64_t skipped;              /* events whose numbers never came           */
    uint64_t torn;                 /* the same, when the program had died       */
    uint64_t overtaken;            /* events that came after theirs was skipped */
};

HS_ALWAYS_INLINE uint64_t ring_head(const struct ring_reader *reader)
{
    return atomic_load_explicit(&reader->ring->head, memory_order_acquire);
}

/*
 * Opens those that were announced since, in the file of the memory `shared`. 0; -EINVAL: what the program has written
 * makes no sense, and *wrong says what; -ENOMEM. Those that were opened before that are there.
 */
int rings_notice(struct rings *rings, const struct hs_session *shared, int memory_fd, const char **wrong);
/* Closes and forgets all of them. */
void rings_close(struct rings *rings);

/* May it be read, as far as the older rings are concerned? */
bool ring_is_ready(const struct rings *rings, struct ring_reader *reader);

/* The full number of a sequenced slot. */
HS_ALWAYS_INLINE uint64_t ring_number(const struct ring_reader *reader, struct hs_slot slot, unsigned stripe)
{
    uint64_t last = reader->last_sequence[stripe];
    return last + (uint16_t)(hs_slot_sequence(slot) - (uint16_t)last);
}

HS_ALWAYS_INLINE void ring_block(struct ring_reader *reader, unsigned stripe, uint64_t number)
{
    reader->blocked = true;
    reader->blocked_stripe = stripe;
    reader->blocked_number = number;
}

/* Is it this slot's turn? Moves on when it is, and blocks the ring when it is not. */
HS_ALWAYS_INLINE bool ring_is_due(struct rings *rings, struct ring_reader *reader, struct hs_slot slot, unsigned stripe)
{
    uint64_t number = ring_number(reader, slot, stripe);
    reader->sequenced = true;
    if (HS_UNLIKELY(number != rings->expected[stripe])) {
        if (number > rings->expected[stripe]) {
            ring_block(reader, stripe, number);
            return false;
        }
        /* Its number was skipped: it was given up too early. Late is better than never. */
        rings->overtaken++;
        reader->last_sequence[stripe] = number + 1;
        return true;
    }
    reader->last_sequence[stripe] = rings->expected[stripe] = number + 1;
    return true;
}

/* Without looking at its slots again. */
HS_ALWAYS_INLINE bool ring_is_still_blocked(const struct rings *rings, const struct ring_reader *reader)
{
    return reader->blocked && rings->expected[reader->blocked_stripe] < reader->blocked_number;
}

/*
 * No number that is waited for will come: expects the least one of those that are there. Only in stripes below
 * `stripes`; `over`: the writers are gone. False: nothing waits.
 */
bool rings_skip_gap(struct rings *rings, bool over, unsigned stripes);

#endif
