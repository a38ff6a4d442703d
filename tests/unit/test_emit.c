/* test_emit.c - what the program writes into its ring (preload/emit.c), read back slot by slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "emit.h"
#include "session.h"
#include "snapshot/take.h"

#define SLOTS 1024u

__thread struct thread *thread_self;
struct thread *thread_slow(void) { return NULL; }
struct snapshot_state snapshot_state;
void snapshot_tick(struct thread *self) { (void)self; }

static unsigned watch_ticks, watch_frees;
void watch_tick(struct thread *self)
{
    (void)self;
    watch_ticks++;
}
void watch_freed(struct thread *self, enum hs_domain domain, const void *block, size_t size)
{
    (void)self;
    (void)domain;
    (void)block;
    (void)size;
    watch_frees++;
}

static struct thread writer;

static int setup(void **state)
{
    (void)state;
    int fd = memfd_create("session", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, HS_SESSION_BYTES), 0);
    struct hs_session *header = mmap(NULL, HS_HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    header->magic = HS_SESSION_MAGIC;
    header->version = HS_SESSION_VERSION;
    header->bytes = HS_SESSION_BYTES;
    *(uint32_t *)&header->recorder_alive = 1; /* a lock held by a live owner */
    assert_true(session_map(fd));
    close(fd);
    uint64_t offset;
    struct hs_ring *ring = session_carve(sizeof *ring + SLOTS * sizeof(struct hs_slot), &offset);
    assert_non_null(ring);
    assert_int_equal(offset, HS_HEADER_BYTES);
    ring->slot_count = SLOTS;
    writer = (struct thread){.ring = ring, .slots = ring->slots, .mask = SLOTS - 1, .depth = 1};
    atomic_store(&tracing_live.word, 1);
    atomic_store(&session.state, SESSION_ON);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_unmap(session_detach_mappings());
    return 0;
}

static struct hs_slot take(void)
{
    struct hs_ring *ring = writer.ring;
    uint64_t tail = atomic_load(&ring->tail);
    assert_true(tail < atomic_load(&ring->head)); /* published */
    struct hs_slot slot = ring->slots[tail & (SLOTS - 1)];
    atomic_store(&ring->tail, tail + 1);
    return slot;
}

static void nothing_left(void) { assert_int_equal(atomic_load(&writer.ring->tail), atomic_load(&writer.ring->head)); }

static void an_allocation_is_one_slot(void **state)
{
    (void)state;
    emit_alloc(&writer, HS_DOMAIN_PY_MEM, (void *)0x7f0012345670, 4242, 77);
    struct hs_slot slot = take();
    assert_int_equal(hs_slot_type(slot), HS_SLOT_ALLOC);
    assert_int_equal(hs_slot_domain(slot), HS_DOMAIN_PY_MEM);
    assert_int_equal(hs_slot_address(slot), 0x7f0012345670);
    assert_int_equal(hs_slot_size(slot), 4242);
    assert_int_equal(hs_slot_node(slot), 77);
    assert_false(hs_slot_sequenced(slot));
    nothing_left();
}

static void a_large_size_keeps_its_high_half(void **state)
{
    (void)state;
    emit_alloc(&writer, HS_DOMAIN_MMAP, (void *)0x1000, UINT64_C(0x500000007), 0);
    struct hs_slot high = take(), slot = take();
    assert_int_equal(hs_slot_type(high), HS_SLOT_SIZE_HIGH);
    assert_int_equal(high.w1, 5);
    assert_int_equal(hs_slot_size(slot), 7);
    nothing_left();
}

static void the_clock_ticks_when_it_changed(void **state)
{
    (void)state;
    atomic_store(&session.shared->clock_ns, 123456789);
    emit_free(&writer, HS_DOMAIN_MALLOC, (void *)0x10);
    emit_free(&writer, HS_DOMAIN_MALLOC, (void *)0x20);
    struct hs_slot tick = take();
    assert_int_equal(hs_slot_type(tick), HS_SLOT_TICK);
    assert_int_equal(tick.w1, 123456789);
    assert_int_equal(hs_slot_address(take()), 0x10);
    assert_int_equal(hs_slot_address(take()), 0x20);
    nothing_left();
}

