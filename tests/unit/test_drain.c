/*
 * test_drain.c - a fake program writes slots into a session's memory, well and badly; the drain must get order,
 * matching and totals right, and survive everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/type_names.h"
#include "record/drain.h"
#include "record/recorder_private.h"
#include "record/session_snapshots_private.h"
#include "trace/decode.h"

#define MAX_FAKE_RINGS 8
#define RING_SLOTS 1024u

static char folder[32], path[64];

/* What a program has: the memory, and rings carved from it. */
struct fake {
    struct recorder recorder;
    struct process process;
    struct session *session;
    struct hs_session *shared; /* the whole file */
    struct hs_ring *rings[MAX_FAKE_RINGS];
    uint64_t used;
    uint64_t number[HS_STRIPES];
};

static struct hs_ring *add_ring(struct fake *fake, uint32_t slots)
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

static int begin(void **state)
{
    struct fake *fake = calloc(1, sizeof *fake);
    struct error error = {0};
    struct output *output;
    pthread_mutex_init(&fake->recorder.lock, NULL);
    fake->recorder.wake_fd = -1;
    fake->process = (struct process){.pid = getpid(), .pidfd = -1, .references = 1};
    strcpy(folder, "/tmp/heapsake-drain-XXXXXX");
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

static int end(void **state)
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

static void put(struct hs_ring *ring, struct hs_slot slot)
{
    uint64_t head = atomic_load(&ring->head);
    ring->slots[head & (ring->slot_count - 1)] = slot;
    atomic_store(&ring->head, head + 1);
}

static void event(struct hs_ring *ring, enum hs_slot_type type, enum hs_domain domain, uint64_t address, uint32_t size,
                  uint32_t node)
{
    put(ring, hs_slot_pack(type, domain, address, size, node));
}

static void sequenced(struct hs_ring *ring, enum hs_slot_type type, uint64_t address, uint32_t size, uint64_t number)
{
    struct hs_slot slot = hs_slot_pack(type, HS_DOMAIN_MALLOC, address, size, type == HS_SLOT_ALLOC);
    hs_slot_set_sequence(&slot, number);
    put(ring, slot);
}

static void write_message(struct hs_ring *ring, struct hs_slot slot, const void *bytes, size_t length)
{
    uint64_t head = atomic_load(&ring->head);
    ring->slots[head++ & (ring->slot_count - 1)] = slot;
    for (size_t at = 0; at < length; at += sizeof slot) {
        memcpy(&slot, (const char *)bytes + at, length - at < sizeof slot ? length - at : sizeof slot);
        ring->slots[head++ & (ring->slot_count - 1)] = slot;
    }
    atomic_store(&ring->head, head);
}

static void message(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length)
{
    write_message(ring, (struct hs_slot){.w0 = HS_SLOT_MESSAGE | (uint64_t)kind << 16, .w1 = length}, bytes, length);
}

/* One that stands in the order of the marks. */
static void numbered(struct hs_ring *ring, enum hs_message_kind kind, const void *bytes, size_t length, uint64_t number)
{
    struct hs_slot slot = {.w0 = HS_SLOT_MESSAGE | (uint64_t)kind << 16, .w1 = length};
    hs_slot_set_sequence(&slot, number);
    write_message(ring, slot, bytes, length);
}

/* What follows in the ring was done behind all marks below this number. */
static void seen(struct hs_ring *ring, uint64_t marks)
{
    put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_SEEN << 16, .w1 = marks});
}

static struct drain_result drain(struct fake *fake)
{
    return drain_session(fake->session, 1 << 20, false);
}

#define EXPECT(fake, n_allocations, n_frees, n_live, n_bytes)                                                          \
    do {                                                                                                               \
        assert_int_equal((fake)->session->encoder.allocations, n_allocations);                                         \
        assert_int_equal((fake)->session->encoder.frees, n_frees);                                                     \
        assert_int_equal((fake)->session->totals.live_blocks, n_live);                                                 \
        assert_int_equal((fake)->session->totals.live_bytes, n_bytes);                                                 \
    } while (0)

static void test_match(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 100, 1);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_PY_OBJECT, 0x2000, 50, 2);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_ARENA, 0x2000, 1 << 18, 2);
    put(ring, (struct hs_slot){.w0 = HS_SLOT_SIZE_HIGH, .w1 = 3});
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x5000, 7, 3);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x6000, 7, 3); /* the high half is for one event alone */
    assert_int_equal(drain(fake).slots, 6);
    EXPECT(fake, 5, 0, 4, 157 + (UINT64_C(3) << 32) + 7);
    event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x5000, 0, 0);
    event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x6000, 0, 0);
    event(ring, HS_SLOT_FREE, HS_DOMAIN_PY_OBJECT, 0x2000, 0, 0);
    event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x7777, 0, 0); /* never seen */
    drain(fake);
    EXPECT(fake, 5, 4, 1, 100);
    event(ring, HS_SLOT_FREE, HS_DOMAIN_ARENA, 0x2000, 0, 0);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 30, 1); /* its free got lost: the old block ends here */
    drain(fake);
    EXPECT(fake, 6, 6, 1, 30);
    assert_int_equal(fake->session->totals.peak_bytes, 157 + (UINT64_C(3) << 32) + 7);
    assert_int_equal(fake->session->totals.peak_event, 5);
    assert_int_equal(atomic_load(&ring->tail), atomic_load(&ring->head));
    assert_int_equal(fake->session->ended, SESSION_LIVES);
}

