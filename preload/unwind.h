/*
 * unwind.h - native stacks.
 *
 * An unwinder for the heap's hot path: it knows the rules of call frames from
 * each module's .eh_frame (found by _dl_find_object, which takes no lock) and remembers them in compact
 * form by return address, so that a frame it has met costs a look-up. It reads
 * the stack only within the thread's bounds; where they are unknown it asks the kernel, once a page.
 *
 * A pc is a return address: the call is before it. The pc of a function that a signal interrupted is
 * given plus one, so that pc - 1 lies in the right instruction for every frame.
 *
 * Async-signal-safe, no allocation but from arena.h, no lock.
 */
#ifndef HEAPSAKE_PRELOAD_UNWIND_H
#define HEAPSAKE_PRELOAD_UNWIND_H

#include <stddef.h>
#include <stdint.h>

#include "thread.h"

/* Deeper stacks keep their innermost frames: at least half as many as this, at most this many, and are truncated. */
#define UNWIND_MAX_FRAMES 512

/*
 * The return addresses of the calling thread, innermost first, beginning with
 * the caller of the function whose frame address (__builtin_frame_address(0),
 * so that function keeps a frame pointer) is `frame_address`.
 *
 * *truncated is set when it ended before the outermost frame. Returns the number of pcs.
 */
size_t unwind_pcs(struct thread *self, const void *frame_address, uint64_t *pcs, size_t max, bool *truncated);

/*
 * The same for hybrid.c, which also wants to know where a frame is: `return_at` is the address on the stack at which pc
 * lies, so the frame of the function that pc returns into is above it, and below the next one further out.
 *
 * Here the outermost is the first. places[] holds the `known` ones of the former call; *same is how many
 * of them, from the outermost on, are as they were. At most UNWIND_MAX_FRAMES. Returns their number.
 */
struct unwind_place {
    uint64_t pc;
    uintptr_t return_at;
};
size_t unwind_places(struct thread *self, const void *frame_address, struct unwind_place *places, size_t known,
                     size_t *same, bool *truncated);

/* The node of the calling thread's native stack, from `frame_address` as above; 0 when there is none. */
uint32_t unwind_node(struct thread *self, const void *frame_address);

/*
 * The same two from a place in a function, rather than from a call: where a signal handler has interrupted the calling
 * thread, by its ucontext. `pc` is the first of the pcs, and pc - 1 must lie in the function.
 */
struct unwind_context {
    uint64_t pc;
    uintptr_t sp, rbp;
};
size_t unwind_places_at(struct thread *self, const struct unwind_context *context, struct unwind_place *places,
                        size_t known, size_t *same, bool *truncated);
uint32_t unwind_node_at(struct thread *self, const struct unwind_context *context);

/* A native frame as a node holds it: epoch << 48 | pc. Announces pc's module when it is new. */
uint64_t unwind_frame(struct thread *self, uint64_t pc);

/*
 * Modules may have gone: honoured at the next stack. Call it after dlclose has returned (or also before: but not only
 * before, because allocations within dlclose honour it too early); for dlopen, any time. Async-signal-safe.
 */
void unwind_modules_changed(void);

/*
 * Memory was unmapped, moved away, or lost its read permission (munmap, mremap, mprotect): what is known of stacks
 * there is void. Call it after the change. Costs two loads unless a foreign stack is near.
 */
void unwind_unmapped(const void *address, size_t size);

/* In a forked child, whose recorder session is new: nothing of the modules needs to be announced again. */
void unwind_after_fork(struct thread *self);

#endif
