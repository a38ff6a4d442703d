/*
 * watched.c - see watched.h
 *
 * Each watchpoint belongs to nobody, to the thread that is changing it, or to a counter; it passes from one to the next
 * by compare-and-swap, so that nobody waits. A hit names its watch by number: one that comes when its watch has ended
 * is for nobody.
 */
#include "watched.h"

#include <errno.h>

#include "../emit.h"
#include "../modules.h"
#include "../session.h"
#include "../sys.h"
#include "trap.h"

#define PATIENCE 1000u /* turns that a thread waits for another one that is aiming */

struct watched watched[WATCHPOINTS];

static _Atomic uint32_t last_watch;
static _Atomic uint32_t aiming; /* 1: a thread opens, closes or aims */
static unsigned share = WATCHPOINTS;

/* What samples may cost, see watched.h: both times are the program's, and count from watched_start() on. */
static _Atomic uint64_t spent_ns, budget_ns = WATCH_FREE_NS;
static _Atomic uint64_t budgeted_ns; /* the tick of the session's clock for which budget_ns was computed */
static uint64_t began_ns, began_busy_ns;

void watched_spend(uint64_t ns)
{
    atomic_fetch_add_explicit(&spent_ns, ns, memory_order_relaxed);
}

static uint64_t now_ns(void)
{
    return atomic_load_explicit(&session.shared->clock_ns, memory_order_relaxed);
}

static uint64_t processor_ns(void)
{
    struct timespec used = {0};
    sys_call(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &used, 0);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}

static bool is_limited(const struct watched *place)
{
    return place->sample && !place->unlimited;
}

static bool samples_are_armed(void)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        if (atomic_load_explicit(&watched[i].watch, memory_order_relaxed) && is_limited(&watched[i]))
            return true;
    return false;
}

/* Charges for the processor time since the last call: to be called before a sample is armed, and before it is not any
 * more. */
static void settle_armed(uint64_t busy)
{
    static _Atomic uint64_t settled_ns;
    uint64_t before = atomic_exchange_explicit(&settled_ns, busy, memory_order_relaxed);
    if (busy > before && samples_are_armed())
        watched_spend((busy - before) / WATCH_ARMED_SHARE);
}

bool watched_affordable(void)
{
    uint64_t now = now_ns();
    if (now != atomic_load_explicit(&budgeted_ns, memory_order_relaxed)) {
        atomic_store_explicit(&budgeted_ns, now, memory_order_relaxed);
        uint64_t busy_ever = processor_ns(), busy = busy_ever - began_busy_ns;
        uint64_t idle = now - began_ns > busy ? now - began_ns - busy : 0;
        if (trap_slows_copies())
            settle_armed(busy_ever);
        atomic_store_explicit(&budget_ns, WATCH_FREE_NS + busy / WATCH_BUSY_SHARE + idle / WATCH_IDLE_SHARE,
                              memory_order_relaxed);
    }
    return atomic_load_explicit(&spent_ns, memory_order_relaxed) <
           atomic_load_explicit(&budget_ns, memory_order_relaxed);
}

void watched_start(void)
{
    began_ns = now_ns();
    began_busy_ns = processor_ns();
    atomic_store(&spent_ns, 0);
    atomic_store(&budget_ns, WATCH_FREE_NS);
}

void watched_share(unsigned samples)
{
    share = samples >= WATCHPOINTS ? 1 : samples ? WATCHPOINTS / samples : WATCHPOINTS;
}

static unsigned point_of(const struct watched *place)
{
    return (unsigned)(place - watched);
}

static bool take_state(struct watched *place, enum watched_state from, enum watched_state to)
{
    uint32_t expected = from;
    return atomic_compare_exchange_strong(&place->state, &expected, to);
}

/* ---- the end ---- */

static void tell_end(struct thread *self, uint32_t watch, enum hsk_watch_end reason, uint64_t count)
{
    struct hs_message_watch_end body = {.watch = watch, .reason = reason, .count = count};
    emit_message(self, HS_MESSAGE_WATCH_END, &(struct emit_part){&body, sizeof body}, 1);
}

/* What nobody has told: a thread that blocks SIGTRAP has its trap pending, and others go on without. */
static uint64_t tell_rest(struct thread *self, const struct watched *place)
{
    uint64_t last = atomic_load(&place->last);
    if (!modules_readable((uintptr_t)place->address) || emit_counter(place->address, place->bytes) == last)
        return last;
    return emit_watch(self, atomic_load(&place->watch), place->address, place->bytes, 0);
}

