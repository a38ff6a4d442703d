/*
 * unwind.h - native stacks.
 *
 * An unwinder for the heap's hot path: it knows the rules of call frames from
 * each module's .eh_frame (found by _dl_find_object, which takes no lock) and remembers them in compact
 * form by return address, so that a frame it has met costs a look-up. It reads
 * the stack only within the thread's bounds.
 *
 * Async-signal-safe, no allocation but from arena.h, no lock.
 */
#ifndef HEAPSAKE_PRELOAD_UNWIND_H
#define HEAPSAKE_PRELOAD_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "thread.h"

#define UNWIND_MAX_FRAMES 512

/*
 * The return addresses of the calling thread, innermost first, beginning with
 * the caller of the function whose frame address (__builtin_frame_address(0),
 * so that function keeps a frame pointer) is `frame_address`.
 * 
 * *truncated is set when it ended before the outermost frame. Returns the number of pcs.
 */
size_t unwind_pcs(struct thread *self, const void *frame_address, uint64_t *pcs, size_t max, bool *truncated);

/* The node of the calling thread's native stack, from `frame_address` as above; 0 when there is none. */
uint32_t unwind_node(struct thread *self, const void *frame_address);

/* A native frame as a node holds it: epoch << 48 | pc. Announces pc's module when it is new. */
uint64_t unwind_frame(struct thread *self, uint64_t pc);

/* Modules may have come or gone (dlopen, dlclose): honoured at the next stack. Async-signal-safe. */
void unwind_modules_changed(void);

/* In a forked child, whose recorder session is new: nothing of the modules needs to be announced again. */
void unwind_after_fork(struct thread *self);

#endif
