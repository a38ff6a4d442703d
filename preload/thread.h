/*
 * thread.h - what the library keeps for each thread, and the guard of the hooks.
 *
 * A thread gets its struct thread and its ring at its first event, and keeps
 * them until it has ended; memory comes from arena.h, never from malloc. All of the library's
 * thread-local storage is the one pointer below, initial-exec, so reading it
 * calls nothing.
 *
 * The guard. `depth` counts the hooks this thread is inside of. A hook that
 * finds it above 0 was reached from another one (PyObject_Malloc that asks
 * malloc for an arena, or work of our own) and only passes the call on: one allocation
 * is one event, in its outermost domain.
 *
 * Sessions. tracing_live.word is the number of the session that the process is traced in (session.generation), 0 while
 * it is traced in none. A thread's ring belongs to the session whose number the thread carries, and is touched only
 * behind the guard with both numbers equal, in this order: so whoever has set the word to 0 knows, once every thread
 * has passed a barrier and is inside of no hook, that nobody will touch the rings any more (thread_quiesce()).
 *
 * Forks. The word lives in a page with MADV_WIPEONFORK: it is 0 in
 * every child, however it was made, so that no child can mistake its parent's
 * rings for its own. See process.c.
 */
#ifndef HEAPSAKE_PRELOAD_THREAD_H
#define HEAPSAKE_PRELOAD_THREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/session.h"

/* One frame of the last stack of a thread, as python/stack.c compares it. Outermost first. */
struct cached_frame {
    const void *frame;       /* the interpreter's frame                           */
    const void *instruction; /* where in its code it is                            */
    uint32_t node;           /* of the stack from the outermost frame to this one    */
    uint32_t reserved;
};

struct python_cache {
    struct cached_frame *frames; /* arena memory */
    uint32_t depth;              /* valid entries, 0: nothing cached */
    uint32_t capacity;
    uint32_t code_epoch;         /* of python/code_table.c when it was filled */
    struct hybrid_stack *hybrid; /* of python/hybrid.c: the last hybrid stack; arena memory */
};

/* The last native stack; unwind.c alone knows what is in it. All zero in a new thread. */
struct native_cache {
    struct native_stack *stack; /* arena memory; stays when the struct thread passes on to another thread */
};

/* The types that this thread met last, by address; python/type_table.c says what the values are. */
#define TYPE_CACHE_ENTRIES 64u
struct type_cache {
    uint32_t epoch; /* of python/type_table.c when it was filled */
    struct {
        const void *type;
        uint64_t value;
    } entries[TYPE_CACHE_ENTRIES];
};

struct thread {
    struct hs_ring *ring;
    uint64_t head;          /* of the ring; published with each event               */
    uint64_t tail;          /* last seen of the ring's tail: at least this is read   */
    uint64_t mask;          /* slot_count - 1                                        */
    struct hs_slot *slots;  /* of the ring                                          */
    uint64_t clock_ns;      /* of the last tick written                              */
    uint64_t marks_seen;    /* marks below are known to stand before its next event    */
    const void *last_block; /* that it allocated, until an object is born in it       */
    uint32_t depth;         /* the guard                                             */
    uint32_t live;          /* number of the session that it has its ring in          */
    uint32_t tid;
    uintptr_t stack_low, stack_high; /* bounds of this thread's stack; 0, 0: unknown. unwind.c stays inside */
    uintptr_t allocator_frame;       /* of the wrapper of operator new that runs unguarded, or has thrown; 0: none */
    uintptr_t pointer;               /* its thread pointer, where libc keeps its data of the thread */
    uint64_t fork_id;                /* of the fork that this thread is in; 0: none            */
    struct python_cache python;
    struct native_cache native;
    struct type_cache types;
    struct leaf_cache *leaves;    /* of refs/leaf.c; arena memory                    */
    struct header_cache *headers; /* of refs/python_counts.c; arena memory        */
    char *trap_stack;             /* of watch/trap.c; arena memory, NULL until a watch is hit here */
    struct thread *next;          /* in the list of all of this process                    */
};

extern __thread struct thread *thread_self __attribute__((tls_model("initial-exec"), visibility("hidden")));

extern struct tracing_live {
    _Alignas(HS_PAGE_SIZE) _Atomic uint32_t word; /* the session's number; 0: not traced. Wiped to 0 by a fork */
    uint32_t page[HS_PAGE_SIZE / 4 - 1];
} tracing_live __attribute__((visibility("hidden")));

/*
 * The calling thread's struct, made when there is none; NULL when this process
 * is not traced, when no ring could be had, or while it is being made. In a process that has forked
 * without our fork hook it first starts the child's session. Preserves errno. Async-signal-safe.
 */
struct thread *thread_slow(void);

/* The thread-specific key that tells when a thread is about to end; from the constructor. */
void thread_prepare(void);
/*
 * The thread pointer of a thread that has a struct thread; 0: none. Walks the list of all: cold. The thread may be
 * gone.
 */
uintptr_t thread_pointer_of(uint32_t tid);
/* In a forked child: all threads but the calling one, which has no ring any more, are forgotten. */
void thread_forget_others(struct thread *self);
/* In a forked child with a new session: the calling thread gets a ring there, all others are forgotten.
 * False: no room. */
bool thread_after_fork(struct thread *self);

/*
 * After the process has left its session (session_end()): waits until no thread is inside of a hook, and takes the
 * rings away from all threads, which get others in the next session. False: a thread has stayed inside of one for
 * `deadline_ns`; the session's memory must stay mapped then. Not from inside of a hook.
 */
bool thread_quiesce(uint64_t deadline_ns);

/* The rest of hook_enter(): the thread is new, or this process' session is. */
struct thread *hook_enter_slow(void);

/*
 * At the beginning of a hook: the thread, now inside of a hook; or NULL: this
 * call is not to be recorded, and there is nothing to leave.
 */
HS_ALWAYS_INLINE struct thread *hook_enter(void)
{
    struct thread *self = thread_self;
    if (HS_UNLIKELY(!self))
        return hook_enter_slow();
    if (self->depth)
        return NULL;
    self->depth = 1;
    atomic_signal_fence(memory_order_seq_cst);
    if (HS_LIKELY(atomic_load_explicit(&tracing_live.word, memory_order_relaxed) == self->live))
        return self;
    self->depth = 0;
    return hook_enter_slow();
}

HS_ALWAYS_INLINE void hook_leave(struct thread *self)
{
    atomic_signal_fence(memory_order_seq_cst);
    self->depth = 0;
}

/* The thread whether or not it is inside of a hook (the arena allocator's case); NULL when not traced. */
HS_ALWAYS_INLINE struct thread *hook_inside(void)
{
    struct thread *self = thread_self;
    if (HS_UNLIKELY(!self || atomic_load_explicit(&tracing_live.word, memory_order_relaxed) != self->live))
        return NULL;
    return self;
}

/* The same, but a forked child's session is started if need be. */
HS_ALWAYS_INLINE struct thread *hook_inside_or_start(void)
{
    struct thread *self = hook_inside();
    return HS_LIKELY(self != NULL) ? self : thread_slow();
}

#endif
