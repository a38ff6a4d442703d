/* emit.c - see emit.h */
#include "emit.h"

#include <errno.h>
#include <string.h>

#include "session.h"
#include "snapshot/take.h"
#include "sys.h"

#define SPINS 2000
#define NAP_NS UINT64_C(20000000)

/*
 * Waits until `slots` slots are free. False: dropped (and counted), or tracing has ended. Not HS_COLD: gcc 12 then
 * takes all of emit_event() for cold, and makes it small instead of fast.
 */
static __attribute__((noinline)) bool make_room(struct thread *self, uint64_t slots, bool may_drop)
{
    struct hs_ring *ring = self->ring;
    struct hs_session *shared = session.shared;
    uint64_t capacity = self->mask + 1;
    uint64_t give_up = 0, tail_then = 0;

    for (unsigned round = 0;; round++) {
        self->tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (self->head - self->tail + slots <= capacity)
            return true;
        if (may_drop && session.options & HS_OPTION_DROP_WHEN_FULL) {
            atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
            return false;
        }
        if (round < SPINS) {
            __builtin_ia32_pause();
            continue;
        }
        if (!atomic_load_explicit(&tracing_live.word, memory_order_relaxed))
            return false;
        if (!session_recorder_alive()) {
            session_end(HS_DETACHED_RECORDER_DIED);
            return false;
        }
        if (atomic_load_explicit(&shared->stop, memory_order_acquire) != HS_GO) {
            session_end(HS_DETACHED_STOPPED);
            return false;
        }
        uint64_t now = sys_monotonic_ns();
        if (give_up == 0 || self->tail != tail_then) {
            give_up = now + HS_STALL_SECONDS * UINT64_C(1000000000);
            tail_then = self->tail;
        } else if (now > give_up) {
            session_end(HS_DETACHED_STALLED);
            return false;
        }
        uint32_t wake = atomic_load(&ring->wake);
        atomic_store(&ring->waiting, 1);
        if (atomic_load(&ring->tail) == self->tail)
            sys_futex_wait(&ring->wake, wake, NAP_NS);
        atomic_store(&ring->waiting, 0);
    }
}

HS_ALWAYS_INLINE bool room_for(struct thread *self, uint64_t slots)
{
    return HS_LIKELY(self->head - self->tail + slots <= self->mask + 1) || make_room(self, slots, true);
}

HS_ALWAYS_INLINE void put(struct thread *self, struct hs_slot slot)
{
    self->slots[self->head & self->mask] = slot;
    self->head++;
}

/* The reader may take everything up to here. */
HS_ALWAYS_INLINE void publish(struct thread *self)
{
    atomic_store_explicit(&self->ring->head, self->head, memory_order_release);
}

/* False: the room that there was is gone, because a snapshot was taken, or a watch has ended. */
HS_COLD static bool put_tick(struct thread *self, uint64_t clock_ns)
{
    self->clock_ns = clock_ns;
    put(self, (struct hs_slot){.w0 = HS_SLOT_TICK, .w1 = clock_ns});
    if (HS_UNLIKELY(atomic_load_explicit(&session.shared->stop, memory_order_relaxed) != HS_GO))
        session_end(HS_DETACHED_STOPPED);
    bool watching = atomic_load_explicit(&session.watching, memory_order_relaxed);
    if (HS_LIKELY(!snapshot_wants_tick(session.shared) && !watching))
        return true;
    publish(self);
    if (watching)
        watch_tick(self);
    if (snapshot_wants_tick(session.shared))
        snapshot_tick(self);
    return room_for(self, EMIT_EVENT_SLOTS);
}

HS_COLD static void put_sync(struct thread *self, unsigned stripe, uint64_t sequence)
{
    put(self, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = sequence});
}

static uint64_t marks_now(void)
{
    return atomic_load_explicit(&session.shared->sequence[HS_MARK_STRIPE].next, memory_order_acquire);
}

/* The marks of other threads that there were before and after an event's number was taken. */
HS_COLD static void put_marks(struct thread *self, uint64_t before, uint64_t after)
{
    if (before != self->marks_seen)
        put_sync(self, HS_MARKS_SEEN, before);
    if (after != before)
        put_sync(self, HS_MARKS_MAYBE, after);
    self->marks_seen = before;
}

/*
 * An event's number on its stripe, with what has to precede it, once a second thread has existed. When the reader waits
 * for an event that another thread has written behind a mark, it can tell from the marks that this one does not stand
 * before that mark.
 */
HS_ALWAYS_INLINE void sequence(struct thread *self, struct hs_slot *slot, unsigned stripe)
{
    if (!atomic_load_explicit(&session.threaded, memory_order_relaxed))
        return;
    uint64_t before = marks_now();
    uint64_t sequence = atomic_fetch_add_explicit(&session.shared->sequence[stripe].next, 1, memory_order_acq_rel);
    uint64_t after = marks_now();
    uint64_t *last = &self->ring->last_sequence[stripe];
    if (HS_UNLIKELY(sequence - *last > 0xffff))
        put_sync(self, stripe, sequence);
    *last = sequence + 1;
    hs_slot_set_sequence(slot, sequence);
    if (stripe == HS_MARK_STRIPE)
        self->marks_seen = sequence + 1;
    else if (HS_UNLIKELY(before != self->marks_seen || after != before))
        put_marks(self, before, after);
}