static void test_reallocs(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS), *other = add_ring(fake, RING_SLOTS);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 100, 1);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 100);
    /* The kernel of it is done: another thread has got the old address before this one says so. */
    event(other, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 7, 1);
    drain(fake);
    EXPECT(fake, 2, 0, 2, 107);
    event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MALLOC, 0x9000, 200, 1);
    drain(fake);
    EXPECT(fake, 3, 1, 2, 207);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x9000, 0, 0);
    event(ring, HS_SLOT_REALLOC_ABORT, HS_DOMAIN_MALLOC, 0x9000, 0, 0);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    event(ring, HS_SLOT_REALLOC_FREED, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    drain(fake);
    EXPECT(fake, 3, 2, 1, 200);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0xabc0, 0, 0); /* of a block that nobody saw */
    event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MALLOC, 0xabd0, 5, 1);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x9000, 0, 0); /* killed in there */
    drain_session(fake->session, 1 << 20, true);
    EXPECT(fake, 4, 3, 2, 205);
    struct live_block block;
    assert_true(live_table_take(&fake->session->live, 0x9000, false, &block));
    assert_int_equal(block.size, 200);
}

/* What the trace holds of objects: (kind, ordinal, type, node) of each op. */
static size_t read_objects(struct fake *fake, struct event *out, size_t room)
{
    struct trace_reader *reader;
    struct error error = {0};
    struct events *events = malloc(sizeof *events);
    size_t count = 0;
    session_flush(fake->session);
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        const char *wrong;
        struct event one = {0};
        assert_int_equal(trace_reader_load(reader, i, &raw, &length), 0);
        if (reader->chunks[i].header.type != HSK_CHUNK_EVENTS)
            continue;
        assert_true(events_begin(events, &reader->chunks[i].header, raw, length, &wrong));
        while (events_next(events, &one, false))
            if (one.kind >= HSK_OP_OBJECT) {
                assert_true(count < room);
                out[count++] = one;
            }
    }
    trace_reader_close(reader);
    free(events);
    return count;
}

static void test_objects(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS), *other = add_ring(fake, RING_SLOTS);
    const enum hs_domain domain = HS_DOMAIN_PY_OBJECT;
    event(ring, HS_SLOT_ALLOC, domain, 0x1000, 100, 1); /* 0 */
    event(ring, HS_SLOT_OBJECT, domain, 0x1000, 5, HS_OBJECT_NODE_SAME);
    event(ring, HS_SLOT_ALLOC, domain, 0x2000, 100, 1); /* 1 */
    event(ring, HS_SLOT_OBJECT, domain, 0x1000, 6, 7);  /* recycled */
    event(ring, HS_SLOT_OBJECT_END, domain, 0x2000, 0, 0);
    event(ring, HS_SLOT_OBJECT, domain, 0x3000, 5, HS_OBJECT_NODE_SAME); /* nobody saw that block */
    event(ring, HS_SLOT_OBJECT, domain, 0x3000, 5, 7);
    event(ring, HS_SLOT_OBJECT_END, domain, 0x3000, 0, 0);
    event(ring, HS_SLOT_OBJECT, domain, 0x2004, 5, 7);     /* nor a block that begins there */
    event(ring, HS_SLOT_OBJECT_END, domain, 0x2000, 0, 0); /* which its free says */
    event(ring, HS_SLOT_FREE, domain, 0x2000, 0, 0);
    event(ring, HS_SLOT_OBJECT, domain, 0x2000, 5, HS_OBJECT_NODE_SAME); /* gone */
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_ARENA, 0x4000, 1 << 18, 1);     /* 2 */
    event(ring, HS_SLOT_OBJECT, domain, 0x4000, 5, HS_OBJECT_NODE_SAME); /* in no arena */
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x100000, 0x1000, 1);     /* 3 */
    event(ring, HS_SLOT_OBJECT, domain, 0x100000, 5, HS_OBJECT_NODE_SAME);
    event(ring, HS_SLOT_REALLOC_BEGIN, domain, 0x1000, 0, 0);
    event(ring, HS_SLOT_REALLOC_COMMIT, domain, 0x1010, 200, 1); /* 4 */
    event(ring, HS_SLOT_OBJECT, domain, 0x1010, 9, HS_OBJECT_NODE_SAME);
    drain(fake);
    EXPECT(fake, 5, 2, 2, 200 + 0x1000);
    assert_int_equal(fake->session->unknown_objects, 7);
    assert_int_equal(fake->session->encoder.objects, 3);
    struct event found[8];
    assert_int_equal(read_objects(fake, found, HS_COUNT_OF(found)), 4);
    assert_true(found[0].kind == HSK_OP_OBJECT && found[0].ordinal == 0 && found[0].type == 5 && found[0].same_stack);
    assert_true(found[1].kind == HSK_OP_OBJECT && found[1].ordinal == 0 && found[1].type == 6 && found[1].node == 7);
    assert_true(found[2].kind == HSK_OP_OBJECT_END && found[2].ordinal == 1);
    assert_true(found[3].kind == HSK_OP_OBJECT && found[3].ordinal == 4 && found[3].type == 9 && found[3].same_stack);

    /* Their place in the order of an address counts as an allocation's does. */
    unsigned stripe = hs_stripe_of(0x8000, domain);
    struct hs_slot slot = hs_slot_pack(HS_SLOT_OBJECT, domain, 0x8000, 11, HS_OBJECT_NODE_SAME);
    hs_slot_set_sequence(&slot, 1);
    put(ring, slot);
    drain(fake);
    assert_int_equal(fake->session->unknown_objects, 7);
    slot = hs_slot_pack(HS_SLOT_ALLOC, domain, 0x8000, 11, 1);
    hs_slot_set_sequence(&slot, 0);
    put(other, slot);
    drain(fake);
    assert_int_equal(fake->session->expected[stripe], 2);
    assert_int_equal(fake->session->unknown_objects, 7);
    assert_int_equal(fake->session->encoder.objects, 4);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    event(ring, HS_SLOT_OBJECT, domain, 0x8000, 11, 5000); /* a stack that does not exist */
    drain(fake);
    assert_int_equal(fake->session->ended, SESSION_STOPPED);
}

