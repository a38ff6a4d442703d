/* watched.h - what is being watched: begins, ends, and what a hit needs to know. For this folder. */
#ifndef HEAPSAKE_PRELOAD_WATCHED_H
#define HEAPSAKE_PRELOAD_WATCHED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "heapsake/trace_format.h"
#include "watchpoint.h"

/* A victim that was not hit for so long gives its place to another one. */
#define WATCH_COLD_NS UINT64_C(1000000000)
/* After so many hits a victim of a sample has told enough. */
#define WATCH_MOST_HITS 10000u
/*
 * Samples get new victims only while what traps and aiming have taken is less than WATCH_FREE_NS, 1 / WATCH_BUSY_SHARE
 * of the processor time that the program has used, and 1 / WATCH_IDLE_SHARE of the time that it has not, together.
 * every:1 lifts this limit, and that of WATCH_MOST_HITS.
 */
#define WATCH_FREE_NS UINT64_C(25000000)
#define WATCH_BUSY_SHARE 96u
#define WATCH_IDLE_SHARE 256u
/*
 * Where copies are slow while a watchpoint is armed (trap_slows_copies()), one part in so many of the processor time
 * that the program takes meanwhile counts as spent, and a victim that is cold gives its watchpoint back when that is
 * too much. What it costs really depends on the program: little to nothing, or all of that time where it does nothing
 * but copy.
 */
#define WATCH_ARMED_SHARE 8u

enum watched_state {
    WATCHED_NOTHING = 0,
    WATCHED_CHANGING = 1, /* belongs to the thread that has claimed it */
    WATCHED_COUNTER = 2,
};

/* One for each watchpoint. */
struct watched {
    _Atomic uint32_t state; /* enum watched_state */
    _Atomic uint32_t watch; /* its number; what follows holds while this does not change. 0: none */
    uint32_t request;       /* which --watch; HS_WATCH_BY_PROGRAM */
    uint32_t bytes;
    const volatile void *address; /* of the counter */
    const void *block;            /* of the object; NULL: not known */
    bool python;                  /* the count of an object: the GIL is held where it changes, 0 is its end */
    bool sample;                  /* another one may take its place */
    bool unlimited;               /* every:1: however many hits */
    uint32_t node;                /* where it was born */
    uint32_t allocated_at;        /* unborn: the stack of its block, as allocations have it */
    size_t block_size;            /* unborn */
    struct thread *thread;        /* unborn: that allocates it */
    _Atomic bool unborn;          /* no object yet, and not told: births.c waits for its first count */
    _Atomic bool died;            /* inside of a hook, where it could not be told */
    _Atomic uint64_t last;        /* the count that was told last */
    _Atomic uint32_t hits;
    _Atomic uint64_t active_ns; /* session's clock at the begin, or the last hit */
};
extern struct watched watched[WATCHPOINTS] __attribute__((visibility("hidden")));

struct watch_order {
    const void *address;
    const void *block;
    uint32_t bytes;
    uint32_t request;
    uint32_t type;
    uint32_t node;
    uint32_t allocated_at;
    size_t block_size;
    struct thread *thread;
    uint32_t flags; /* enum hsk_watch_flag */
    bool sample, unlimited;
    bool unborn;
};

/*
 * A watchpoint for it: a free one, or that of a sample's victim which may go. 0; -EBUSY: there is none, -EIO: the
 * kernel does not give it. `self` is inside.
 */
int watched_begin(struct thread *self, const struct watch_order *order);

/* Tells the recorder of a watch that was unborn: from now on it is one like others. */
void watched_tell_birth(struct thread *self, struct watched *place, uint32_t type, uint32_t flags);

/* Ends the watch of that number, if it is still there. `self` is inside. */
void watched_end(struct thread *self, struct watched *place, uint32_t watch, enum hsk_watch_end reason);

/* All of them. */
void watched_end_all(struct thread *self, enum hsk_watch_end reason);

/* Now and then: are the watchpoints still ours? Ends all watches when they are not. `self` is inside. */
void watched_look_after(struct thread *self);

/* Nothing is watched; that it was is told nobody. What watchpoints are aimed at is the caller's business. */
void watched_forget(void);

/* In a forked child: nothing is watched. */
void watched_after_fork(void);

/* What samples cost is compared with what the program does from now on. */
void watched_start(void);

/* Time that traps and aiming have taken. */
void watched_spend(uint64_t ns);
/* May a sample have a new victim? And is there a watchpoint for it, as far as can be told before claiming it? */
bool watched_affordable(void);
bool watched_has_place(uint32_t request);

/* Sets how many watchpoints each sample may have at once. */
void watched_share(unsigned samples);

#endif
