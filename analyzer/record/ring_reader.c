/* ring_reader.c - see ring_reader.h */
#include "record/ring_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MIN_RING_SLOTS 16u

static int open_ring(struct ring_reader **result, int memory_fd, uint64_t offset, const char **wrong)
{
    if (offset % HS_PAGE_SIZE != 0 || offset < HS_HEADER_BYTES || offset >= HS_SESSION_BYTES) {
        *wrong = "a ring outside of the shared memory";
        return -EINVAL;
    }
    struct hs_ring *ring = mmap(NULL, HS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, (off_t)offset);
    if (ring == MAP_FAILED)
        return -ENOMEM;
    uint64_t slot_count = *(volatile uint32_t *)&ring->slot_count;
    uint64_t bytes = sizeof *ring + slot_count * sizeof(struct hs_slot);
    munmap(ring, HS_PAGE_SIZE);
    if (slot_count < MIN_RING_SLOTS || (slot_count & (slot_count - 1)) != 0 || bytes > HS_SESSION_BYTES - offset) {
        *wrong = "a ring of impossible size";
        return -EINVAL;
    }
    struct ring_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, (off_t)offset);
    if (ring == MAP_FAILED) {
        free(reader);
        return -ENOMEM;
    }
    reader->ring = ring;
    reader->mapped_bytes = bytes;
    reader->slot_count = slot_count;
    reader->thread = UINT32_MAX;
    *result = reader;
    return 0;
}

int rings_notice(struct rings *rings, const struct hs_session *shared, int memory_fd, const char **wrong)
{
    uint32_t announced = atomic_load_explicit(&shared->ring_count, memory_order_acquire);
    if (HS_LIKELY(announced <= rings->count))
        return 0;
    if (announced > HS_MAX_RINGS)
        announced = HS_MAX_RINGS; /* numbers beyond are never announced */
    struct ring_reader **readers = reallocarray(rings->readers, announced, sizeof *readers);
    if (!readers)
        return -ENOMEM;
    rings->readers = readers;
    while (rings->count < announced) {
        uint32_t number = rings->count;
        uint64_t offset = atomic_load_explicit(&shared->rings[number], memory_order_acquire);
        if (offset == 0)
            break; /* counted, but not yet announced; those behind it have to wait a moment */
        struct ring_reader *reader;
        int code = open_ring(&reader, memory_fd, offset, wrong);
        if (code != 0)
            return code;
        for (uint32_t i = 0; i < number; i++)
            readers[i]->barrier = ring_head(readers[i]);
        reader->known_then = number;
        readers[rings->count++] = reader;
    }
    return 0;
}

void rings_close(struct rings *rings)
{
    for (uint32_t i = 0; i < rings->count; i++) {
        munmap(rings->readers[i]->ring, rings->readers[i]->mapped_bytes);
        free(rings->readers[i]);
    }
    free(rings->readers);
    rings->readers = NULL;
    rings->count = 0;
}

bool ring_is_ready(const struct rings *rings, struct ring_reader *reader)
{
    if (HS_LIKELY(reader->ready))
        return true;
    for (uint32_t i = 0; i < reader->known_then; i++)
        if (!rings->readers[i]->sequenced && rings->readers[i]->tail < rings->readers[i]->barrier)
            return false;
    return reader->ready = true;
}

bool rings_skip_gap(struct rings *rings, bool over, unsigned stripes)
{
    struct ring_reader *least = NULL;
    for (uint32_t i = 0; i < rings->count; i++) {
        struct ring_reader *reader = rings->readers[i];
        if (reader->blocked && reader->blocked_stripe < stripes &&
            (!least || reader->blocked_number - rings->expected[reader->blocked_stripe] <
                           least->blocked_number - rings->expected[least->blocked_stripe]))
            least = reader;
    }
    if (!least)
        return false;
    uint64_t *expected = &rings->expected[least->blocked_stripe];
    for (uint32_t i = 0; i < rings->count; i++)
        if (rings->readers[i]->blocked && rings->readers[i]->blocked_stripe == least->blocked_stripe &&
            rings->readers[i]->blocked_number < least->blocked_number)
            least = rings->readers[i];
    /* A thread that was killed leaves the number of the event that it was about to write: nothing is missing. */
    *(over ? &rings->torn : &rings->skipped) += least->blocked_number - *expected;
    *expected = least->blocked_number;
    return true;
}
