/*
 * take.h - in the program: taking a snapshot, and the child that comes of it.
 *
 * The child is a raw clone with exit signal 0: the program's wait() and SIGCHLD do not see it, pthread_atfork handlers
 * do not run. One at a time. It is reaped at a later tick, before the next snapshot, and at the end.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_TAKE_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_TAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "internal/snapshot.h"

/*
 * Takes a snapshot of the process now, `self` being the calling thread inside of a hook, and, where Python runs,
 * holding the GIL. `request` is the request of the recorder that it answers, 0: none. Returns false when none was
 * taken, which the recorder has been told with the reason. Preserves errno. May be called from any thread and from
 * signal handlers; it takes no lock of libc's or Python's.
 */
bool snapshot_take(struct thread *self, enum hs_snapshot_reason reason, uint32_t request);

/*
 * The same for a wish of this thread (wishes.h), which the recorder answers when the snapshot is over. 0, or a negative
 * errno: -EBUSY, another one is under way (nobody is told); -EPERM, snapshots are switched off; -ENOMEM; -ENOTCONN.
 */
int snapshot_take_wished(struct thread *self, uint32_t wish);
/* Is there a child at work? */
bool snapshot_under_way(void);
/* Waits until there is no snapshot under way, at most so long. Outside of any hook. */
void snapshot_await_child(uint64_t timeout_ns);

/* From emit.c at a tick, when snapshot_wants_tick() says so: reaps the child, and looks for a request. `self` is
 * inside. */
void snapshot_tick(struct thread *self);

extern struct snapshot_state {
    _Atomic int child;             /* pid of the child that has not been reaped; 0: none          */
    _Atomic uint32_t seen_request; /* the last request that something was done about              */
} snapshot_state __attribute__((visibility("hidden")));

HS_ALWAYS_INLINE bool snapshot_wants_tick(const struct hs_session *shared)
{
    return atomic_load_explicit(&shared->snapshot_request, memory_order_relaxed) !=
               atomic_load_explicit(&snapshot_state.seen_request, memory_order_relaxed) ||
           atomic_load_explicit(&snapshot_state.child, memory_order_relaxed);
}

/* Waits until the last snapshot's child has done its work, and reaps it. From a thread of our own, outside
 * of any hook. */
void snapshot_wait(void);

/*
 * The program is about to end, in this thread: the exit snapshot, unless it was taken already or this is not a place
 * for one. From lifecycle.c, before Python's teardown, and from the hooks of exit and _exit. Outside of any hook.
 *
 * Of a C program that will not go on, everything below the frame that called exit() or _exit() is dead, though
 * stale words of main() may still lie there: `frame` is the frame address of the caller, a function that exit() has
 * called
 * (`by_exit`) or that stands for _exit(). NULL: the thread's stack counts from here on.
 */
void snapshot_at_exit(const void *frame, bool by_exit);
/*
 * The last thing before the process ends: reaps the child. Where the process's end would be the child's (process 1 of a
 * pid namespace), waits for it first.
 */
void snapshot_farewell(void);
/* Before an exec: a child would be a stranger to the new image. It is ended, and its snapshot lost. */
void snapshot_before_exec(void);

/* In a forked child of the program: its parent's snapshots are none of its own. */
void snapshot_after_fork(void);

#endif
