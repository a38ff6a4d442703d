/*
 * child.h - the snapshot child: a copy of the program in which nothing of the program runs any more.
 *
 * It is born by a raw clone with all signals blocked, and is single-threaded: locks of libc, of the loader, of Python
 * may have been held by threads that do not exist here, so nothing in it may take any. What it may use: this folder,
 * arena.h, sys.h, meeting.h, and libc's functions that only compute.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_CHILD_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_CHILD_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "scan.h"

struct child_order {
    uint32_t number;   /* of the snapshot        */
    uint64_t resident; /* bytes, of the program  */
    const struct scan_threads *threads;
    bool awaited; /* somebody waits for it: it need not yield the processor */
};

/* The child's life, from right behind the clone. */
_Noreturn void child_run(const struct child_order *order);

/*
 * Reading what may not be readable, or calling a tp_traverse that may crash:
 *
 *     struct child_guard guard;
 *     if (CHILD_GUARDED(&guard)) {
 *         ... a fault in here goes on in the else branch ...
 *         child_guard_end(&guard);
 *     } else {
 *         ... a fault has ended the guard ...
 *     }
 *
 * Guards nest. As with setjmp, a local variable that is changed inside and read in the else branch must be volatile,
 * and the function must not return from inside without child_guard_end(). Setting one costs about ten nanoseconds.
 */
struct child_guard {
    struct child_guard *outer;
    jmp_buf place;
};
extern struct child_guard *child_guard __attribute__((visibility("hidden")));

#define CHILD_GUARDED(guard) ((guard)->outer = child_guard, child_guard = (guard), _setjmp((guard)->place) == 0)

static inline void child_guard_end(struct child_guard *guard)
{
    child_guard = guard->outer;
}

#endif
