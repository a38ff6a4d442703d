/* wishes.c - see wishes.h */
#include "wishes.h"

#include <errno.h>

#include "emit.h"
#include "session.h"
#include "sys.h"

#define SECOND_NS UINT64_C(1000000000)
#define NAP_NS UINT64_C(20000000) /* between two looks whether there is still somebody to wait for */

struct wish wish_make(struct thread *self)
{
    return (struct wish){.number = ++self->ring->wishes, .generation = self->live, .ring = self->ring};
}

bool wish_tell(struct thread *self, struct wish *wish, enum hs_wish kind)
{
    *wish = wish_make(self);
    struct hs_message_wish body = {.wish = wish->number, .kind = kind};
    return emit_message(self, HS_MESSAGE_WISH, &(struct emit_part){&body, sizeof body}, 1);
}

/* Has the recorder shown a sign of life since? Its clock goes on about each millisecond. */
struct recorder_pulse {
    uint64_t clock_ns; /* as last seen                 */
    uint64_t since_ns; /* when that was seen first     */
};

static bool stands_still(struct recorder_pulse *pulse, uint64_t now)
{
    uint64_t clock_ns = atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed);
    if (clock_ns != pulse->clock_ns)
        *pulse = (struct recorder_pulse){clock_ns, now};
    return now - pulse->since_ns > HS_STALL_SECONDS * SECOND_NS;
}

/* Numbers are compared so that they may wrap around. */
static bool is_reached(uint32_t number, uint32_t wanted)
{
    return (int32_t)(number - wanted) >= 0;
}

/*
 * One look at the ring, inside of a hook. True: *result holds the end of it; else the thread may sleep while
 * *ring->wake is still *wake.
 */
static bool look(struct thread *self, const struct wish *wish, struct recorder_pulse *pulse, uint64_t until_ns,
                 uint32_t *wake, int *result)
{
    *result = -ENOTCONN;
    if (self->live != wish->generation || self->ring != wish->ring)
        return true;
    *wake = atomic_load(&wish->ring->wake);
    atomic_store(&wish->ring->waiting, 1);
    uint64_t answer = atomic_load(&wish->ring->answer);
    if (is_reached((uint32_t)(answer >> 32), wish->number)) {
        atomic_store(&wish->ring->waiting, 0);
        *result = (uint32_t)(answer >> 32) == wish->number ? (int32_t)answer : -EINTR;
        return true;
    }
    if (!session_recorder_alive()) {
        session_end(HS_DETACHED_RECORDER_DIED);
        return true;
    }
    if (atomic_load_explicit(&session.shared->stop, memory_order_acquire) != HS_GO)
        return true; /* the next event ends the session */
    uint64_t now = sys_monotonic_ns();
    *result = -ETIMEDOUT;
    return now > until_ns || stands_still(pulse, now);
}

int wish_await(const struct wish *wish, uint64_t timeout_ns)
{
    int saved_errno = errno, result;
    uint64_t now = sys_monotonic_ns();
    struct recorder_pulse pulse = {.clock_ns = UINT64_MAX, .since_ns = now};
    for (;;) {
        uint32_t wake = 0;
        struct thread *self = hook_enter();
        if (!self) {
            result = -ENOTCONN;
            break;
        }
        bool over = look(self, wish, &pulse, now + timeout_ns, &wake, &result);
        hook_leave(self);
        if (over)
            break;
        /* The ring may be unmapped by now: then the kernel says EFAULT, or finds another value there. */
        sys_futex_wait(&wish->ring->wake, wake, NAP_NS);
    }
    errno = saved_errno;
    return result;
}
