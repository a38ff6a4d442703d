/*
 * allocators.h - CPython's allocators, wrapped: raw, mem, object, and the arenas of pymalloc.
 *
 * The wrappers are installed with PyMem_SetAllocator. They are taken out when tracing ends by a detach, as far as
 * nobody else's allocator lies above them by then; without a session they only pass calls on.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_ALLOCATORS_H
#define HEAPSAKE_PRELOAD_PYTHON_ALLOCATORS_H

#include <stdbool.h>

#include "../thread.h"

/*
 * Wraps each domain that does not reach our wrapper (any more). Returns whether the object domain had been lost.
 * Before Py_Initialize from any thread; afterwards from a thread that holds the GIL. python_capi must be resolved.
 */
bool allocators_wrap(void);

/*
 * From a thread that holds the GIL, now and then: something (tracemalloc.stop(), PyMem_SetAllocator by the program) may
 * have put back allocators from before ours. Wraps again, and says what was missed.
 */
void allocators_check(struct thread *self);

/*
 * Takes the wrappers out again. From a thread that holds the GIL. False: somebody's layer lies above one of them, which
 * stays and passes calls on.
 */
bool allocators_unwrap(void);

/* In a snapshot's child: what the wrappers call from now on, in all domains. */
struct python_allocator;
void allocators_replace(const struct python_allocator *allocator);

#endif