/* Of a known block by its ordinal, header or not; else by address, with the type. A watch by its number. */
static void test_counts(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    const enum hs_domain domain = HS_DOMAIN_PY_OBJECT;
    const uint64_t up = hs_count_pack(HS_COUNT_INSTRUMENTED, false, 16, 3, 0);
    const uint64_t typed = hs_count_pack(HS_COUNT_GOBJECT, true, 0, UINT64_MAX, 77);
    const struct hs_slot high = {.w0 = HS_SLOT_SIZE_HIGH, .w1 = typed >> 32};
    event(ring, HS_SLOT_ALLOC, domain, 0x1000, 100, 1);
    event(ring, HS_SLOT_COUNT, domain, 0x1010, (uint32_t)up, 7);
    event(ring, HS_SLOT_COUNT, domain, 0x1000, (uint32_t)up, 7); /* no block begins 16 bytes before */
    put(ring, high);
    event(ring, HS_SLOT_COUNT, domain, 0x5550, (uint32_t)typed, 8);
    event(ring, HS_SLOT_WATCH, domain, 12, 4000000000, 9);
    const struct hs_message_watch watch = {.watch = 12, .address = 0x1010, .block = 0x1000, .bytes = 4, .node = 5000};
    message(ring, HS_MESSAGE_WATCH, &watch, sizeof watch);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 100);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    struct buf *payload = &fake->session->watches_payload;
    struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
    static const uint64_t expected[] = {0, 12, 1, 0x1010, 4, 0, 1, 0, 0, 0};
    for (size_t i = 0; i < HS_COUNT_OF(expected); i++)
        assert_int_equal(cursor_varint(&cursor), expected[i]);
    struct event found[8];
    assert_int_equal(read_objects(fake, found, HS_COUNT_OF(found)), 4);
    assert_true(found[0].source == HSK_COUNT_INSTRUMENTED && !found[0].loose && found[0].ordinal == 0 &&
                found[0].count == 3 && !found[0].down && found[0].node == 7);
    assert_true(found[1].loose && found[1].address == 0x1000 && found[1].type == 0);
    assert_true(found[2].source == HSK_COUNT_GOBJECT && found[2].loose && found[2].address == 0x5550 && found[2].down &&
                found[2].type == 77 && found[2].count == HS_COUNT_MAX && found[2].node == 8);
    assert_true(found[3].source == HSK_COUNT_WATCH && found[3].watch == 12 && found[3].count == 4000000000 &&
                found[3].node == 9);
}

static void test_types(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    struct {
        struct hs_message_type type;
        char strings[12];
    } body = {.type = {.type = 3, .flags = HSK_TYPE_GC, .module_length = 3, .name_length = 9}};
    memcpy(body.strings, "appOuter.Foo", sizeof body.strings);
    message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    session_flush(fake->session);
    body.type.type = 4;
    body.type.module_length = 0;
    message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    session_flush(fake->session);
    session_flush(fake->session);
    struct trace_reader *reader;
    struct type_names names;
    struct error error = {0};
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    assert_int_equal(type_names_load(&names, reader, &error), 0);
    assert_true(names.any);
    assert_string_equal(type_names_text(&names, type_names_find(&names, 3)), "app.Outer.Foo");
    assert_string_equal(type_names_text(&names, type_names_find(&names, 4)), "appOuter.");
    assert_int_equal(type_names_find(&names, 5), 0);
    type_names_free(&names);
    trace_reader_close(reader);

    /* A forked child begins with the types of its parent. */
    struct fork_snapshot *snapshot = fork_snapshot_new(fake->session, 1);
    assert_non_null(snapshot);
    assert_int_equal(snapshot->types.bytes.length, fake->session->types.bytes.length);
    assert_memory_equal(snapshot->types.bytes.data, fake->session->types.bytes.data, snapshot->types.bytes.length);
    fork_snapshot_free(snapshot);

    body.type.name_length = 13;
    message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    assert_int_equal(fake->session->ended, SESSION_STOPPED);
    assert_string_equal(fake->session->wrong, "a type that makes no sense");
}

static void test_mappings(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x100000, 0x10000, 1);
    event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x104000, 0x2000, 0); /* a hole: two pieces are left */
    drain(fake);
    EXPECT(fake, 3, 1, 2, 0xe000);
    event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x0, 0x1000, 0);      /* nothing of ours */
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x103000, 0x4000, 2); /* over both */
    drain(fake);
    EXPECT(fake, 6, 3, 3, 0x10000);
    event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MMAP, 0x103000, 0, 0);
    event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MMAP, 0x200000, 0x8000, 2);
    drain(fake);
    EXPECT(fake, 7, 4, 3, 0x10000 - 0x4000 + 0x8000);
    event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x100000, UINT32_MAX & ~0xfffu, 0);
    drain(fake);
    EXPECT(fake, 7, 7, 0, 0);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
}

static void test_order_across_rings(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    event(first, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 10, 1); /* before there was a second thread */
    /* the second frees it and gives it to the first again, three times, all in the rings at once */
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 0);
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 20, 1);
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 2);
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 30, 3);
    drain(fake);
    EXPECT(fake, 3, 2, 1, 30);
    assert_int_equal(fake->session->totals.peak_bytes, 30);
    /* number 4 is still on its way: 5 has to wait */
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 5);
    assert_int_equal(drain(fake).slots, 0);
    assert_true(drain(fake).left);
    EXPECT(fake, 3, 2, 1, 30);
    sequenced(first, HS_SLOT_ALLOC, 0x1000 + (1 << 22), 1, 4); /* the same stripe */
    drain(fake);
    EXPECT(fake, 4, 3, 1, 1);
}

