/* trap.c - see trap.h */
#include "trap.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <ucontext.h>

#include "../arena.h"
#include "../emit.h"
#include "../python/python.h"
#include "../session.h"
#include "../shared_signal.h"
#include "../snapshot/own_stack.h"
#include "../sys.h"
#include "../unwind.h"
#include "guessed_births.h"
#include "late_traps.h"
#include "watched.h"
#include "watchpoint.h"
#include "internal/watchpoint.h"

#define TAG UINT64_C(0x4853)
#define TAG_SHIFT 48
#define POINT_SHIFT 40

#define CODE_PERF 6                    /* TRAP_PERF                                             */
#define LATE 1u                        /* TRAP_PERF_FLAG_ASYNC: SIGTRAP was blocked when it was written */
#define STACK_BYTES ((size_t)64 << 10) /* much more than a hit needs */
#define PATIENCE_NS UINT64_C(1000000000)

/* The kernel's siginfo of TRAP_PERF, which libc's headers may not know. */
struct trap_info {
    int signo, error, code, padding;
    const void *address;
    uint64_t data;
    uint32_t type, flags;
};

static uint32_t hit_ns = 6000;       /* what the kernel takes for a hit */
static uint32_t ticks_per_us = 1000; /* of the processor's counter     */
static bool slows_copies;            /* see trap_slows_copies()        */

uint64_t trap_now(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t trap_since(uint64_t began)
{
    uint64_t ticks = trap_now() - began;
    /* A counter that differs from one processor to the next is not to be believed for long. */
    return ticks < UINT64_C(1) << 40 ? ticks * 1000 / ticks_per_us : 0;
}

/* ---- trying it out ---- */

#define TRIAL UINT32_MAX /* in place of a watch's number */
#define TRIALS 8u

static _Atomic uint32_t trials;
static volatile uint64_t trial_counter;

/* ---- a hit ---- */

/* The instruction that has written is the one before the interrupted one, as a call is before its return address. */
static uint32_t stack_of(struct thread *self, const ucontext_t *context)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    struct unwind_context at = {
        .pc = (uint64_t)registers[REG_RIP],
        .sp = (uintptr_t)registers[REG_RSP],
        .rbp = (uintptr_t)registers[REG_RBP],
    };
    return python_state == PYTHON_NONE ? unwind_node_at(self, &at) : python_interrupted_stack(self, &at);
}

static void tell(struct thread *self, struct watched *place, uint32_t watch, uint64_t count, uint32_t node)
{
    /* The same count again is no change, where no other thread can have made one: something else was written. */
    if (place->python && count == atomic_load_explicit(&place->last, memory_order_relaxed))
        return;
    count = emit_watch(self, watch, place->address, place->bytes, node);
    atomic_store_explicit(&place->last, count, memory_order_relaxed);
    uint32_t hits = atomic_fetch_add_explicit(&place->hits, 1, memory_order_relaxed) + 1;
    if (place->python && count == 0)
        watched_end(self, place, watch, HSK_WATCH_DIED);
    else if (place->sample && !place->unlimited && hits >= WATCH_MOST_HITS)
        watched_end(self, place, watch, HSK_WATCH_BUSY);
}

/* Inside of a hook, or where nothing is recorded any more. */
static void hit_untold(struct watched *place, unsigned point, uint64_t count)
{
    if (place->python && count == 0)
        atomic_store(&place->died, true);
    else if (atomic_load(&session.state) == SESSION_ON)
        return;
    watchpoint_release(point);
}

struct hit {
    struct thread *self;
    struct watched *place;
    uint32_t watch;
    uint64_t count;
    const ucontext_t *context; /* NULL: where it was written is not known */
};

static void tell_hit(void *argument)
{
    const struct hit *hit = argument;
    if (atomic_load_explicit(&hit->place->unborn, memory_order_relaxed))
        guessed_births_first_count(hit->self, hit->place, hit->watch, hit->count);
    else
        tell(hit->self, hit->place, hit->watch, hit->count, hit->context ? stack_of(hit->self, hit->context) : 0);
}

/*
 * The thread may have little left: the smallest stack that there is, or an alternate one that is made for a handler of
 * the program's. All signals are blocked here, so that one stack for each thread will do.
 */
