/*
 * emit.h - events into this thread's ring.
 *
 * Called between hook_enter() and hook_leave() by the thread that owns the
 * ring. None of these allocates, locks, or calls the system, but for a full ring
 * (then they wait for the recorder, or drop and count, as asked). All preserve errno.
 */
#ifndef HEAPSAKE_PRELOAD_EMIT_H
#define HEAPSAKE_PRELOAD_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "session.h"
#include "thread.h"
#include "watch/watch.h"

/* What one event takes at most: tick, sync, marks seen, and maybe, high half of the size, the event itself. */
#define EMIT_EVENT_SLOTS 6

/* An event, with whatever has to precede it. Behind all that follow; not for others. */
void emit_event(struct thread *self, enum hs_slot_type type, enum hs_domain domain, uint64_t address, uint64_t size,
                uint32_t node);

/* The same, where nothing precedes it: there is room, the clock stands, there is one thread, and the size is short. */
HS_ALWAYS_INLINE void emit_plain(struct thread *self, enum hs_slot_type type, enum hs_domain domain, uint64_t address,
                                 uint64_t size, uint32_t node)
{
    uint64_t head = self->head;
    if (HS_UNLIKELY(head - self->tail > self->mask + 1 - EMIT_EVENT_SLOTS) ||
        HS_UNLIKELY(atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed) != self->clock_ns) ||
        HS_UNLIKELY(atomic_load_explicit(&session.threaded, memory_order_relaxed)) || HS_UNLIKELY(size >> 32)) {
        emit_event(self, type, domain, address, size, node);
        return;
    }
    self->slots[head & self->mask] = hs_slot_pack(type, domain, address & HS_ADDRESS_MASK, (uint32_t)size, node);
    self->head = head + 1;
    atomic_store_explicit(&self->ring->head, head + 1, memory_order_release); /* the reader may take it */
}

/* After the real allocation. `node` is the stack (stack_table.h); 0: unknown. */
HS_ALWAYS_INLINE void emit_alloc(struct thread *self, enum hs_domain domain, const void *block, size_t size,
                                 uint32_t node)
{
    self->last_block = block;
    emit_plain(self, HS_SLOT_ALLOC, domain, (uintptr_t)block, size, node);
}

/* Before the real free. */
HS_ALWAYS_INLINE void emit_free(struct thread *self, enum hs_domain domain, const void *block)
{
    if (HS_UNLIKELY(atomic_load_explicit(&session.watching, memory_order_relaxed)))
        watch_freed(self, domain, block, 0);
    emit_plain(self, HS_SLOT_FREE, domain, (uintptr_t)block, 0, 0);
}

/* Around a real realloc of a block that was not NULL: begin before it, then exactly one of the others. */
HS_ALWAYS_INLINE void emit_realloc_begin(struct thread *self, enum hs_domain domain, const void *old_block)
{
    if (HS_UNLIKELY(atomic_load_explicit(&session.watching, memory_order_relaxed)))
        watch_freed(self, domain, old_block, 0);
    emit_event(self, HS_SLOT_REALLOC_BEGIN, domain, (uintptr_t)old_block, 0, 0);
}
HS_ALWAYS_INLINE void emit_realloc_commit(struct thread *self, enum hs_domain domain, const void *block, size_t size,
                                          uint32_t node)
{
    self->last_block = block;
    emit_event(self, HS_SLOT_REALLOC_COMMIT, domain, (uintptr_t)block, size, node);
}
HS_ALWAYS_INLINE void emit_realloc_abort(struct thread *self, enum hs_domain domain, const void *old_block)
{
    emit_event(self, HS_SLOT_REALLOC_ABORT, domain, (uintptr_t)old_block, 0, 0);
}
HS_ALWAYS_INLINE void emit_realloc_freed(struct thread *self, enum hs_domain domain, const void *old_block)
{
    emit_event(self, HS_SLOT_REALLOC_FREED, domain, (uintptr_t)old_block, 0, 0);
}

/* Before the real munmap: [address, address + size) of HS_DOMAIN_MMAP ends. */
HS_ALWAYS_INLINE void emit_unmap(struct thread *self, const void *address, size_t size)
{
    if (HS_UNLIKELY(atomic_load_explicit(&session.watching, memory_order_relaxed)))
        watch_freed(self, HS_DOMAIN_MMAP, address, size);
    emit_event(self, HS_SLOT_UNMAP, HS_DOMAIN_MMAP, (uintptr_t)address, size, 0);
}

/*
 * A Python object of that type was born in a block that is allocated already; `node` may be HS_OBJECT_NODE_SAME. And it
 * died, before its block is freed or kept for the next one.
 */
HS_ALWAYS_INLINE void emit_object(struct thread *self, const void *block, uint32_t type, uint32_t node)
{
    emit_plain(self, HS_SLOT_OBJECT, HS_DOMAIN_PY_OBJECT, (uintptr_t)block, type, node);
}
HS_ALWAYS_INLINE void emit_object_end(struct thread *self, const void *block)
{
    emit_plain(self, HS_SLOT_OBJECT_END, HS_DOMAIN_PY_OBJECT, (uintptr_t)block, 0, 0);
}

/*
 * Somebody has changed the count of an object by one; `count` is what that left. The object lies `header` bytes (0, 16,
 * 32) behind the start of its block. `type` is 0, or a type number where no object event tells the type.
 */
HS_ALWAYS_INLINE void emit_count(struct thread *self, enum hs_count_source source, const void *object, unsigned header,
                                 bool down, uint64_t count, uint32_t type, uint32_t node)
{
    emit_plain(self, HS_SLOT_COUNT, HS_DOMAIN_PY_OBJECT, (uintptr_t)object,
               hs_count_pack(source, down, header, count, type), node);
}
/*
 * A watch sees the counter of so many bytes (1, 2, 4, 8) at this address; returns what it holds. It is read after the
 * event has its number: of two threads that have both written, the one whose event comes later sees both. Takes no
 * snapshot: may be called from a signal handler, where the thread is inside of no other hook.
 */
uint64_t emit_watch(struct thread *self, uint32_t watch, const volatile void *counter, unsigned bytes, uint32_t node);
uint64_t emit_counter(const volatile void *counter, unsigned bytes);

struct emit_part {
    const void *bytes;
    size_t length;
};
/*
 * A message (event.h): the parts one behind the other. Waits for room also when events are dropped: what a message
 * explains is needed as long as the trace. Returns false when it is longer than HS_MESSAGE_MAX or half the ring, or
 * when tracing has ended meanwhile; a shorter version may then fit.
 */
bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count);
/* A sentence for every report about this trace: what could not be seen, and why. */
void emit_blind_spot(struct thread *self, const char *sentence);

#endif
