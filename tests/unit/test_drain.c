/*
 * test_drain.c - a fake program writes slots into a session's memory, well and badly; the drain must get order,
 * matching and totals right, and survive everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fake_program.h"
#include "model/type_names.h"
#include "record/fork_snapshot.h"

static void test_match(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 100, 1);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_PY_OBJECT, 0x2000, 50, 2);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_ARENA, 0x2000, 1 << 18, 2);
    put(ring, (struct hs_slot){.w0 = HS_SLOT_SIZE_HIGH, .w1 = 3});
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x5000, 7, 3);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x6000, 7, 3); /* the high half is for one event alone */
    assert_int_equal(drain(fake).slots, 6);
    EXPECT(fake, 5, 0, 4, 157 + (UINT64_C(3) << 32) + 7);
    put_event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x5000, 0, 0);
    put_event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x6000, 0, 0);
    put_event(ring, HS_SLOT_FREE, HS_DOMAIN_PY_OBJECT, 0x2000, 0, 0);
    put_event(ring, HS_SLOT_FREE, HS_DOMAIN_MALLOC, 0x7777, 0, 0); /* never seen */
    drain(fake);
    EXPECT(fake, 5, 4, 1, 100);
    put_event(ring, HS_SLOT_FREE, HS_DOMAIN_ARENA, 0x2000, 0, 0);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 30, 1); /* its free got lost: the old block ends here */
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
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 100, 1);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 100);
    /* The kernel of it is done: another thread has got the old address before this one says so. */
    put_event(other, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 7, 1);
    drain(fake);
    EXPECT(fake, 2, 0, 2, 107);
    put_event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MALLOC, 0x9000, 200, 1);
    drain(fake);
    EXPECT(fake, 3, 1, 2, 207);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x9000, 0, 0);
    put_event(ring, HS_SLOT_REALLOC_ABORT, HS_DOMAIN_MALLOC, 0x9000, 0, 0);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    put_event(ring, HS_SLOT_REALLOC_FREED, HS_DOMAIN_MALLOC, 0x1000, 0, 0);
    drain(fake);
    EXPECT(fake, 3, 2, 1, 200);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0xabc0, 0, 0); /* of a block that nobody saw */
    put_event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MALLOC, 0xabd0, 5, 1);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MALLOC, 0x9000, 0, 0); /* killed in there */
    drain_session(fake->session, 1 << 20, true);
    EXPECT(fake, 4, 3, 2, 205);
    struct live_block block;
    assert_true(live_table_take(&fake->session->live, 0x9000, false, &block));
    assert_int_equal(block.size, 200);
}

/* What the trace holds of objects and counts. */
struct found {
    size_t count;
    struct event list[8];
};

static void note_object(void *context, const struct event *event)
{
    struct found *found = context;
    if (event->kind < HSK_OP_OBJECT)
        return;
    assert_true(found->count < HS_COUNT_OF(found->list));
    found->list[found->count++] = *event;
}

