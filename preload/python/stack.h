/*
 * stack.h - the Python stack of the calling thread, as a node.
 *
 * For this folder; others use python_stack() and python_hybrid_stack() of python.h.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_STACK_H
#define HEAPSAKE_PRELOAD_PYTHON_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "offsets.h"

/* From now on stacks are walked, with these offsets. NULL: no more. */
void stack_start(const struct python_offsets *offsets);

/*
 * The interpreter is being torn down (true) or in use (false). While it is torn down, threads that are not attached to it
 * find no stack: their thread state may be gone already.
 */
void stack_teardown(bool begun);

/*
 * The node of the calling thread's Python stack, for an allocator that needs the GIL (or, free-threaded, an attached thread
 * state). 0: no Python code runs.
 */
uint32_t stack_attached(struct thread *self);
/* The same, hybrid, from `frame_address` (unwind.h). */
uint32_t stack_attached_hybrid(struct thread *self, const void *frame_address);

/* Has the calling thread a thread state that it runs with, that is, does it hold the GIL? */
bool stack_is_attached(void);

#endif