/* The caller has it in state CHANGING, and leaves it there. */
static void stop(struct thread *self, struct watched *place, enum hsk_watch_end reason)
{
    uint64_t began = trap_now();
    if (trap_slows_copies() && is_limited(place))
        settle_armed(processor_ns());
    watchpoint_release(point_of(place));
    watched_spend(trap_since(began));
    uint64_t count = atomic_load(&place->last);
    /* Only where the counter's memory is sure to be there. */
    if (reason == HSK_WATCH_DIED || reason == HSK_WATCH_ASKED)
        count = emit_counter(place->address, place->bytes);
    if (reason == HSK_WATCH_DETACHED && !atomic_load(&place->unborn))
        count = tell_rest(self, place);
    if (!atomic_load(&place->unborn))
        tell_end(self, atomic_load(&place->watch), reason, count);
    atomic_store(&place->watch, 0);
    atomic_fetch_sub(&session.watching, 1);
}

void watched_end(struct thread *self, struct watched *place, uint32_t watch, enum hsk_watch_end reason)
{
    if (atomic_load(&place->watch) != watch || !take_state(place, WATCHED_COUNTER, WATCHED_CHANGING))
        return;
    if (atomic_load(&place->watch) == watch) {
        stop(self, place, reason);
        atomic_store(&place->state, WATCHED_NOTHING);
    } else {
        atomic_store(&place->state, WATCHED_COUNTER);
    }
}

/* ---- the begin ---- */

static bool is_cold(const struct watched *place)
{
    return place->sample && (atomic_load(&place->died) || now_ns() - atomic_load(&place->active_ns) > WATCH_COLD_NS);
}

static bool is_of(const struct watched *place, uint32_t request)
{
    return atomic_load(&place->state) == WATCHED_COUNTER && place->sample && place->request == request;
}

/* Ends the watch there, and keeps the watchpoint. */
static bool replace(struct thread *self, struct watched *place)
{
    if (!take_state(place, WATCHED_COUNTER, WATCHED_CHANGING))
        return false;
    stop(self, place, atomic_load(&place->died) ? HSK_WATCH_DIED : HSK_WATCH_REPLACED);
    return true;
}

static struct watched *claim_free(void)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        if (atomic_load_explicit(&watched[i].state, memory_order_relaxed) == WATCHED_NOTHING &&
            take_state(&watched[i], WATCHED_NOTHING, WATCHED_CHANGING))
            return &watched[i];
    return NULL;
}

static unsigned count_of(uint32_t request)
{
    unsigned own = 0;
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        own += is_of(&watched[i], request);
    return own;
}

bool watched_has_place(uint32_t request)
{
    bool may_have_more = count_of(request) < share;
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        uint32_t state = atomic_load_explicit(&watched[i].state, memory_order_relaxed);
        if ((may_have_more && state == WATCHED_NOTHING) ||
            (state == WATCHED_COUNTER && (may_have_more || is_of(&watched[i], request)) && is_cold(&watched[i])))
            return true;
    }
    return false;
}

static struct watched *claim_for_sample(struct thread *self, uint32_t request)
{
    unsigned own = count_of(request);
    struct watched *place = own < share ? claim_free() : NULL;
    for (unsigned i = 0; i < WATCHPOINTS && !place; i++)
        if ((own < share || is_of(&watched[i], request)) && atomic_load(&watched[i].state) == WATCHED_COUNTER &&
            is_cold(&watched[i]) && replace(self, &watched[i]))
            place = &watched[i];
    return place;
}

/* What the program or --watch=symbol: asks for goes before samples. */
static struct watched *claim_for_counter(struct thread *self)
{
    struct watched *place = claim_free();
    for (unsigned i = 0; i < WATCHPOINTS && !place; i++)
        if (watched[i].sample && replace(self, &watched[i]))
            place = &watched[i];
    return place;
}

static void tell_begin(struct thread *self, const struct watched *place, uint32_t type, uint32_t flags)
{
    struct hs_message_watch body = {
        .watch = atomic_load(&place->watch),
        .request = place->request,
        .address = (uintptr_t)place->address,
        .block = (uintptr_t)place->block,
        .count = atomic_load(&place->last),
        .bytes = place->bytes,
        .type = type,
        .node = place->node,
        .flags = flags,
    };
    emit_message(self, HS_MESSAGE_WATCH, &(struct emit_part){&body, sizeof body}, 1);
}

void watched_tell_birth(struct thread *self, struct watched *place, uint32_t type, uint32_t flags)
{
    atomic_store(&place->unborn, false);
    tell_begin(self, place, type, flags);
}