static void test_objects(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS), *other = add_ring(fake, RING_SLOTS);
    const enum hs_domain domain = HS_DOMAIN_PY_OBJECT;
    put_event(ring, HS_SLOT_ALLOC, domain, 0x1000, 100, 1); /* 0 */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x1000, 5, HS_OBJECT_NODE_SAME);
    put_event(ring, HS_SLOT_ALLOC, domain, 0x2000, 100, 1); /* 1 */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x1000, 6, 7);  /* recycled */
    put_event(ring, HS_SLOT_OBJECT_END, domain, 0x2000, 0, 0);
    put_event(ring, HS_SLOT_OBJECT, domain, 0x3000, 5, HS_OBJECT_NODE_SAME); /* nobody saw that block */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x3000, 5, 7);
    put_event(ring, HS_SLOT_OBJECT_END, domain, 0x3000, 0, 0);
    put_event(ring, HS_SLOT_OBJECT, domain, 0x2004, 5, 7);     /* nor a block that begins there */
    put_event(ring, HS_SLOT_OBJECT_END, domain, 0x2000, 0, 0); /* which its free says */
    put_event(ring, HS_SLOT_FREE, domain, 0x2000, 0, 0);
    put_event(ring, HS_SLOT_OBJECT, domain, 0x2000, 5, HS_OBJECT_NODE_SAME); /* gone */
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_ARENA, 0x4000, 1 << 18, 1);     /* 2 */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x4000, 5, HS_OBJECT_NODE_SAME); /* in no arena */
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x100000, 0x1000, 1);     /* 3 */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x100000, 5, HS_OBJECT_NODE_SAME);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, domain, 0x1000, 0, 0);
    put_event(ring, HS_SLOT_REALLOC_COMMIT, domain, 0x1010, 200, 1); /* 4 */
    put_event(ring, HS_SLOT_OBJECT, domain, 0x1010, 9, HS_OBJECT_NODE_SAME);
    drain(fake);
    EXPECT(fake, 5, 2, 2, 200 + 0x1000);
    assert_int_equal(fake->session->unknown_objects, 7);
    assert_int_equal(fake->session->encoder.objects, 3);
    struct found found = {0};
    fake_read_events(fake, note_object, &found);
    assert_int_equal(found.count, 4);
    const struct event *list = found.list;
    assert_true(list[0].kind == HSK_OP_OBJECT && list[0].ordinal == 0 && list[0].type == 5 && list[0].same_stack);
    assert_true(list[1].kind == HSK_OP_OBJECT && list[1].ordinal == 0 && list[1].type == 6 && list[1].node == 7);
    assert_true(list[2].kind == HSK_OP_OBJECT_END && list[2].ordinal == 1);
    assert_true(list[3].kind == HSK_OP_OBJECT && list[3].ordinal == 4 && list[3].type == 9 && list[3].same_stack);

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
    assert_int_equal(fake->session->rings.expected[stripe], 2);
    assert_int_equal(fake->session->unknown_objects, 7);
    assert_int_equal(fake->session->encoder.objects, 4);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    put_event(ring, HS_SLOT_OBJECT, domain, 0x8000, 11, 5000); /* a stack that does not exist */
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
    put_event(ring, HS_SLOT_ALLOC, domain, 0x1000, 100, 1);
    put_event(ring, HS_SLOT_COUNT, domain, 0x1010, (uint32_t)up, 7);
    put_event(ring, HS_SLOT_COUNT, domain, 0x1000, (uint32_t)up, 7); /* no block begins 16 bytes before */
    put(ring, high);
    put_event(ring, HS_SLOT_COUNT, domain, 0x5550, (uint32_t)typed, 8);
    put_event(ring, HS_SLOT_WATCH, domain, 12, 4000000000, 9);
    const struct hs_message_watch watch = {.watch = 12, .address = 0x1010, .block = 0x1000, .bytes = 4, .node = 5000};
    put_message(ring, HS_MESSAGE_WATCH, &watch, sizeof watch);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 100);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    struct buf *payload = &fake->session->watches_payload;
    struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
    static const uint64_t expected[] = {0, 12, 1, 0x1010, 4, 0, 1, 0, 0, 0};
    for (size_t i = 0; i < HS_COUNT_OF(expected); i++)
        assert_int_equal(cursor_varint(&cursor), expected[i]);
    struct found found = {0};
    fake_read_events(fake, note_object, &found);
    assert_int_equal(found.count, 4);
    const struct event *list = found.list;
    assert_true(list[0].source == HSK_COUNT_INSTRUMENTED && !list[0].loose && list[0].ordinal == 0 &&
                list[0].count == 3 && !list[0].down && list[0].node == 7);
    assert_true(list[1].loose && list[1].address == 0x1000 && list[1].type == 0);
    assert_true(list[2].source == HSK_COUNT_GOBJECT && list[2].loose && list[2].address == 0x5550 && list[2].down &&
                list[2].type == 77 && list[2].count == HS_COUNT_MAX && list[2].node == 8);
    assert_true(list[3].source == HSK_COUNT_WATCH && list[3].watch == 12 && list[3].count == 4000000000 &&
                list[3].node == 9);
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
    put_message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    session_flush(fake->session);
    body.type.type = 4;
    body.type.module_length = 0;
    put_message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    session_flush(fake->session);
    session_flush(fake->session);
    struct trace_reader *reader;
    struct type_names names;
    struct error error = {0};
    assert_int_equal(trace_reader_open(fake_trace(), &reader, &error), 0);
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
    put_message(ring, HS_MESSAGE_TYPE, &body, sizeof body);
    drain(fake);
    assert_int_equal(fake->session->ended, SESSION_STOPPED);
    assert_string_equal(fake->session->wrong, "a type that makes no sense");
}

static void test_mappings(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x100000, 0x10000, 1);
    put_event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x104000, 0x2000, 0); /* a hole: two pieces are left */
    drain(fake);
    EXPECT(fake, 3, 1, 2, 0xe000);
    put_event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x0, 0x1000, 0);      /* nothing of ours */
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MMAP, 0x103000, 0x4000, 2); /* over both */
    drain(fake);
    EXPECT(fake, 6, 3, 3, 0x10000);
    put_event(ring, HS_SLOT_REALLOC_BEGIN, HS_DOMAIN_MMAP, 0x103000, 0, 0);
    put_event(ring, HS_SLOT_REALLOC_COMMIT, HS_DOMAIN_MMAP, 0x200000, 0x8000, 2);
    drain(fake);
    EXPECT(fake, 7, 4, 3, 0x10000 - 0x4000 + 0x8000);
    put_event(ring, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, 0x100000, UINT32_MAX & ~0xfffu, 0);
    drain(fake);
    EXPECT(fake, 7, 7, 0, 0);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
}

static void test_order_across_rings(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    put_event(first, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 10, 1); /* before there was a second thread */
    /* the second frees it and gives it to the first again, three times, all in the rings at once */
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 0);
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 20, 1);
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 2);
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 30, 3);
    drain(fake);
    EXPECT(fake, 3, 2, 1, 30);
    assert_int_equal(fake->session->totals.peak_bytes, 30);
    /* number 4 is still on its way: 5 has to wait */
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 5);
    assert_int_equal(drain(fake).slots, 0);
    assert_true(drain(fake).left);
    EXPECT(fake, 3, 2, 1, 30);
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000 + (1 << 22), 1, 4); /* the same stripe */
    drain(fake);
    EXPECT(fake, 4, 3, 1, 1);
}