static void test_far_numbers(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    uint64_t address = 0x40000, number = 0;
    unsigned stripe = hs_stripe_of(address, HS_DOMAIN_MALLOC);
    sequenced(second, HS_SLOT_ALLOC, address, 8, number++);
    for (; number < 70001; number++) {
        sequenced(first, number % 2 ? HS_SLOT_FREE : HS_SLOT_ALLOC, address, 8, number);
        drain(fake);
    }
    put(second, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = number});
    sequenced(second, HS_SLOT_FREE, address, 0, number++);
    drain(fake);
    EXPECT(fake, 35001, 35001, 0, 0);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
}

static void test_gap(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    /* a thread was killed with number 0 in hand */
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 10, 2);
    sequenced(second, HS_SLOT_ALLOC, 0x2000 + (1 << 22), 10, 0);
    sequenced(second, HS_SLOT_ALLOC, 0x1000 + (1 << 22), 10, 1);
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 3);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 10);
    struct drain_result last = drain_session(fake->session, 1 << 20, true);
    assert_false(last.left);
    EXPECT(fake, 3, 1, 2, 20);
    assert_int_equal(fake->session->torn, 1);
    assert_int_equal(fake->session->skipped, 0);
}

static void test_late_ring(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS);
    drain(fake);
    struct hs_ring *second = add_ring(fake, RING_SLOTS);
    /* Unsequenced allocations, held up by a fork, then a thread whose first event frees the last of those blocks. */
    struct hs_message_fork fork_body = {.fork_id = 1};
    message(first, HS_MESSAGE_FORK, &fork_body, sizeof fork_body);
    for (uint32_t i = 0; i < 500; i++)
        event(first, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x10000 + i * 16, 8, 1);
    sequenced(second, HS_SLOT_FREE, 0x10000 + 499 * 16, 0, 0);
    drain(fake);
    EXPECT(fake, 500, 1, 499, 499 * 8);
    assert_false(live_table_take(&fake->session->live, 0x10000 + 499 * 16, false, &(struct live_block){0}));
}

/* A snapshot has the events of all rings before it, in whatever order their numbers let them be read. */
static void test_snapshot_waits(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *asking = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS),
                   *third = add_ring(fake, RING_SLOTS), *stuck = add_ring(fake, RING_SLOTS);
    struct hs_message_snapshot body = {.number = 1, .reason = HS_SNAPSHOT_ASKED};
    drain(fake); /* all rings are known */
    numbered(asking, HS_MESSAGE_SNAPSHOT, &body, sizeof body, 0);
    /* Each of them waits for the other after every event. */
    const uint64_t count = 100;
    for (uint64_t number = 0; number < count; number++)
        sequenced(number % 2 ? second : third, number % 2 ? HS_SLOT_FREE : HS_SLOT_ALLOC, 0x1000, 8, number);
    sequenced(third, HS_SLOT_ALLOC, 0x1000, 24, count);
    /* This one comes after what follows the snapshot in its own ring, and must not be waited for. */
    sequenced(asking, HS_SLOT_FREE, 0x1000, 0, count + 1);
    seen(stuck, 1);
    sequenced(stuck, HS_SLOT_ALLOC, 0x1000, 40, count + 2);
    drain(fake);
    const struct graph_snapshot *snapshot = fake->session->snapshots ? fake->session->snapshots->first : NULL;
    assert_non_null(snapshot);
    assert_int_equal(snapshot->event, count + 1);
    EXPECT(fake, count / 2 + 2, count / 2 + 1, 1, 40);
    snapshots_drop(fake->session);
}

/* ---- marks ---- */

static void name_mark(struct hs_ring *ring, const char *name, uint64_t number)
{
    uint8_t bytes[64];
    struct hs_message_mark mark = {.kind = HSK_MARK_NAMED, .name_length = (uint32_t)strlen(name)};
    memcpy(bytes, &mark, sizeof mark);
    memcpy(bytes + sizeof mark, name, mark.name_length);
    numbered(ring, HS_MESSAGE_MARK, bytes, sizeof mark + mark.name_length, number);
}

static void region_begins(struct hs_ring *ring, uint32_t region, uint64_t number)
{
    uint8_t bytes[sizeof(struct hs_message_mark) + 1];
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_BEGIN, .region = region, .name_length = 1};
    memcpy(bytes, &mark, sizeof mark);
    bytes[sizeof mark] = 'r';
    numbered(ring, HS_MESSAGE_MARK, bytes, sizeof bytes, number);
}

static void region_ends(struct hs_ring *ring, uint32_t region, uint64_t number)
{
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_END, .region = region};
    numbered(ring, HS_MESSAGE_MARK, &mark, sizeof mark, number);
}

/* What the file has: 'a' an allocation, 'f' a free, 'm' a mark, 'b' and 'e' a region's begin and end. */
static const char *written(struct fake *fake)
{
    static char text[4096];
    struct trace_reader *reader;
    struct error error = {0};
    struct events *events = malloc(sizeof *events);
    struct event event = {0};
    size_t count = 0;
    session_flush(fake->session);
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        const char *wrong = NULL;
        if (reader->chunks[i].header.type != HSK_CHUNK_EVENTS)
            continue;
        assert_int_equal(trace_reader_load(reader, i, &raw, &length), 0);
        assert_true(events_begin(events, &reader->chunks[i].header, raw, length, &wrong));
        while (events_next(events, &event, false) && count < sizeof text - 1) {
            if (event.kind == HSK_OP_MARK)
                text[count++] = "?xxmbe??"[event.mark];
            else if (event.kind <= HSK_OP_FREE_UNKNOWN)
                text[count++] = event.kind == HSK_OP_ALLOC ? 'a' : 'f';
        }
    }
    text[count] = '\0';
    trace_reader_close(reader);
    free(events);
    return text;
}

/* What other threads have done before a mark stands before it, and what they do behind it stands behind it. */
static void test_mark_among_threads(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS),
                   *third = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "m", 0);
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 2);
    sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    seen(second, 1);
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 3);
    seen(third, 1);
    sequenced(third, HS_SLOT_ALLOC, 0x1000, 8, 4);
    sequenced(third, HS_SLOT_FREE, 0x1000, 0, 5);
    drain(fake);
    assert_string_equal(written(fake), "afmafaf");
}

