/* fake_program.c - see fake_program.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_program.h"

static char folder[32], path[64];

const char *fake_trace(void)
{
    return path;
}

struct hs_ring *add_ring(struct fake *fake, uint32_t slots)
{
    uint32_t number = fake->shared->ring_count;
    struct hs_ring *ring = (struct hs_ring *)((char *)fake->shared + fake->used);
    ring->slot_count = slots;
    ring->owner_tid = 100 + number;
    fake->rings[number] = ring;
    fake->shared->rings[number] = fake->used;
    fake->used += (sizeof *ring + slots * sizeof(struct hs_slot) + HS_PAGE_SIZE - 1) / HS_PAGE_SIZE * HS_PAGE_SIZE;
    fake->shared->ring_count = number + 1;
    return ring;
}

struct hs_ring *ring_with_one(struct fake *fake)
{
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 10, 1);
    return ring;
}

static void add_nodes(struct fake *fake, uint32_t count)
{
    struct hs_node *nodes = (struct hs_node *)((char *)fake->shared + fake->used);
    fake->shared->node_segments[0] = fake->used;
    fake->used += HS_NODES_PER_SEGMENT * sizeof *nodes;
    for (uint32_t i = 1; i < count; i++) {
        nodes[i].parent = i - 1;
        nodes[i].frame = 0x1000 + i;
        nodes[i].kind = HS_NODE_NATIVE;
    }
    fake->shared->node_count = count;
}

int fake_begin(void **state)
{
    struct fake *fake = calloc(1, sizeof *fake);
    struct error error = {0};
    struct output *output;
    pthread_mutex_init(&fake->recorder.lock, NULL);
    fake->recorder.wake_fd = -1;
    fake->process = (struct process){.pid = getpid(), .pidfd = -1, .references = 1};
    strcpy(folder, "/tmp/heapsake-fake-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/t.hsk", folder);
    if (session_new(&fake->session, &fake->recorder, &fake->process, &error) != 0 ||
        output_open(&output, path, false, false, &error) != 0)
        return -1;
    session_begin_output(fake->session, output);
    fake->shared = mmap(NULL, HS_SESSION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fake->session->memory_fd, 0);
    if (fake->shared == MAP_FAILED)
        return -1;
    fake->used = HS_HEADER_BYTES;
    add_nodes(fake, 100);
    *state = fake;
    return 0;
}

int fake_end(void **state)
{
    struct fake *fake = *state;
    munmap(fake->shared, HS_SESSION_BYTES);
    session_free(fake->session);
    buf_free(&fake->recorder.saying);
    while (fake->recorder.said) {
        struct said *next = fake->recorder.said->next;
        free(fake->recorder.said);
        fake->recorder.said = next;
    }
    free(fake);
    unlink(path);
    return rmdir(folder);
}

void put(struct hs_ring *ring, struct hs_slot slot)
{
    uint64_t head = atomic_load(&ring->head);
    ring->slots[head & (ring->slot_count - 1)] = slot;
    atomic_store(&ring->head, head + 1);
}

void put_event(struct hs_ring *ring, enum hs_slot_type type, enum hs_domain domain, uint64_t address, uint32_t size,
               uint32_t node)
{
    put(ring, hs_slot_pack(type, domain, address, size, node));
}

void put_sequenced(struct hs_ring *ring, enum hs_slot_type type, uint64_t address, uint32_t size, uint64_t number)
{
    struct hs_slot slot = hs_slot_pack(type, HS_DOMAIN_MALLOC, address, size, type == HS_SLOT_ALLOC);
    hs_slot_set_sequence(&slot, number);
    put(ring, slot);
}

void put_slots(struct hs_ring *ring, struct hs_slot slot, const void *bytes, size_t length)
{
    uint64_t head = atomic_load(&ring->head);
    ring->slots[head++ & (ring->slot_count - 1)] = slot;
    for (size_t at = 0; at < length; at += sizeof slot) {
        memcpy(&slot, (const char *)bytes + at, length - at < sizeof slot ? length - at : sizeof slot);
        ring->slots[head++ & (ring->slot_count - 1)] = slot;
    }
    atomic_store(&ring->head, head);
}

void put_message(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length)
{
    put_slots(ring, (struct hs_slot){.w0 = HS_SLOT_MESSAGE | (uint64_t)kind << 16, .w1 = length}, bytes, length);
}

void put_numbered(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length, uint64_t number)
{
    struct hs_slot slot = {.w0 = HS_SLOT_MESSAGE | (uint64_t)kind << 16, .w1 = length};
    hs_slot_set_sequence(&slot, number);
    put_slots(ring, slot, bytes, length);
}

void put_seen(struct hs_ring *ring, uint64_t marks)
{
    put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_SEEN << 16, .w1 = marks});
}

struct drain_result drain(struct fake *fake)
{
    return drain_session(fake->session, 1 << 20, false);
}

void expect_stopped(struct fake *fake, uint64_t good_allocations)
{
    drain(fake);
    assert_int_equal(fake->session->ended, SESSION_STOPPED);
    assert_int_equal(atomic_load(&fake->shared->stop), HS_STOP_PROTOCOL);
    assert_int_equal(fake->session->encoder.allocations, good_allocations);
    assert_true(fake->session->wrong[0]);
    assert_int_equal(drain(fake).slots, 0);
}

void fake_read_events(struct fake *fake, event_visit *visit, void *context)
{
    struct trace_reader *reader;
    struct error error = {0};
    session_flush(fake->session);
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    each_event(reader, false, visit, context);
    trace_reader_close(reader);
}