static void tell_on_own_stack(struct hit *hit)
{
    struct own_stack_caller caller;
    if (!hit->self->trap_stack)
        hit->self->trap_stack = arena_map(STACK_BYTES);
    if (hit->self->trap_stack) {
        own_stack_switch((uintptr_t)hit->self->trap_stack + STACK_BYTES, tell_hit, hit, &caller);
        return;
    }
    hit->context = NULL;
    tell_hit(hit);
}

static void hit(unsigned point, uint32_t watch, bool late, const ucontext_t *context)
{
    struct watched *place = &watched[point];
    if (atomic_load_explicit(&place->watch, memory_order_acquire) != watch)
        return; /* it has ended meanwhile */
    uint64_t began = trap_now();
    atomic_store_explicit(&place->active_ns, atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed),
                          memory_order_relaxed);
    uint64_t count = emit_counter(place->address, place->bytes);
    struct thread *self = hook_enter();
    if (!self) {
        hit_untold(place, point, count);
        return;
    }
    tell_on_own_stack(&(struct hit){self, place, watch, count, late ? NULL : context});
    watched_spend(hit_ns + trap_since(began));
    hook_leave(self);
}

static bool take(siginfo_t *info, void *context)
{
    const struct trap_info *trap = (const struct trap_info *)info;
    unsigned point = (unsigned)(trap->data >> POINT_SHIFT & 0xff);
    if (trap->code != CODE_PERF || trap->data >> TAG_SHIFT != TAG || point >= WATCHPOINTS)
        return false;
    uint32_t watch = (uint32_t)trap->data;
    if (watch == TRIAL)
        atomic_fetch_add(&trials, 1);
    else
        hit(point, watch, !context || trap->flags & LATE, context);
    return true;
}

static bool waited(siginfo_t *info)
{
    uint64_t all = ~UINT64_C(0), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all, 0, 0);
    bool taken = take(info, NULL);
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
    return taken;
}

static const struct shared_signal_use use = {
    .take = take, .waited = waited, .uninterrupted = true, .default_kept = true};

uint64_t trap_tag(unsigned point, uint32_t watch)
{
    return TAG << TAG_SHIFT | (uint64_t)point << POINT_SHIFT | watch;
}

bool trap_is_ours(void)
{
    return shared_signal_is_ours(SIGTRAP);
}

/* ---- being ready ---- */

static bool is_blocked(void)
{
    uint64_t mask = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&mask, sizeof mask, 0, 0);
    return mask & UINT64_C(1) << (SIGTRAP - 1);
}

bool trap_slows_copies(void)
{
    return slows_copies;
}

/* The first watchpoint on a counter of ours: does each write come, and what does it take? */
static int try_out(void)
{
    if (is_blocked())
        return -EINTR;
    atomic_store(&trials, 0);
    uint64_t free_copy = hs_copy_ticks();
    if (!watchpoint_aim(0, (const void *)&trial_counter, sizeof trial_counter, trap_tag(0, TRIAL)))
        return -EIO;
    uint64_t began = sys_monotonic_ns(), began_ticks = trap_now();
    for (unsigned i = 0; i < TRIALS; i++)
        trial_counter = trial_counter + 1;
    uint64_t ticks = trap_now() - began_ticks, ns = sys_monotonic_ns() - began;
    slows_copies = hs_copy_ticks() / HS_SLOW_COPY > free_copy;
    watchpoint_release(0);
    hit_ns = (uint32_t)(ns / TRIALS);
    if (ns && ticks * 1000 / ns)
        ticks_per_us = (uint32_t)(ticks * 1000 / ns);
    return atomic_load(&trials) == TRIALS ? 0 : -EIO;
}

static bool handled; /* SIGTRAP, since trap_prepare() */

int trap_prepare(void)
{
    static bool tried;
    int code = watchpoints_open();
    if (code != 0)
        return code;
    if (!handled)
        handled = shared_signal_start(SIGTRAP, &use);
    if (!handled || !trap_is_ours())
        code = -EINTR;
    else if (!tried)
        code = try_out();
    if (code != 0)
        watchpoints_close();
    else
        tried = true;
    return code;
}

void trap_stop(void)
{
    watchpoints_close();
    if (handled)
        shared_signal_stop(SIGTRAP, late_traps_none(PATIENCE_NS));
    handled = false;
}
