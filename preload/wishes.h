/*
 * wishes.h - what a thread asks of the recorder and waits for: that everything is in the file, that a snapshot is over.
 *
 * A wish is a message in the thread's ring; the answer comes into the ring's header, and the thread sleeps on the
 * ring's futex meanwhile, outside of any hook: what signal handlers allocate then is recorded as always. One at a time
 * in each thread. A signal handler that makes a wish while its thread waits for one may take the answer of that: see
 * wish_await().
 */
#ifndef HEAPSAKE_PRELOAD_WISHES_H
#define HEAPSAKE_PRELOAD_WISHES_H

#include <stdbool.h>
#include <stdint.h>

#include "thread.h"

struct wish {
    uint32_t number;     /* in the ring of its thread     */
    uint32_t generation; /* of the session it belongs to */
    struct hs_ring *ring;
};

/* Its number, for whatever message tells it. `self` is the calling thread, inside of a hook. */
struct wish wish_make(struct thread *self);
/* The same, told by a message of its own. False: tracing has ended. */
bool wish_tell(struct thread *self, struct wish *wish, enum hs_wish kind);

/*
 * Waits for the answer and returns it: 0 or more, or a negative errno. -ENOTCONN: the recorder has died or stopped, or
 * the process was left. -ETIMEDOUT: the time is over, or the recorder has stood still for HS_STALL_SECONDS. -EINTR: a
 * signal handler has made a wish meanwhile, which was answered, too. In the thread that made it, outside of any hook.
 */
int wish_await(const struct wish *wish, uint64_t timeout_ns);

#endif
