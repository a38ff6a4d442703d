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

#include "thread.h"

/* After the real allocation. `node` is the stack (stack_table.h); 0: unknown. */
void emit_alloc(struct thread *self, enum hs_domain domain, const void *block, size_t size, uint32_t node);
/* Before the real free. */
void emit_free(struct thread *self, enum hs_domain domain, const void *block);
/* Around a real realloc of a block that was not NULL: begin before it, then exactly one of the others. */
void emit_realloc_begin(struct thread *self, enum hs_domain domain, const void *old_block);
void emit_realloc_commit(struct thread *self, enum hs_domain domain, const void *block, size_t size, uint32_t node);
void emit_realloc_abort(struct thread *self, enum hs_domain domain, const void *old_block);
void emit_realloc_freed(struct thread *self, enum hs_domain domain, const void *old_block);
/* Before the real munmap: [address, address + size) of HS_DOMAIN_MMAP ends. */
void emit_unmap(struct thread *self, const void *address, size_t size);

/*
 * A Python object of that type was born in a block that is allocated already; `node` may be HS_OBJECT_NODE_SAME. And it
 * died, before its block is freed or kept for the next one.
 */
void emit_object(struct thread *self, const void *block, uint32_t type, uint32_t node);
void emit_object_end(struct thread *self, const void *block);

struct emit_part {
    const void *bytes;
    size_t length;
};
/*
 * A message (event.h): the parts one behind the other. Waits for room also when events are dropped: what a message
 * explains is needed as long as the trace. Returns false when it is longer than HS_MESSAGE_MAX or half the ring, or when
 * tracing has ended meanwhile; a shorter version may then fit.
 */
bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count);
/* A sentence for every report about this trace: what could not be seen, and why. */
void emit_blind_spot(struct thread *self, const char *sentence);

#endif
