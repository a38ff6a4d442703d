/* take.c - see take.h */
#include "take.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../emit.h"
#include "../process.h"
#include "../python/capi.h"
#include "../python/python.h"
#include "../python/walk.h"
#include "../session.h"
#include "../sys.h"
#include "../unwind.h"
#include "child.h"
#include "headroom.h"
#include "own_stack.h"
#include "threads_seen.h"

#define FAREWELL_SECONDS 60
#define EXIT_BYTES 64 /* glibc's exit() is shorter */

struct snapshot_state snapshot_state;

static _Atomic uint32_t taking;     /* one thread at a time; the others do without      */
static _Atomic uint32_t numbers;    /* of snapshots, in this session                    */
static _Atomic uint32_t at_exit;    /* 1: the exit snapshot was taken, or refused       */
static const void *exit_frame;      /* of snapshot_at_exit()                            */
static bool exit_by_exit;           /* the same                                         */
static struct scan_threads threads; /* of the thread that holds `taking`               */

/* ---- the child ---- */

/* Is the child still at work? One that has ended is reaped. Any thread may do it: the loser hears ECHILD. */
static bool child_lives(int flags)
{
    int child = atomic_load(&snapshot_state.child);
    if (!child)
        return false;
    long reaped;
    do
        reaped = sys_call6(SYS_wait4, child, 0, __WCLONE | flags, 0, 0, 0);
    while (reaped == -EINTR && !(flags & WNOHANG));
    if (reaped == 0)
        return true;
    atomic_compare_exchange_strong(&snapshot_state.child, &child, 0);
    return false;
}

/* The program ends: nobody waits here for a large memory to be given back, and whoever reaps the program reaps this. */
static void end_child(void)
{
    int child = atomic_exchange(&snapshot_state.child, 0);
    if (child)
        sys_call(SYS_kill, child, SIGKILL, 0);
}

/* ---- taking ---- */

struct take_order {
    struct thread *self;
    enum hs_snapshot_reason reason;
    uint32_t request; /* of the recorder that it answers; 0: none  */
    uint32_t wish;    /* of the thread that it grants; 0: none     */
    struct own_stack_caller caller;
    int code; /* 0: it was taken; else a negative errno */
};

/* Who wishes for one, and tries again when another one is under way, does not miss any. */
static int refuse(const struct take_order *order, int code, const char *why)
{
    struct hs_message_snapshot_refused body = {order->request, order->reason, (uint32_t)strlen(why), code};
    struct emit_part parts[] = {{&body, sizeof body}, {why, body.length}};
    if (!(order->wish && code == -EBUSY))
        emit_message(order->self, HS_MESSAGE_SNAPSHOT_REFUSED, parts, 2);
    return code;
}

/* The address on the stack of exit()'s return address; 0: exit() is not among the callers. */
static uintptr_t frame_of_exit(struct thread *self, const void *frame)
{
    struct unwind_place places[UNWIND_MAX_FRAMES];
    size_t same;
    bool truncated;
    size_t count = unwind_places(self, frame, places, 0, &same, &truncated);
    /* The outermost come first; what exit() itself calls returns into its few instructions. */
    for (size_t i = 1; i < count; i++)
        if (places[i].pc - (uintptr_t)exit < EXIT_BYTES)
            return places[i - 1].return_at;
    return 0;
}

/*
 * Where the thread stood when it was asked: everything that its callers may still use is in the registers or on the
 * stack above. At the end of a C program that is less.
 */
static void see_own_thread(struct thread *self, enum hs_snapshot_reason reason, const struct own_stack_caller *caller)
{
    uintptr_t dead_below = 0;
    if (reason == HS_SNAPSHOT_EXIT && exit_frame)
        dead_below = exit_by_exit ? frame_of_exit(self, exit_frame) : (uintptr_t)exit_frame;
    threads.own = (struct scan_thread){.tid = (uint32_t)sys_gettid(),
                                       .sp = dead_below ? dead_below : caller->sp,
                                       .pointer = (uintptr_t)__builtin_thread_pointer()};
    _Static_assert(sizeof threads.registers == sizeof caller->registers, "the same registers");
    memcpy(threads.registers, caller->registers, sizeof threads.registers);
    if (dead_below)
        memset(threads.registers, 0, sizeof threads.registers);
}

