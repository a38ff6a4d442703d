/*
 * thread.c - see thread.h
 *
 * A ring outlives its thread. When a thread is about to end, its ring is marked
 * `leaving`, but the thread may still allocate (other keys' destructors, libc's
 * own teardown) and goes on using it. Only when the kernel says that the thread is gone does
 * another thread take ring and struct over and write on behind what is there.
 */
#include "thread.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/prctl.h>

#include "arena.h"
#include "emit.h"
#include "process.h"
#include "session.h"
#include "sys.h"

__thread struct thread *thread_self;

/*
 * What thread_self points to while the real one is being made: a hook that is reached meanwhile sees depth 1. Of no
 * session: not of number 0 either, which tracing_live says while there is none.
 */
static struct thread in_the_making = {.depth = 1, .live = UINT32_MAX};

static _Atomic(struct thread *) all_threads;
static _Atomic uint32_t leaving_threads;
static _Atomic uint32_t entering; /* threads that are about to get a ring: none of the guards says so yet */
static pthread_key_t leaving_key;
static bool leaving_key_usable;

/* glibc keeps the values of the first keys in the thread itself: setting one of them never allocates. */
#define KEYS_WITHOUT_ALLOCATION 32

static void thread_leaving(void *value)
{
    struct thread *self = value;
    uint32_t depth = self->depth;
    self->depth = 1; /* the guard of the ring, as in hook_enter() */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&tracing_live.word, memory_order_relaxed) == self->live && self->ring) {
        atomic_store_explicit(&self->ring->owner_state, HS_RING_LEAVING, memory_order_release);
        atomic_fetch_add(&leaving_threads, 1);
    }
    atomic_signal_fence(memory_order_seq_cst);
    self->depth = depth;
}

void thread_prepare(void)
{
    if (leaving_key_usable)
        return;
    leaving_key_usable = pthread_key_create(&leaving_key, thread_leaving) == 0 && leaving_key < KEYS_WITHOUT_ALLOCATION;
}

static void announce(struct thread *self)
{
    char name[16] = "";
    sys_call(SYS_prctl, PR_GET_NAME, name, 0);
    size_t length = 0;
    while (length < sizeof name && name[length])
        length++;
    struct hs_message_thread body = {.tid = self->tid, .name_length = (uint32_t)length};
    struct emit_part parts[] = {{&body, sizeof body}, {name, length}};
    emit_message(self, HS_MESSAGE_THREAD, parts, 2);
}

static bool give_ring(struct thread *self)
{
    struct hs_session *shared = session.shared;
    uint32_t number = atomic_fetch_add(&shared->ring_count, 1);
    if (number >= HS_MAX_RINGS) {
        atomic_fetch_sub(&shared->ring_count, 1); /* numbers this high are never announced */
        return false;
    }
    uint32_t slots = number == 0 ? HS_FIRST_RING_SLOTS : number < HS_MANY_RINGS ? HS_RING_SLOTS : HS_SMALL_RING_SLOTS;
    uint64_t offset;
    struct hs_ring *ring = session_carve(sizeof *ring + slots * sizeof(struct hs_slot), &offset);
    if (!ring)
        return false;
    ring->slot_count = slots;
    atomic_store_explicit(&ring->owner_tid, self->tid, memory_order_relaxed);
    self->ring = ring;
    self->slots = ring->slots;
    self->mask = slots - 1;
    self->head = self->tail = 0;
    self->clock_ns = 0;
    self->marks_seen = 0;
    atomic_store_explicit(&shared->rings[number], offset, memory_order_release);
    return true;
}

/* What it knows of the thread that had it is void. */
static void begin_anew(struct thread *self, uint32_t tid)
{
    self->depth = 1;
    self->tid = tid;
    self->stack_low = self->stack_high = 0;
    self->pointer = (uintptr_t)__builtin_thread_pointer();
    self->fork_id = 0;
    self->allocator_frame = 0;
    self->python.depth = 0;
    self->last_block = NULL;
}

/* A struct and ring whose thread is gone, now the caller's; NULL when there is none. */
static struct thread *take_over(uint32_t tid)
{
    if (!atomic_load_explicit(&leaving_threads, memory_order_relaxed))
        return NULL;
    for (struct thread *old = atomic_load(&all_threads); old; old = old->next) {
        struct hs_ring *ring = old->live == session.generation ? old->ring : NULL;
        uint32_t leaving = HS_RING_LEAVING;
        if (!ring || atomic_load_explicit(&ring->owner_state, memory_order_acquire) != HS_RING_LEAVING)
            continue;
        if (old->tid != tid && sys_tgkill(session.pid, (int)old->tid, 0) != -ESRCH)
            continue;
        if (!atomic_compare_exchange_strong(&ring->owner_state, &leaving, HS_RING_OWNED))
            continue;
        atomic_fetch_sub(&leaving_threads, 1);
        atomic_store_explicit(&ring->owner_tid, tid, memory_order_relaxed);
        begin_anew(old, tid);
        return old;
    }
    return NULL;
}