/*
 * An event of one thread that another one waits for stands behind a mark that would wait for that other one: it was
 * done at the same time.
 */
static void test_mark_at_the_same_time(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "m", 0);
    seen(second, 0);
    put(second, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_MAYBE << 16, .w1 = 1});
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake), "m");
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 0);
    assert_false(drain(fake).left);
    assert_string_equal(written(fake), "maf");
}

/* A mark of a thread that has not written it yet is waited for, as an event is; of one that is gone, not. */
static void test_mark_to_come(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "late", 1);
    seen(second, 2);
    sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake), "");
    name_mark(second, "never", 3);
    name_mark(add_ring(fake, RING_SLOTS), "early", 0);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake), "mma");
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    assert_string_equal(written(fake), "mmam");
    assert_int_equal(fake->session->skipped, 0);
}

/* A mark that comes after its number was given up waits for none that wait for it. */
static void test_late_mark(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "given up before", 1);
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    name_mark(first, "expected", 2);
    name_mark(second, "late", 0);
    assert_false(drain(fake).left);
    assert_string_equal(written(fake), "mmm");
    assert_int_equal(fake->session->overtaken, 1);
}

/* What the finished trace says in its notes. Whoever finishes it wakes the recorder then. */
static void finish(struct fake *fake, struct buf *notes)
{
    struct trace_reader *reader;
    struct error error = {0};
    uint64_t woken;
    fake->recorder.wake_fd = eventfd(0, EFD_CLOEXEC);
    finish_session(&fake->recorder, fake->session);
    assert_int_equal(read(fake->recorder.wake_fd, &woken, sizeof woken), sizeof woken);
    for (bool at_work = true; at_work; sched_yield()) { /* its last steps are with the lock */
        pthread_mutex_lock(&fake->recorder.lock);
        assert_ptr_equal(fake->recorder.finished, fake->session);
        at_work = fake->recorder.finishers > 0;
        pthread_mutex_unlock(&fake->recorder.lock);
    }
    close(fake->recorder.wake_fd);
    fake->recorder.wake_fd = -1;
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].header.type == HSK_CHUNK_NOTE && trace_reader_load(reader, i, &raw, &length) == 0)
            buf_append(notes, raw, length);
    }
    trace_reader_close(reader);
}

static bool said(const struct buf *notes, const char *text)
{
    return notes->length > 0 && memmem(notes->data, notes->length, text, strlen(text));
}

/* Events that come after their numbers were given up are in the trace, which tells of them. */
static void test_overtaken(void **state)
{
    struct fake *fake = *state;
    struct buf notes = BUF_INIT;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 2);
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    sequenced(second, HS_SLOT_ALLOC, 0x1000, 16, 0);
    sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_false(drain(fake).left);
    assert_int_equal(fake->session->overtaken, 2);
    finish(fake, &notes);
    assert_true(said(&notes, "2 events came too late to be put in their place"));
    buf_free(&notes);
}

static void test_none_overtaken(void **state)
{
    struct fake *fake = *state;
    struct buf notes = BUF_INIT;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    sequenced(first, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_true(drain(fake).left);
    sequenced(second, HS_SLOT_ALLOC, 0x1000, 16, 0);
    assert_false(drain(fake).left);
    finish(fake, &notes);
    assert_false(said(&notes, "too late"));
    buf_free(&notes);
}

/* A region ends where it is told, whoever does it; what no one has begun ends nowhere. */
static void test_regions(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    region_ends(first, 7, 1);
    region_begins(second, 7, 0);
    region_ends(second, 7, 2); /* once more */
    region_ends(second, 8, 3);
    region_begins(second, 9, 4);
    region_begins(second, 9, 5); /* its number has come round: the former stays open */
    region_ends(first, 9, 6);
    drain(fake);
    assert_string_equal(written(fake), "bebbe");
    assert_int_equal(fake->session->marks.open.count, 0);
}

/* A wish is granted when everything before it is in the file. */
static void test_flush(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    struct hs_message_wish wish = {.wish = 5, .kind = HS_WISH_FLUSH};
    drain(fake);
    numbered(first, HS_MESSAGE_WISH, &wish, sizeof wish, 0);
    sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    atomic_store(&first->waiting, 1);
    drain(fake);
    assert_int_equal(atomic_load(&first->answer), UINT64_C(5) << 32);
    assert_true(atomic_load(&first->wake) > 0);
    assert_true(encoder_empty(&fake->session->encoder));
    assert_string_equal(written(fake), "a");
}

/* While the program clones itself, its recorder does nothing: until something follows, or nothing can. */
static void test_snapshot_of_one_thread(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    struct hs_message_snapshot body = {.number = 1, .reason = HS_SNAPSHOT_ASKED};
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 8, 1);
    message(ring, HS_MESSAGE_SNAPSHOT, &body, sizeof body);
    assert_int_equal(drain(fake).slots, 1);
    assert_null(fake->session->snapshots);
    assert_true(drain(fake).left);
    struct hs_message_snapshot_forked forked = {.number = 1, .pid = -EAGAIN};
    message(ring, HS_MESSAGE_SNAPSHOT_FORKED, &forked, sizeof forked);
    assert_false(drain(fake).left);
    assert_non_null(fake->session->snapshots);
    assert_int_equal(fake->session->snapshots->last_number, 1);
    body.number = 2;
    message(ring, HS_MESSAGE_SNAPSHOT, &body, sizeof body);
    drain(fake);
    assert_int_equal(fake->session->snapshots->last_number, 1);
    drain_session(fake->session, 1 << 20, true); /* killed in there */
    assert_int_equal(fake->session->snapshots->last_number, 2);
    snapshots_drop(fake->session);
}

