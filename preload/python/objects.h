/*
 * objects.h - births and deaths of Python objects (3.13+), where they are recorded (HS_OPTION_OBJECTS) or
 * --watch asks for some of them (watch/births.h).
 *
 * CPython calls one tracer of the process when an object gets its first reference and when it loses the last one. A
 * birth is always told, also where the object lies in the block of a dead one that was kept in a freelist. A death is
 * told only where the block may outlive the object: otherwise the block's free says it. Deaths may be missed by
 * CPython itself; then the next birth in the block, or its free, tells them late.
 *
 * The interpreter's own other tracer, that of tracemalloc, takes our place when it starts and leaves it empty, or not,
 * when it stops. We take the place back and call it from ours. A stranger's tracer is left alone.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_OBJECTS_H
#define HEAPSAKE_PRELOAD_PYTHON_OBJECTS_H

#include <stdbool.h>

#include "../thread.h"
#include "offsets.h"

/* When an interpreter is found, inside of a hook; python_capi is resolved. `offsets` may be NULL. Installs nothing. */
void objects_start(struct thread *self, const struct python_offsets *offsets);

/* Are births and deaths wanted of this interpreter? */
bool objects_wanted(void);

/*
 * Installs the tracer, unless a stranger's is there. In the main thread, between two instructions (lifecycle.c):
 * 3.15 stops all threads for it.
 */
void objects_install(void);

/* Gives the tracer's place back to whom it was taken from. From a thread that holds the GIL. */
void objects_uninstall(void);

/*
 * From a thread that holds the GIL, inside of a hook, now and then: has somebody taken the tracer's place? Says so, and
 * asks for objects_install().
 */
void objects_check(struct thread *self);

/* The interpreter has been finalized; another one may begin. */
void objects_forget(void);
/* In a forked child. */
void objects_after_fork(void);

#endif