/* A struct of a former session whose thread is gone; NULL when there is none. */
static struct thread *inherit(uint32_t tid)
{
    for (struct thread *old = atomic_load(&all_threads); old; old = old->next) {
        uint32_t live = __atomic_load_n(&old->live, __ATOMIC_ACQUIRE);
        if (live == session.generation || live == 0)
            continue;
        if (old->tid != tid && sys_tgkill(session.pid, (int)old->tid, 0) != -ESRCH)
            continue;
        if (!__atomic_compare_exchange_n(&old->live, &live, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            continue;
        begin_anew(old, tid);
        return old;
    }
    return NULL;
}

static struct thread *make_thread(uint32_t tid)
{
    struct thread *self = session.generation > 1 ? inherit(tid) : NULL;
    if (self)
        return give_ring(self) ? self : NULL; /* it is in the list */
    self = arena_alloc(sizeof *self);
    if (!self)
        return NULL;
    begin_anew(self, tid);
    if (!give_ring(self))
        return NULL;
    struct thread *first = atomic_load(&all_threads);
    do
        self->next = first;
    while (!atomic_compare_exchange_weak(&all_threads, &first, self));
    return self;
}

static struct thread *thread_start(void)
{
    static _Atomic uint32_t started;
    thread_self = &in_the_making;
    uint32_t tid = (uint32_t)sys_gettid();
    if (atomic_exchange(&started, 1)) {
        /* a thread that pthread_create did not announce */
        atomic_store(&session.threaded, 1);
        atomic_store(&session.shared->threaded, 1);
    }
    struct thread *self = take_over(tid);
    if (!self)
        self = make_thread(tid);
    if (!self) {
        /* No ring to be had. It stays that way for this thread: in_the_making answers all its hooks from now on. */
        atomic_fetch_add(&session.shared->lost, 1);
        return NULL;
    }
    announce(self);
    __atomic_store_n(&self->live, session.generation, __ATOMIC_RELEASE);
    if (leaving_key_usable) {
        thread_self = self; /* depth is 1: what pthread_setspecific might do is not recorded */
        pthread_setspecific(leaving_key, self);
    }
    self->depth = 0;
    thread_self = self;
    return self;
}

/* A thread that has a struct of a former session gets a ring in this one. */
static struct thread *thread_renew(struct thread *self)
{
    thread_self = &in_the_making;
    begin_anew(self, self->tid);
    if (!give_ring(self)) {
        atomic_fetch_add(&session.shared->lost, 1);
        return NULL;
    }
    announce(self);
    self->depth = 0;
    __atomic_store_n(&self->live, session.generation, __ATOMIC_RELEASE);
    thread_self = self;
    return self;
}

uintptr_t thread_pointer_of(uint32_t tid)
{
    for (const struct thread *thread = atomic_load(&all_threads); thread; thread = thread->next)
        if (thread->tid == tid)
            return thread->pointer;
    return 0;
}

/* Between the two looks at the state lies the increment of `entering`, as in hook_enter() the guard lies before the
 * word. */
struct thread *thread_slow(void)
{
    if (atomic_load_explicit(&session.state, memory_order_relaxed) != SESSION_ON)
        return NULL;
    int saved_errno = errno;
    struct thread *self = NULL;
    atomic_fetch_add(&entering, 1);
    if (atomic_load(&session.state) != SESSION_ON)
        goto done;
    if (!atomic_load_explicit(&tracing_live.word, memory_order_acquire) && !process_after_raw_fork())
        goto done;
    self = thread_self;
    if (!self)
        self = thread_start();
    else if (self != &in_the_making && self->live != session.generation)
        self = thread_renew(self);
done:
    if (atomic_load(&entering)) /* 0: this is a child by now, which has forgotten who was entering when it was made */
        atomic_fetch_sub(&entering, 1);
    errno = saved_errno;
    return self;
}

struct thread *hook_enter_slow(void)
{
    struct thread *self = thread_slow();
    if (!self || self->depth)
        return NULL;
    self->depth = 1;
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&tracing_live.word, memory_order_relaxed) == self->live)
        return self;
    self->depth = 0; /* the session has ended meanwhile */
    return NULL;
}

/* ---- the end of a session that the process outlives ---- */

/* Is it inside of a hook? One that has died there, is not. */
static bool is_inside(const struct thread *thread)
{
    return __atomic_load_n(&thread->depth, __ATOMIC_ACQUIRE) != 0 &&
           sys_tgkill(session.pid, (int)thread->tid, 0) != -ESRCH;
}

static bool any_inside(void)
{
    if (atomic_load(&entering))
        return true;
    for (const struct thread *thread = atomic_load(&all_threads); thread; thread = thread->next)
        if (is_inside(thread))
            return true;
    return false;
}

bool thread_quiesce(uint64_t deadline_ns)
{
    /* Whoever comes to the word from here on sees 0; and whoever has come before, is seen inside. */
    if (sys_call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) < 0 ||
        sys_call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) < 0)
        return false;
    uint64_t until = sys_monotonic_ns() + deadline_ns;
    while (any_inside()) {
        if (sys_monotonic_ns() > until)
            return false;
        sys_yield();
    }
    for (struct thread *thread = atomic_load(&all_threads); thread; thread = thread->next)
        thread->ring = NULL;
    atomic_store(&leaving_threads, 0);
    return true;
}

void thread_forget_others(struct thread *self)
{
    struct thread *kept = self == &in_the_making ? NULL : self;
    atomic_store(&leaving_threads, 0);
    atomic_store(&entering, 0);
    atomic_store(&all_threads, kept);
    if (!kept) {
        thread_self = NULL;
        return;
    }
    kept->next = NULL;
    kept->ring = NULL;
    kept->tid = (uint32_t)sys_gettid();
    kept->fork_id = 0;
}

bool thread_after_fork(struct thread *self)
{
    thread_forget_others(self);
    struct thread *kept = thread_self;
    if (!kept)
        return true;
    if (!give_ring(kept))
        return false;
    announce(kept);
    return true;
}