static bool aim_now(const struct watched *place)
{
    return trap_prepare() == 0 && watchpoint_aim(point_of(place), (const void *)place->address, place->bytes,
                                                 trap_tag(point_of(place), atomic_load(&place->watch)));
}

/* The watchpoints are not ours any more; they can be opened again, but what was watched is not. `aiming` is held. */
static void all_lost(struct thread *self)
{
    watched_end_all(self, HSK_WATCH_FAILED);
    watchpoints_close();
}

/* False: another thread is at it for long, which may not be running. */
static bool may_aim(void)
{
    for (unsigned turn = 0; atomic_exchange(&aiming, 1); turn++) {
        if (turn == PATIENCE)
            return false;
        sys_yield();
    }
    return true;
}

/* `aiming` is held. */
static bool aim(struct thread *self, const struct watched *place)
{
    uint64_t began = trap_now();
    bool aimed = aim_now(place);
    if (!aimed && !watchpoints_there()) {
        all_lost(self);
        aimed = aim_now(place);
    }
    watched_spend(trap_since(began));
    return aimed;
}

static void fill(struct watched *place, const struct watch_order *order)
{
    place->request = order->request;
    place->bytes = order->bytes;
    place->address = order->address;
    place->block = order->block;
    place->python = order->flags & HSK_WATCH_PYTHON;
    place->sample = order->sample;
    place->unlimited = order->unlimited;
    place->node = order->node;
    place->allocated_at = order->allocated_at;
    place->block_size = order->block_size;
    place->thread = order->thread;
    atomic_store(&place->unborn, order->unborn);
    atomic_store(&place->died, false);
    atomic_store(&place->hits, 0);
    atomic_store(&place->active_ns, now_ns());
    atomic_store(&place->last, order->unborn ? 0 : emit_counter(order->address, order->bytes));
    uint32_t watch;
    do
        watch = atomic_fetch_add(&last_watch, 1) + 1;
    while (watch == 0 || watch == UINT32_MAX);
    atomic_store_explicit(&place->watch, watch, memory_order_release);
}

int watched_begin(struct thread *self, const struct watch_order *order)
{
    struct watched *place = order->sample ? claim_for_sample(self, order->request) : claim_for_counter(self);
    if (!place)
        return -EBUSY;
    if (!may_aim()) { /* nothing is told of it yet */
        atomic_store(&place->state, WATCHED_NOTHING);
        return -EIO;
    }
    if (trap_slows_copies() && order->sample && !order->unlimited)
        settle_armed(processor_ns());
    fill(place, order);
    if (!order->unborn)
        tell_begin(self, place, order->type, order->flags);
    atomic_fetch_add(&session.watching, 1);
    bool aimed = aim(self, place);
    atomic_store(&aiming, 0);
    if (!aimed) {
        stop(self, place, HSK_WATCH_FAILED);
        atomic_store(&place->state, WATCHED_NOTHING);
        return -EIO;
    }
    atomic_store(&place->state, WATCHED_COUNTER);
    /* What other threads have done between the reading and the aiming. */
    if (!order->unborn && !place->python && emit_counter(order->address, order->bytes) != atomic_load(&place->last))
        emit_watch(self, atomic_load(&place->watch), order->address, order->bytes, order->node);
    return 0;
}

/* ---- what else happens ---- */

void watched_end_all(struct thread *self, enum hsk_watch_end reason)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        watched_end(self, &watched[i], atomic_load(&watched[i].watch), reason);
}

static void end_cold(struct thread *self)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        uint32_t watch = atomic_load(&watched[i].watch);
        if (watch && is_limited(&watched[i]) && is_cold(&watched[i]))
            watched_end(self, &watched[i], watch, HSK_WATCH_COLD);
    }
}

void watched_look_after(struct thread *self)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++)
        if (atomic_load(&watched[i].died))
            watched_end(self, &watched[i], atomic_load(&watched[i].watch), HSK_WATCH_DIED);
    if (trap_slows_copies() && !watched_affordable())
        end_cold(self);
    if (atomic_exchange(&aiming, 1))
        return;
    if (!watchpoints_there() || !trap_is_ours())
        all_lost(self);
    atomic_store(&aiming, 0);
}

void watched_forget(void)
{
    atomic_store(&aiming, 0);
    atomic_store(&session.watching, 0);
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        atomic_store(&watched[i].watch, 0);
        atomic_store(&watched[i].state, WATCHED_NOTHING);
    }
}

void watched_after_fork(void)
{
    watchpoints_after_fork();
    watched_forget();
    watched_start();
}
