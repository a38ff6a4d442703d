/*
 * fake_program.h - a program that the test plays: it writes slots into the memory of a session, well and badly, and
 * reads what the recorder has made of them.
 *
 * One at a time: fake_begin() and fake_end() are a pair of cmocka fixtures, and `state` is the struct fake between
 * them. What fails in here fails the test. The functions that put something into a ring write it without waiting for
 * room; each ring has one writer.
 */
#ifndef HEAPSAKE_TESTS_UNIT_FAKE_PROGRAM_H
#define HEAPSAKE_TESTS_UNIT_FAKE_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "each_event.h"
#include "record/drain.h"
#include "record/recorder_private.h"

#define FAKE_RINGS_MOST 8
#define RING_SLOTS 1024u

/* What a program has: the memory, and rings carved from it; and what the recorder has. */
struct fake {
    struct recorder recorder;
    struct process process;
    struct session *session;
    struct hs_session *shared; /* the whole file */
    struct hs_ring *rings[FAKE_RINGS_MOST];
    uint64_t used; /* bytes of it */
};

/* A session that writes a trace into a folder of its own; nodes 1 to 99 exist, each called by the one before. */
int fake_begin(void **state);
int fake_end(void **state);

/* The trace of the last session that was begun. */
const char *fake_trace(void);

/* An empty ring that is announced, of a thread of its own. `slots` is a power of two, unless it is to be wrong. */
struct hs_ring *add_ring(struct fake *fake, uint32_t slots);
/* One of RING_SLOTS that holds an allocation of 10 bytes. */
struct hs_ring *ring_with_one(struct fake *fake);

void put(struct hs_ring *ring, struct hs_slot slot);
void put_event(struct hs_ring *ring, enum hs_slot_type type, enum hs_domain domain, uint64_t address, uint32_t size,
               uint32_t node);
/* An event of HS_DOMAIN_MALLOC with its number among those of the address's stripe. */
void put_sequenced(struct hs_ring *ring, enum hs_slot_type type, uint64_t address, uint32_t size, uint64_t number);
/* A head, and `length` bytes behind it. */
void put_slots(struct hs_ring *ring, struct hs_slot head, const void *bytes, size_t length);
void put_message(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length);
/* One that stands in order. */
void put_numbered(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length, uint64_t number);
/* What follows in the ring was done behind all marks below this number. */
void put_seen(struct hs_ring *ring, uint64_t marks);

/* Reads all that can be read while the program lives. */
struct drain_result drain(struct fake *fake);

/* The recorder stops at nonsense, says so, and reads no more; what came before is kept. */
void expect_stopped(struct fake *fake, uint64_t good_allocations);

/* Everything that was read is written, and `visit` called with each event of the trace. */
void fake_read_events(struct fake *fake, event_visit *visit, void *context);

#define EXPECT(fake, n_allocations, n_frees, n_live, n_bytes)                                                          \
    do {                                                                                                               \
        assert_int_equal((fake)->session->encoder.allocations, n_allocations);                                         \
        assert_int_equal((fake)->session->encoder.frees, n_frees);                                                     \
        assert_int_equal((fake)->session->totals.live_blocks, n_live);                                                 \
        assert_int_equal((fake)->session->totals.live_bytes, n_bytes);                                                 \
    } while (0)

#endif