static void test_messages(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, 64);
    struct {
        struct hs_message_code code;
        char strings[30];
    } code = {.code = {.code = 7,
                       .first_line = 3,
                       .file_length = 6,
                       .function_length = 4,
                       .line_table_length = 20,
                       .python_minor = 11},
              .strings = "app.pymain"};
    struct {
        struct hs_message_text text;
        char sentence[40];
    } blind = {.text = {.length = 40}, .sentence = "What cannot be seen cannot be recorded."};
    /* often, so that each kind crosses the end of the ring */
    for (int i = 0; i < 100; i++) {
        code.code.code = (uint32_t)i + 1;
        message(ring, HS_MESSAGE_CODE, &code, sizeof code);
        event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000 + (uint64_t)i * 16, 10, 1);
        message(ring, HS_MESSAGE_EXEC, NULL, 0);
        message(ring, HS_MESSAGE_EXEC_FAILED, NULL, 0);
        drain(fake);
    }
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    assert_int_equal(fake->session->codes.count, 100);
    const struct code_entry *entry = code_list_find(&fake->session->codes, 100);
    assert_non_null(entry);
    assert_memory_equal(entry->bytes, "app.pymain", 10);
    assert_false(fake->session->executing);
    message(ring, HS_MESSAGE_BLIND_SPOT, &blind, sizeof blind);
    message(ring, HS_MESSAGE_PYTHON, &(struct hs_message_python){.version = 0x030f00a2},
            sizeof(struct hs_message_python));
    message(ring, HS_MESSAGE_EXIT, &(struct hs_message_exit){.status = 0x1203}, sizeof(struct hs_message_exit));
    message(ring, HS_MESSAGE_FINALIZE, NULL, 0);
    drain(fake);
    assert_string_equal(fake->session->python_version, "3.15.0a2");
    assert_int_equal(fake->session->exit_status, 3);
    assert_int_equal(fake->session->kept.blocks, 100);
    EXPECT(fake, 100, 0, 100, 1000);
}

/* ---- nonsense ---- */

static void expect_stopped(struct fake *fake, uint64_t good_allocations)
{
    drain(fake);
    assert_int_equal(fake->session->ended, SESSION_STOPPED);
    assert_int_equal(atomic_load(&fake->shared->stop), HS_STOP_PROTOCOL);
    assert_int_equal(fake->session->encoder.allocations, good_allocations);
    assert_true(fake->session->wrong[0]);
    assert_int_equal(drain(fake).slots, 0);
}

static struct hs_ring *ring_with_one(struct fake *fake)
{
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 10, 1);
    return ring;
}

static void test_unknown_node(void **state)
{
    event(ring_with_one(*state), HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x2000, 10, 100);
    expect_stopped(*state, 1);
}

static void test_unknown_source(void **state)
{
    event(ring_with_one(*state), HS_SLOT_COUNT, HS_DOMAIN_PY_OBJECT, 0x1000, HS_COUNT_SOURCES << 1, 1);
    expect_stopped(*state, 1);
}

static void test_unknown_watch(void **state)
{
    event(ring_with_one(*state), HS_SLOT_WATCH, HS_DOMAIN_PY_OBJECT, 0, 1, 1);
    expect_stopped(*state, 1);
}

static void test_unknown_domain(void **state)
{
    event(ring_with_one(*state), HS_SLOT_ALLOC, (enum hs_domain)7, 0x2000, 10, 1);
    expect_stopped(*state, 1);
}

static void test_unwritten_slot(void **state)
{
    struct hs_ring *ring = ring_with_one(*state);
    atomic_fetch_add(&ring->head, 1);
    expect_stopped(*state, 1);
}

static void test_head_too_far(void **state)
{
    struct hs_ring *ring = ring_with_one(*state);
    drain(*state);
    atomic_fetch_add(&ring->head, RING_SLOTS + 1);
    expect_stopped(*state, 1);
}

static void test_head_goes_back(void **state)
{
    struct hs_ring *ring = ring_with_one(*state);
    drain(*state);
    atomic_store(&ring->head, 0);
    expect_stopped(*state, 1);
}

static void test_long_message(void **state)
{
    put(ring_with_one(*state), (struct hs_slot){.w0 = HS_SLOT_MESSAGE | HS_MESSAGE_CODE << 16, .w1 = HS_MESSAGE_MAX});
    expect_stopped(*state, 1);
}

static void test_endless_message(void **state)
{
    put(ring_with_one(*state), (struct hs_slot){.w0 = HS_SLOT_MESSAGE | HS_MESSAGE_CODE << 16, .w1 = UINT64_MAX});
    expect_stopped(*state, 1);
}

static void test_lying_message(void **state)
{
    struct hs_message_code code = {.code = 1, .file_length = UINT32_MAX, .function_length = UINT32_MAX};
    message(ring_with_one(*state), HS_MESSAGE_CODE, &code, sizeof code);
    expect_stopped(*state, 1);
}

static void test_unknown_mark(void **state)
{
    struct hs_message_mark mark = {.kind = 1};
    message(ring_with_one(*state), HS_MESSAGE_MARK, &mark, sizeof mark);
    expect_stopped(*state, 1);
}

static void test_lying_mark(void **state)
{
    struct hs_message_mark mark = {.kind = HSK_MARK_NAMED, .name_length = UINT32_MAX};
    message(ring_with_one(*state), HS_MESSAGE_MARK, &mark, sizeof mark);
    expect_stopped(*state, 1);
}

static void test_unknown_stripe(void **state)
{
    put(ring_with_one(*state), (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)(HS_STRIPES + 2) << 16});
    expect_stopped(*state, 1);
}

static void test_ring_outside(void **state)
{
    struct fake *fake = *state;
    ring_with_one(fake);
    drain(fake);
    fake->shared->rings[1] = HS_SESSION_BYTES - HS_PAGE_SIZE;
    ((struct hs_ring *)((char *)fake->shared + HS_SESSION_BYTES - HS_PAGE_SIZE))->slot_count = 1024;
    fake->shared->ring_count = 2;
    expect_stopped(fake, 1);
}