static void test_far_numbers(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    uint64_t address = 0x40000, number = 0;
    unsigned stripe = hs_stripe_of(address, HS_DOMAIN_MALLOC);
    put_sequenced(second, HS_SLOT_ALLOC, address, 8, number++);
    for (; number < 70001; number++) {
        put_sequenced(first, number % 2 ? HS_SLOT_FREE : HS_SLOT_ALLOC, address, 8, number);
        drain(fake);
    }
    put(second, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = number});
    put_sequenced(second, HS_SLOT_FREE, address, 0, number++);
    drain(fake);
    EXPECT(fake, 35001, 35001, 0, 0);
    assert_int_equal(fake->session->ended, SESSION_LIVES);
}

static void test_gap(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    /* a thread was killed with number 0 in hand */
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 10, 2);
    put_sequenced(second, HS_SLOT_ALLOC, 0x2000 + (1 << 22), 10, 0);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000 + (1 << 22), 10, 1);
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 3);
    drain(fake);
    EXPECT(fake, 1, 0, 1, 10);
    struct drain_result last = drain_session(fake->session, 1 << 20, true);
    assert_false(last.left);
    EXPECT(fake, 3, 1, 2, 20);
    assert_int_equal(fake->session->rings.torn, 1);
    assert_int_equal(fake->session->rings.skipped, 0);
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
    assert_int_equal(trace_reader_open(fake_trace(), &reader, &error), 0);
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
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 2);
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000, 16, 0);
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_false(drain(fake).left);
    assert_int_equal(fake->session->rings.overtaken, 2);
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
    put_sequenced(first, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_true(drain(fake).left);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000, 16, 0);
    assert_false(drain(fake).left);
    finish(fake, &notes);
    assert_false(said(&notes, "too late"));
    buf_free(&notes);
}

static void test_late_ring(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS);
    drain(fake);
    struct hs_ring *second = add_ring(fake, RING_SLOTS);
    /* Unsequenced allocations, held up by a fork, then a thread whose first event frees the last of those blocks. */
    struct hs_message_fork fork_body = {.fork_id = 1};
    put_message(first, HS_MESSAGE_FORK, &fork_body, sizeof fork_body);
    for (uint32_t i = 0; i < 500; i++)
        put_event(first, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x10000 + i * 16, 8, 1);
    put_sequenced(second, HS_SLOT_FREE, 0x10000 + 499 * 16, 0, 0);
    drain(fake);
    EXPECT(fake, 500, 1, 499, 499 * 8);
    assert_false(live_table_take(&fake->session->live, 0x10000 + 499 * 16, false, &(struct live_block){0}));
}

/* ---- nonsense ---- */

static void test_unknown_node(void **state)
{
    put_event(ring_with_one(*state), HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x2000, 10, 100);
    expect_stopped(*state, 1);
}

static void test_unknown_source(void **state)
{
    put_event(ring_with_one(*state), HS_SLOT_COUNT, HS_DOMAIN_PY_OBJECT, 0x1000, HS_COUNT_SOURCES << 1, 1);
    expect_stopped(*state, 1);
}

static void test_unknown_watch(void **state)
{
    put_event(ring_with_one(*state), HS_SLOT_WATCH, HS_DOMAIN_PY_OBJECT, 0, 1, 1);
    expect_stopped(*state, 1);
}

static void test_unknown_domain(void **state)
{
    put_event(ring_with_one(*state), HS_SLOT_ALLOC, (enum hs_domain)7, 0x2000, 10, 1);
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
    put_event(ring_with_one(fake), HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x2000, 10, 99);
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
        fake_end(state);
        assert_int_equal(fake_begin(state), 0);
    }
}

/* ---- threads ---- */

struct writer {
    struct fake *fake;
    struct hs_ring *ring;
    uint64_t seed;
    uint64_t last[HS_STRIPES];
};

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
    assert_int_equal(fake->session->rings.skipped + fake->session->rings.overtaken, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_match),          TEST(test_reallocs),
        TEST(test_objects),        TEST(test_types),
        TEST(test_mappings),       TEST(test_order_across_rings),
        TEST(test_far_numbers),    TEST(test_gap),
        TEST(test_overtaken),      TEST(test_none_overtaken),
        TEST(test_late_ring),      TEST(test_unknown_node),
        TEST(test_unknown_source), TEST(test_unknown_watch),
        TEST(test_counts),         TEST(test_unknown_domain),
        TEST(test_unwritten_slot), TEST(test_head_too_far),
        TEST(test_head_goes_back), TEST(test_unknown_stripe),
        TEST(test_ring_outside),   TEST(test_ring_beyond),
        TEST(test_odd_ring_size),  TEST(test_circular_nodes),
        TEST(test_noise),          TEST(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