void emit_event(struct thread *self, enum hs_slot_type type, enum hs_domain domain, uint64_t address, uint64_t size,
                uint32_t node)
{
    if (!room_for(self, EMIT_EVENT_SLOTS))
        return;
    uint64_t clock_ns = atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed);
    if (HS_UNLIKELY(clock_ns != self->clock_ns) && !put_tick(self, clock_ns))
        return;
    struct hs_slot slot = hs_slot_pack(type, domain, address & HS_ADDRESS_MASK, (uint32_t)size, node);
    sequence(self, &slot, hs_stripe_of(address & HS_ADDRESS_MASK, domain));
    if (HS_UNLIKELY(size >> 32))
        put(self, (struct hs_slot){.w0 = HS_SLOT_SIZE_HIGH, .w1 = size >> 32});
    put(self, slot);
    publish(self);
}

uint64_t emit_counter(const volatile void *counter, unsigned bytes)
{
    switch (bytes) {
    case 1:
        return *(const volatile uint8_t *)counter;
    case 2:
        return *(const volatile uint16_t *)counter;
    case 4:
        return *(const volatile uint32_t *)counter;
    default:
        return *(const volatile uint64_t *)counter;
    }
}

/* The time alone: nothing else is done at this tick. */
static void put_time(struct thread *self)
{
    uint64_t clock_ns = atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed);
    if (clock_ns == self->clock_ns)
        return;
    self->clock_ns = clock_ns;
    put(self, (struct hs_slot){.w0 = HS_SLOT_TICK, .w1 = clock_ns});
}

uint64_t emit_watch(struct thread *self, uint32_t watch, const volatile void *counter, unsigned bytes, uint32_t node)
{
    if (!room_for(self, EMIT_EVENT_SLOTS))
        return emit_counter(counter, bytes);
    put_time(self);
    struct hs_slot slot = hs_slot_pack(HS_SLOT_WATCH, HS_DOMAIN_PY_OBJECT, watch, 0, node);
    sequence(self, &slot, hs_stripe_of(watch, HS_DOMAIN_PY_OBJECT));
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t count = emit_counter(counter, bytes);
    slot.w1 |= (uint32_t)count;
    if (count >> 32)
        put(self, (struct hs_slot){.w0 = HS_SLOT_SIZE_HIGH, .w1 = count >> 32});
    put(self, slot);
    publish(self);
    return count;
}

/* What may precede a message that stands in the order of events: tick, sync. */
#define BEFORE_MESSAGE_SLOTS 2

bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count)
{
    bool in_order =
        kind == HS_MESSAGE_MARK || kind == HS_MESSAGE_WISH || kind == HS_MESSAGE_SNAPSHOT || kind == HS_MESSAGE_FORK;

    uint64_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += parts[i].length;
    uint64_t slots = 1 + (length + sizeof(struct hs_slot) - 1) / sizeof(struct hs_slot);
    uint64_t room = slots + (in_order ? BEFORE_MESSAGE_SLOTS : 0);
    if (length > HS_MESSAGE_MAX || room > (self->mask + 1) / 2)
        return false;
    if (self->head - self->tail + room > self->mask + 1 && !make_room(self, room, false))
        return false;
    struct hs_slot slot = {.w0 = HS_SLOT_MESSAGE | (uint64_t)kind << 16, .w1 = length};
    if (in_order) {
        put_time(self);
        sequence(self, &slot, HS_MARK_STRIPE);
    }
    put(self, slot);
    /* The body is written as bytes; it may wrap around the end of the ring between any two of them. */
    char *ring_bytes = (char *)self->slots;
    size_t ring_size = (size_t)(self->mask + 1) * sizeof(struct hs_slot);
    size_t at = (size_t)(self->head & self->mask) * sizeof(struct hs_slot);
    for (unsigned i = 0; i < count; i++) {
        size_t first = parts[i].length < ring_size - at ? parts[i].length : ring_size - at;
        memcpy(ring_bytes + at, parts[i].bytes, first);
        memcpy(ring_bytes, (const char *)parts[i].bytes + first, parts[i].length - first);
        at = (at + parts[i].length) % ring_size;
    }
    self->head += slots - 1;
    publish(self);
    return true;
}

void emit_blind_spot(struct thread *self, const char *sentence)
{
    struct hs_message_text body = {.length = (uint32_t)strlen(sentence)};
    struct emit_part parts[] = {{&body, sizeof body}, {sentence, body.length}};
    emit_message(self, HS_MESSAGE_BLIND_SPOT, parts, 2);
}