static int take(const struct take_order *taking_order)
{
    struct thread *self = taking_order->self;
    enum hs_snapshot_reason reason = taking_order->reason;
    uint64_t began = sys_monotonic_ns();
    char why[160];
    if (child_lives(WNOHANG) && reason != HS_SNAPSHOT_EXIT)
        return refuse(taking_order, -EBUSY, "The snapshot before it is still being written.");
    uint64_t resident = headroom_resident();
    if (!headroom_enough(resident, why, sizeof why))
        return refuse(taking_order, -ENOMEM, why);
    end_child(); /* the end says more than what was before it */
    see_own_thread(self, reason, &taking_order->caller);
    threads_see_others(&threads);

    struct hs_message_snapshot begin = {atomic_fetch_add(&numbers, 1) + 1, reason, taking_order->request,
                                        taking_order->wish};
    if (!emit_message(self, HS_MESSAGE_SNAPSHOT, &(struct emit_part){&begin, sizeof begin}, 1))
        return -ENOTCONN;
    struct child_order order = {.number = begin.number,
                                .resident = resident,
                                .threads = &threads,
                                .awaited = reason == HS_SNAPSHOT_EXIT || reason == HS_SNAPSHOT_ASKED ||
                                           reason == HS_SNAPSHOT_SIGNAL || reason == HS_SNAPSHOT_DETACH};
    long child = sys_call6(SYS_clone, 0, 0, 0, 0, 0, 0);
    if (child == 0)
        child_run(&order);
    struct hs_message_snapshot_forked forked = {begin.number, (int32_t)child, sys_monotonic_ns() - began, resident};
    if (child > 0)
        atomic_store(&snapshot_state.child, (int)child);
    emit_message(self, HS_MESSAGE_SNAPSHOT_FORKED, &(struct emit_part){&forked, sizeof forked}, 1);
    return child > 0 ? 0 : (int)child;
}

static void take_on_own_stack(void *argument)
{
    struct take_order *order = argument;
    order->code = take(order);
}

static int take_as_ordered(struct take_order *order)
{
    if (!(session.options & HS_OPTION_SNAPSHOTS))
        return order->request ? refuse(order, -EPERM, "Snapshots are switched off (--no-snapshot).") : -EPERM;
    if (atomic_exchange(&taking, 1))
        return refuse(order, -EBUSY, "Another snapshot is being taken at this moment.");
    if (!own_stack_call(take_on_own_stack, order, &order->caller))
        order->code = refuse(order, -ENOMEM, "There was no memory for it.");
    atomic_store(&taking, 0);
    return order->code;
}

int snapshot_take_wished(struct thread *self, uint32_t wish)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own())
        return -ENOTCONN;
    int saved_errno = errno;
    int code = take_as_ordered(&(struct take_order){.self = self, .reason = HS_SNAPSHOT_ASKED, .wish = wish});
    errno = saved_errno;
    return code;
}

bool snapshot_take(struct thread *self, enum hs_snapshot_reason reason, uint32_t request)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own())
        return false;
    int saved_errno = errno;
    bool taken = take_as_ordered(&(struct take_order){.self = self, .reason = reason, .request = request}) == 0;
    if (request) {
        atomic_store(&snapshot_state.seen_request, request);
        atomic_store_explicit(&session.shared->snapshot_answer, request, memory_order_release);
    }
    errno = saved_errno;
    return taken;
}

/* ---- on request ---- */

/* 0: the recorder has given the request up. */
static uint32_t requested_reason(void)
{
    uint32_t reason = atomic_load_explicit(&session.shared->snapshot_reason, memory_order_relaxed);
    return reason <= HS_SNAPSHOT_SIGNAL ? reason : HS_SNAPSHOT_ASKED;
}

/* The interpreter calls it in the main thread between two instructions, the GIL held. */
static int pending_call(void *unused)
{
    (void)unused;
    struct thread *self = hook_enter();
    if (!self)
        return 0;
    uint32_t request = atomic_load_explicit(&session.shared->snapshot_request, memory_order_acquire);
    uint32_t reason = requested_reason();
    /* It may have been answered already, by a thread that was summoned. */
    if (reason && request != atomic_load(&session.shared->snapshot_answer) && python_graph_possible())
        snapshot_take(self, (enum hs_snapshot_reason)reason, request);
    hook_leave(self);
    return 0;
}

