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
#include "threads_seen.h"

#define FAREWELL_SECONDS 60
#define EXIT_BYTES 64 /* glibc's exit() is shorter */

struct snapshot_state snapshot_state;

static _Atomic uint32_t taking;     /* one thread at a time; the others do without      */
static _Atomic uint32_t numbers;    /* of snapshots, in this session                    */
static _Atomic uint32_t at_exit;    /* 1: the exit snapshot was taken, or refused       */
static uintptr_t dead_below;        /* of the thread that takes the exit snapshot; 0: its whole stack is in use */
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

static void end_child(void)
{
    int child = atomic_load(&snapshot_state.child);
    if (!child)
        return;
    sys_call(SYS_kill, child, SIGKILL, 0);
    child_lives(0);
}

/*
 * Everything that this thread's callers may still use is in the registers or on the stack above. No handler
 * of the program runs in between, neither here nor in the child, where all signals stay blocked.
 */
static __attribute__((noinline)) long clone_here(const struct child_order *order)
{
    uint64_t all = ~UINT64_C(0), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all, 0, 0);
    uint64_t *registers = threads.registers;
    __asm__ volatile("movq %%rbx, 0(%0)\n\tmovq %%rbp, 8(%0)\n\tmovq %%r12, 16(%0)\n\t"
                     "movq %%r13, 24(%0)\n\tmovq %%r14, 32(%0)\n\tmovq %%r15, 40(%0)"
                     :
                     : "r"(registers)
                     : "memory");
    uintptr_t sp;
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
    threads.own.sp = sp;
    if (dead_below) {
        threads.own.sp = dead_below;
        memset(registers, 0, sizeof threads.registers);
    }
    long child = sys_call6(SYS_clone, 0, 0, 0, 0, 0, 0);
    if (child == 0)
        child_run(order);
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
    return child;
}

/* ---- taking ---- */

static void refuse(struct thread *self, enum hs_snapshot_reason reason, uint32_t request, const char *why)
{
    struct hs_message_snapshot_refused body = {request, reason, (uint32_t)strlen(why), 0};
    struct emit_part parts[] = {{&body, sizeof body}, {why, body.length}};
    emit_message(self, HS_MESSAGE_SNAPSHOT_REFUSED, parts, 2);
}

static bool take(struct thread *self, enum hs_snapshot_reason reason, uint32_t request)
{
    uint64_t began = sys_monotonic_ns();
    char why[160];
    if (child_lives(WNOHANG) && reason != HS_SNAPSHOT_EXIT) {
        refuse(self, reason, request, "The snapshot before it is still being written.");
        return false;
    }
    uint64_t resident = headroom_resident();
    if (!headroom_enough(resident, why, sizeof why)) {
        refuse(self, reason, request, why);
        return false;
    }
    end_child(); /* the end says more than what was before it */
    threads.own = (struct scan_thread){.tid = (uint32_t)sys_gettid(), .pointer = (uintptr_t)__builtin_thread_pointer()};
    threads_see_others(&threads);

    struct hs_message_snapshot begin = {atomic_fetch_add(&numbers, 1) + 1, reason, request, 0};
    if (!emit_message(self, HS_MESSAGE_SNAPSHOT, &(struct emit_part){&begin, sizeof begin}, 1))
        return false;
    struct child_order order = {.number = begin.number,
                                .resident = resident,
                                .threads = &threads,
                                .awaited = reason == HS_SNAPSHOT_EXIT || reason == HS_SNAPSHOT_ASKED ||
                                           reason == HS_SNAPSHOT_SIGNAL};
    long child = clone_here(&order);
    struct hs_message_snapshot_forked forked = {begin.number, (int32_t)child, sys_monotonic_ns() - began, resident};
    if (child > 0)
        atomic_store(&snapshot_state.child, (int)child);
    emit_message(self, HS_MESSAGE_SNAPSHOT_FORKED, &(struct emit_part){&forked, sizeof forked}, 1);
    return child > 0;
}

bool snapshot_take(struct thread *self, enum hs_snapshot_reason reason, uint32_t request)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own())
        return false;
    int saved_errno = errno;
    bool taken = false;
    if (!(session.options & HS_OPTION_SNAPSHOTS)) {
        if (request)
            refuse(self, reason, request, "Snapshots are switched off (--no-snapshot).");
    } else if (atomic_exchange(&taking, 1)) {
        refuse(self, reason, request, "Another snapshot is being taken at this moment.");
    } else {
        taken = take(self, reason, request);
        atomic_store(&taking, 0);
    }
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

/* ---- the end ---- */

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
            return places[i - 1].slot;
    return 0;
}

void snapshot_at_exit(const void *frame, bool by_exit)
{
    if (atomic_load(&session.state) != SESSION_ON || !(session.options & HS_OPTION_SNAPSHOTS) || !process_is_own())
        return;
    /* When a finalized interpreter comes here, it has been here before. One that never ran is like none. */
    bool possible = python_state != PYTHON_RUNNING || python_graph_possible();
    struct thread *self = hook_enter();
    if (!self)
        return;
    if (!atomic_exchange(&at_exit, 1)) {
        if (frame && python_state == PYTHON_NONE)
            dead_below = by_exit ? frame_of_exit(self, frame) : (uintptr_t)frame;
        if (possible)
            snapshot_take(self, HS_SNAPSHOT_EXIT, 0);
        else
            refuse(self, HS_SNAPSHOT_EXIT, 0, "The thread that ended the program was not running Python.");
    }
    hook_leave(self);
}

void snapshot_farewell(void)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own() || !child_lives(WNOHANG) || sys_getpid() != 1)
        return;
    int saved_errno = errno;
    long fd = sys_call(SYS_pidfd_open, atomic_load(&snapshot_state.child), 0, 0);
    if (fd >= 0) {
        struct timespec deadline = {.tv_sec = FAREWELL_SECONDS};
        struct pollfd ended = {.fd = (int)fd, .events = POLLIN};
        while (sys_call6(SYS_ppoll, (long)&ended, 1, (long)&deadline, 0, 0, 0) == -EINTR)
            ; /* Linux counts the deadline down */
        sys_close((int)fd);
        child_lives(WNOHANG);
    } else {
        child_lives(0); /* it has a deadline of its own */
    }
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
    dead_below = 0;
}
