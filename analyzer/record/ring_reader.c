/* ring_reader.c - see ring_reader.h */
#include "record/ring_reader.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MIN_RING_SLOTS 16u

static struct ring_reader *open_ring(struct session *session, uint64_t offset)
{
    if (offset % HS_PAGE_SIZE != 0 || offset < HS_HEADER_BYTES || offset >= HS_SESSION_BYTES) {
        session_nonsense(session, "a ring outside of the shared memory");
        return NULL;
    }
    struct ring_reader *reader = calloc(1, sizeof *reader);
    struct hs_ring *ring =
        mmap(NULL, HS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, session->memory_fd, (off_t)offset);
    if (!reader || ring == MAP_FAILED)
        goto no_memory;
    uint64_t slot_count = *(volatile uint32_t *)&ring->slot_count;
    uint64_t bytes = sizeof *ring + slot_count * sizeof(struct hs_slot);
    munmap(ring, HS_PAGE_SIZE);
    if (slot_count < MIN_RING_SLOTS || (slot_count & (slot_count - 1)) != 0 || bytes > HS_SESSION_BYTES - offset) {
        session_nonsense(session, "a ring of impossible size");
        free(reader);
        return NULL;
    }
    ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, session->memory_fd, (off_t)offset);
    if (ring == MAP_FAILED)
        goto no_memory;
    reader->ring = ring;
    reader->mapped_bytes = bytes;
    reader->slot_count = slot_count;
    reader->thread = UINT32_MAX;
    return reader;

no_memory:
    free(reader);
    session_out_of_memory(session);
    return NULL;
}

bool rings_notice(struct session *session)
{
    uint32_t announced = atomic_load_explicit(&session->shared->ring_count, memory_order_acquire);
    if (HS_LIKELY(announced <= session->ring_count))
        return true;
    if (announced > HS_MAX_RINGS)
        announced = HS_MAX_RINGS; /* numbers beyond are never announced */
    struct ring_reader **rings = reallocarray(session->rings, announced, sizeof *rings);
    if (!rings) {
        session_out_of_memory(session);
        return false;
    }
    session->rings = rings;
    while (session->ring_count < announced) {
        uint32_t number = session->ring_count;
        uint64_t offset = atomic_load_explicit(&session->shared->rings[number], memory_order_acquire);
        if (offset == 0)
            break; /* counted, but not yet announced; those behind it have to wait a moment */
        struct ring_reader *reader = open_ring(session, offset);
        if (!reader)
            return false;
        for (uint32_t i = 0; i < number; i++)
            rings[i]->barrier = ring_head(rings[i]);
        reader->known_then = number;
        rings[session->ring_count++] = reader;
    }
    return true;
}

void rings_close(struct session *session)
{
    for (uint32_t i = 0; i < session->ring_count; i++) {
        munmap(session->rings[i]->ring, session->rings[i]->mapped_bytes);
        free(session->rings[i]);
    }
    free(session->rings);
    session->rings = NULL;
    session->ring_count = 0;
}

bool ring_is_ready(const struct session *session, struct ring_reader *reader)
{
    if (HS_LIKELY(reader->ready))
        return true;
    for (uint32_t i = 0; i < reader->known_then; i++)
        if (!session->rings[i]->sequenced && session->rings[i]->tail < session->rings[i]->barrier)
            return false;
    return reader->ready = true;
}

bool rings_skip_gap(struct session *session, bool over, unsigned stripes)
{
    struct ring_reader *least = NULL;
    for (uint32_t i = 0; i < session->ring_count; i++) {
        struct ring_reader *reader = session->rings[i];
        if (reader->blocked && reader->blocked_stripe < stripes &&
            (!least || reader->blocked_number - session->expected[reader->blocked_stripe] <
                           least->blocked_number - session->expected[least->blocked_stripe]))
            least = reader;
    }
    if (!least)
        return false;
    uint64_t *expected = &session->expected[least->blocked_stripe];
    for (uint32_t i = 0; i < session->ring_count; i++)
        if (session->rings[i]->blocked && session->rings[i]->blocked_stripe == least->blocked_stripe &&
            session->rings[i]->blocked_number < least->blocked_number)
            least = session->rings[i];
    /* A thread that was killed leaves the number of the event that it was about to write: nothing is missing. */
    *(over ? &session->torn : &session->skipped) += least->blocked_number - *expected;
    *expected = least->blocked_number;
    return true;
}