static void test_ring_beyond(void **state)
{
    struct fake *fake = *state;
    ring_with_one(fake);
    drain(fake);
    fake->shared->rings[1] = UINT64_MAX & ~(uint64_t)0xfff;
    fake->shared->ring_count = 2;
    expect_stopped(fake, 1);
}

static void test_odd_ring_size(void **state)
{
    struct fake *fake = *state;
    ring_with_one(fake);
    drain(fake);
    add_ring(fake, 1000);
    expect_stopped(fake, 1);
}

/* Nodes may be nonsense without more harm than nameless stacks. */
static void test_circular_nodes(void **state)
{
    struct fake *fake = *state;
    struct hs_node *nodes = (struct hs_node *)((char *)fake->shared + fake->shared->node_segments[0]);
    nodes[5].parent = 5;
    nodes[6].parent = 50;
    nodes[7].kind = 77;
    nodes[8].kind = HS_NODE_NONE; /* reserved, not written yet */
    event(ring_with_one(fake), HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x2000, 10, 99);
    drain(fake);
    session_flush(fake->session);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    assert_int_equal(fake->session->hole_count, 1);
    nodes[8].kind = HS_NODE_NATIVE;
    session_flush(fake->session);
    assert_int_equal(fake->session->hole_count, 0);
}

static uint64_t random_state;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Valid events with a few bits flipped, and plain noise: it may stop, it must not crash or hang. */
static void test_noise(void **state)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct fake *fake = *state;
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        add_ring(fake, RING_SLOTS);
        add_ring(fake, RING_SLOTS);
        unsigned flips = (unsigned)(seed % 4);
        for (int round = 0; round < 20 && fake->session->ended == SESSION_LIVES; round++) {
            for (int i = 0; i < 200; i++) {
                uint64_t address = (random_number() % 64) * 0x1000;
                enum hs_slot_type type = (enum hs_slot_type)(1 + random_number() % 7);
                struct hs_slot slot = hs_slot_pack(type, (enum hs_domain)(random_number() % HS_DOMAINS), address + 16,
                                                   (uint32_t)random_number() & 0xffff, (uint32_t)random_number() % 100);
                for (unsigned flip = 0; flip < flips && i % 37 == 0; flip++)
                    *(random_number() % 2 ? &slot.w0 : &slot.w1) ^= UINT64_C(1) << random_number() % 64;
                if (flips == 3)
                    slot = (struct hs_slot){random_number(), random_number()};
                put(fake->rings[random_number() % 2], slot);
            }
            drain_session(fake->session, 1 << 20, round == 19);
        }
        drain_session(fake->session, 1 << 20, true);
        session_flush(fake->session);
        end(state);
        assert_int_equal(begin(state), 0);
    }
}

/* ---- threads ---- */

struct writer {
    struct fake *fake;
    struct hs_ring *ring;
    uint64_t seed;
    uint64_t last[HS_STRIPES];
    uint64_t marks_seen;
};

/*
 * Threads that pass a token on. Who has it allocates some blocks, makes a mark, and passes it on; the others allocate
 * meanwhile what they like. Each mark stands exactly behind the blocks of the tokens up to it.
 */
enum { TOKENS = 1000, BLOCKS_OF_TOKEN = 3, TOKEN_BYTES = 777 };
static _Atomic uint32_t token;

static void write_number(struct writer *writer, struct hs_slot slot, unsigned stripe, const void *bytes, size_t length)
{
    struct hs_ring *ring = writer->ring;
    while (atomic_load(&ring->head) - atomic_load(&ring->tail) + 8 > ring->slot_count)
        sched_yield();
    _Atomic uint64_t *marks = &writer->fake->shared->sequence[HS_MARK_STRIPE].next;
    uint64_t before = atomic_load(marks);
    uint64_t number = atomic_fetch_add(&writer->fake->shared->sequence[stripe].next, 1);
    uint64_t after = atomic_load(marks);
    if (number - writer->last[stripe] > 0xffff)
        put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = number});
    writer->last[stripe] = number + 1;
    hs_slot_set_sequence(&slot, number);
    if (stripe != HS_MARK_STRIPE && before != writer->marks_seen)
        seen(ring, before);
    if (stripe != HS_MARK_STRIPE && after != before)
        put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_MAYBE << 16, .w1 = after});
    writer->marks_seen = stripe == HS_MARK_STRIPE ? number + 1 : before;
    write_message(ring, slot, bytes, length);
}

static void write_block(struct writer *writer, uint64_t address, uint32_t size)
{
    struct hs_slot slot = hs_slot_pack(HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, address, size, 1);
    write_number(writer, slot, hs_stripe_of(address, HS_DOMAIN_MALLOC), NULL, 0);
}

static void *pass_token(void *context)
{
    struct writer *writer = context;
    uint64_t address = UINT64_C(0x100000000) * (writer->seed + 1);
    for (uint32_t turn; (turn = atomic_load(&token)) < TOKENS;) {
        if (turn % 3 != writer->seed) {
            write_block(writer, address += 16 * 37, 8);
            continue;
        }
        for (unsigned i = 0; i < BLOCKS_OF_TOKEN; i++)
            write_block(writer, address += 16, TOKEN_BYTES);
        struct hs_message_mark mark = {.kind = HSK_MARK_NAMED};
        write_number(writer,
                     (struct hs_slot){.w0 = HS_SLOT_MESSAGE | (uint64_t)HS_MESSAGE_MARK << 16, .w1 = sizeof mark},
                     HS_MARK_STRIPE, &mark, sizeof mark);
        atomic_store(&token, turn + 1);
    }
    return NULL;
}