static void numbers_are_dense_and_sync_when_far(void **state)
{
    (void)state;
    atomic_store(&session.threaded, 1);
    void *address = (void *)0x40;
    unsigned stripe = hs_stripe_of(0x40, HS_DOMAIN_MALLOC);
    emit_alloc(&writer, HS_DOMAIN_MALLOC, address, 1, 0);
    assert_int_equal(hs_slot_sequence(take()), 0);
    emit_free(&writer, HS_DOMAIN_MALLOC, address);
    assert_int_equal(hs_slot_sequence(take()), 1);
    /* other threads take 0xffff numbers: the reader can still tell; one more, and it could not */
    atomic_fetch_add(&session.shared->sequence[stripe].next, 0xffff);
    emit_free(&writer, HS_DOMAIN_MALLOC, address);
    struct hs_slot slot = take();
    assert_int_equal(hs_slot_type(slot), HS_SLOT_FREE);
    assert_int_equal(hs_slot_sequence(slot), (2 + 0xffff) & 0xffff);
    atomic_fetch_add(&session.shared->sequence[stripe].next, 0x10000);
    emit_free(&writer, HS_DOMAIN_MALLOC, address);
    struct hs_slot sync = take();
    assert_int_equal(hs_slot_type(sync), HS_SLOT_SYNC);
    assert_int_equal(hs_slot_address(sync), stripe);
    assert_int_equal(sync.w1, 3 + 0xffff + 0x10000);
    assert_int_equal(hs_slot_sequence(take()), (3 + 0xffff + 0x10000) & 0xffff);
    nothing_left();
    atomic_store(&session.threaded, 0);
}

static void a_message_wraps_around_the_end(void **state)
{
    (void)state;
    char body[5000];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i * 7);
    for (unsigned round = 0; round < 20; round++) {
        struct emit_part parts[] = {{body, 33}, {body + 33, 0}, {body + 33, sizeof body - 33}};
        assert_true(emit_message(&writer, HS_MESSAGE_CODE, parts, 3));
        struct hs_slot head = take();
        assert_int_equal(hs_slot_type(head), HS_SLOT_MESSAGE);
        assert_int_equal(hs_slot_address(head), HS_MESSAGE_CODE);
        assert_int_equal(head.w1, sizeof body);
        char got[sizeof body + 16];
        for (size_t at = 0; at < sizeof body; at += 16) {
            struct hs_slot slot = take();
            memcpy(got + at, &slot, 16);
        }
        assert_memory_equal(got, body, sizeof body);
        nothing_left();
    }
    static char large[HS_MESSAGE_MAX];
    assert_false(emit_message(&writer, HS_MESSAGE_CODE, &(struct emit_part){large, sizeof large}, 1));
    nothing_left();
}

static void a_full_ring_drops_and_counts_when_asked(void **state)
{
    (void)state;
    session.options = HS_OPTION_DROP_WHEN_FULL;
    for (unsigned i = 0; i < SLOTS + 100; i++)
        emit_free(&writer, HS_DOMAIN_MALLOC, (void *)(uintptr_t)(0x1000 + i));
    uint64_t dropped = atomic_load(&writer.ring->dropped);
    uint64_t written = atomic_load(&writer.ring->head) - atomic_load(&writer.ring->tail);
    assert_true(written <= SLOTS);
    assert_int_equal(written + dropped, SLOTS + 100);
    for (uint64_t i = 0; i < written; i++)
        assert_int_equal(hs_slot_address(take()), 0x1000 + i);
    session.options = 0;
}

static void a_full_ring_without_recorder_ends_the_tracing(void **state)
{
    (void)state;
    *(volatile uint32_t *)&session.shared->recorder_alive = 0x40000001; /* FUTEX_OWNER_DIED */
    for (unsigned i = 0; i < SLOTS + 1; i++)
        emit_free(&writer, HS_DOMAIN_MALLOC, (void *)0x1000);
    assert_int_equal(atomic_load(&session.state), SESSION_OFF);
    assert_int_equal(atomic_load(&tracing_live.word), 0);
    assert_int_equal(atomic_load(&session.shared->detached), HS_DETACHED_RECORDER_DIED);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_allocation_is_one_slot),
        TEST(a_large_size_keeps_its_high_half),
        TEST(the_clock_ticks_when_it_changed),
        TEST(numbers_are_dense_and_sync_when_far),
        TEST(a_message_wraps_around_the_end),
        TEST(a_full_ring_drops_and_counts_when_asked),
        TEST(a_full_ring_without_recorder_ends_the_tracing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