static void requested(struct thread *self)
{
    uint32_t request = atomic_load_explicit(&session.shared->snapshot_request, memory_order_acquire);
    uint32_t seen = atomic_load(&snapshot_state.seen_request);
    uint32_t reason = requested_reason();
    if (request == seen || reason == 0)
        return;
    if (python_state == PYTHON_NONE) {
        if (atomic_compare_exchange_strong(&snapshot_state.seen_request, &seen, request))
            snapshot_take(self, (enum hs_snapshot_reason)reason, request);
        return;
    }
    /* While it starts or ends, wait. Between two ticks nothing is lost: a full queue is tried again. */
    if (python_state != PYTHON_RUNNING || !python_capi.Py_AddPendingCall)
        return;
    if (atomic_compare_exchange_strong(&snapshot_state.seen_request, &seen, request) &&
        python_capi.Py_AddPendingCall(pending_call, NULL) != 0)
        atomic_compare_exchange_strong(&snapshot_state.seen_request, &request, seen);
}

void snapshot_tick(struct thread *self)
{
    int saved_errno = errno;
    child_lives(WNOHANG);
    requested(self);
    errno = saved_errno;
}

void snapshot_wait(void)
{
    child_lives(0); /* it has a deadline of its own */
}

/* ---- the end ---- */

void snapshot_at_exit(const void *frame, bool by_exit)
{
    uint32_t wanted = session.options & (HS_OPTION_SNAPSHOTS | HS_OPTION_NO_EXIT_SNAPSHOT);
    if (atomic_load(&session.state) != SESSION_ON || wanted != HS_OPTION_SNAPSHOTS || !process_is_own())
        return;
    /* When a finalized interpreter comes here, it has been here before. One that never ran is like none. */
    bool possible = python_state != PYTHON_RUNNING || python_graph_possible();
    struct thread *self = hook_enter();
    if (!self)
        return;
    if (!atomic_exchange(&at_exit, 1)) {
        exit_frame = python_state == PYTHON_NONE ? frame : NULL;
        exit_by_exit = by_exit;
        if (possible)
            snapshot_take(self, HS_SNAPSHOT_EXIT, 0);
        else
            refuse(&(struct take_order){.self = self, .reason = HS_SNAPSHOT_EXIT}, -EPERM,
                   "The thread that ended the program was not running Python.");
    }
    hook_leave(self);
}

/* False: it cannot be waited for that way; there is no descriptor to be had. */
static bool await_end(int child, uint64_t timeout_ns)
{
    long fd = sys_call(SYS_pidfd_open, child, 0, 0);
    if (fd < 0)
        return false;
    struct timespec left = {.tv_sec = (time_t)(timeout_ns / 1000000000), .tv_nsec = (long)(timeout_ns % 1000000000)};
    struct pollfd ended = {.fd = (int)fd, .events = POLLIN};
    while (sys_call6(SYS_ppoll, (long)&ended, 1, (long)&left, 0, 0, 0) == -EINTR)
        ; /* Linux counts the time down */
    sys_close((int)fd);
    return true;
}

bool snapshot_under_way(void)
{
    int saved_errno = errno;
    bool lives = child_lives(WNOHANG);
    errno = saved_errno;
    return lives;
}

void snapshot_await_child(uint64_t timeout_ns)
{
    int saved_errno = errno;
    int child = child_lives(WNOHANG) ? atomic_load(&snapshot_state.child) : 0;
    if (!child || !await_end(child, timeout_ns))
        sys_yield(); /* it is being made, or has to be asked again and again */
    errno = saved_errno;
}

void snapshot_farewell(void)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own() || !child_lives(WNOHANG) || sys_getpid() != 1)
        return;
    int saved_errno = errno;
    bool awaited = await_end(atomic_load(&snapshot_state.child), FAREWELL_SECONDS * UINT64_C(1000000000));
    child_lives(awaited ? WNOHANG : 0); /* it has a deadline of its own */
    errno = saved_errno;
}

void snapshot_before_exec(void)
{
    if (process_is_own() && child_lives(WNOHANG))
        end_child();
}

void snapshot_after_fork(void)
{
    atomic_store(&snapshot_state.child, 0);
    atomic_store(&snapshot_state.seen_request, 0);
    atomic_store(&taking, 0);
    atomic_store(&numbers, 0);
    atomic_store(&at_exit, 0);
    exit_frame = NULL;
}