static void check_tokens(void)
{
    struct trace_reader *reader;
    struct error error = {0};
    struct events *events = malloc(sizeof *events);
    struct event event = {0};
    uint64_t blocks = 0, marks = 0;
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        const char *wrong = NULL;
        if (reader->chunks[i].header.type != HSK_CHUNK_EVENTS)
            continue;
        assert_int_equal(trace_reader_load(reader, i, &raw, &length), 0);
        assert_true(events_begin(events, &reader->chunks[i].header, raw, length, &wrong));
        while (events_next(events, &event, false)) {
            blocks += event.kind == HSK_OP_ALLOC && event.size == TOKEN_BYTES;
            if (event.kind == HSK_OP_MARK)
                assert_int_equal(blocks, ++marks * BLOCKS_OF_TOKEN);
        }
    }
    assert_int_equal(marks, TOKENS);
    trace_reader_close(reader);
    free(events);
}

static void test_marks_of_threads(void **state)
{
    struct fake *fake = *state;
    struct writer writers[3];
    pthread_t threads[3];
    atomic_store(&token, 0);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (struct writer){.fake = fake, .ring = add_ring(fake, 256), .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, pass_token, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++)
        while (pthread_tryjoin_np(threads[i], NULL) != 0)
            drain_session(fake->session, 10000, false);
    drain(fake);
    session_flush(fake->session);
    check_tokens();
    assert_int_equal(fake->session->skipped + fake->session->overtaken, 0);
}

enum { SHARED_BLOCKS = 64, ROUNDS = 60000 };
static _Atomic uint32_t holds[SHARED_BLOCKS]; /* 0: free, 1: being changed, 2: allocated */

static void write_sequenced(struct writer *writer, enum hs_slot_type type, uint64_t address)
{
    struct hs_ring *ring = writer->ring;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while (head - atomic_load_explicit(&ring->tail, memory_order_acquire) + 2 > ring->slot_count)
        sched_yield();
    unsigned stripe = hs_stripe_of(address, HS_DOMAIN_MALLOC);
    uint64_t number = atomic_fetch_add(&writer->fake->shared->sequence[stripe].next, 1);
    if (number - writer->last[stripe] > 0xffff) {
        ring->slots[head++ & (ring->slot_count - 1)] =
            (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = number};
    }
    writer->last[stripe] = number + 1;
    struct hs_slot slot = hs_slot_pack(type, HS_DOMAIN_MALLOC, address, 24, type == HS_SLOT_ALLOC);
    hs_slot_set_sequence(&slot, number);
    ring->slots[head++ & (ring->slot_count - 1)] = slot;
    atomic_store_explicit(&ring->head, head, memory_order_release);
}

/* Allocates and frees the blocks that all threads share, each change said at the right moment, as the hooks do. */
static void *write_events(void *context)
{
    struct writer *writer = context;
    uint64_t random = writer->seed;
    for (int round = 0; round < ROUNDS; round++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        unsigned which = (unsigned)(random >> 40) % SHARED_BLOCKS;
        uint64_t address = 0x700000 + which * 48;
        uint32_t was_free = 0, was_allocated = 2;
        if (atomic_compare_exchange_strong(&holds[which], &was_free, 1)) {
            write_sequenced(writer, HS_SLOT_ALLOC, address);
            atomic_store(&holds[which], 2);
        } else if (atomic_compare_exchange_strong(&holds[which], &was_allocated, 1)) {
            write_sequenced(writer, HS_SLOT_FREE, address);
            atomic_store(&holds[which], 0);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct fake *fake = *state;
    enum { WRITERS = 4 };
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.fake = fake, .ring = add_ring(fake, 256), .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, write_events, &writers[i]), 0);
    }
    uint64_t numbers = 0, taken = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        while (pthread_tryjoin_np(threads[i], NULL) != 0)
            taken += drain_session(fake->session, 10000, false).slots;
    }
    taken += drain(fake).slots;
    for (unsigned stripe = 0; stripe < HS_STRIPES; stripe++)
        numbers += atomic_load(&fake->shared->sequence[stripe].next);
    uint64_t live = 0;
    for (unsigned i = 0; i < SHARED_BLOCKS; i++)
        live += atomic_load(&holds[i]) == 2;
    assert_true(taken >= numbers);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    assert_int_equal(fake->session->encoder.allocations + fake->session->encoder.frees, numbers);
    assert_int_equal(fake->session->encoder.allocations - fake->session->encoder.frees, live);
    assert_int_equal(fake->session->totals.live_blocks, live);
    assert_int_equal(fake->session->skipped + fake->session->overtaken, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_match),
        TEST(test_reallocs),
        TEST(test_objects),
        TEST(test_types),
        TEST(test_mappings),
        TEST(test_order_across_rings),
        TEST(test_far_numbers),
        TEST(test_gap),
        TEST(test_late_ring),
        TEST(test_snapshot_waits),
        TEST(test_snapshot_of_one_thread),
        TEST(test_mark_among_threads),
        TEST(test_mark_at_the_same_time),
        TEST(test_mark_to_come),
        TEST(test_late_mark),
        TEST(test_overtaken),
        TEST(test_none_overtaken),
        TEST(test_regions),
        TEST(test_unknown_mark),
        TEST(test_lying_mark),
        TEST(test_flush),
        TEST(test_marks_of_threads),
        TEST(test_messages),
        TEST(test_unknown_node),
        TEST(test_unknown_source),
        TEST(test_unknown_watch),
        TEST(test_counts),
        TEST(test_unknown_domain),
        TEST(test_unwritten_slot),
        TEST(test_head_too_far),
        TEST(test_head_goes_back),
        TEST(test_long_message),
        TEST(test_endless_message),
        TEST(test_lying_message),
        TEST(test_unknown_stripe),
        TEST(test_ring_outside),
        TEST(test_ring_beyond),
        TEST(test_odd_ring_size),
        TEST(test_circular_nodes),
        TEST(test_noise),
        TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
