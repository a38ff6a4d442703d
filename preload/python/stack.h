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
 * The interpreter is being torn down (true) or in use (false). While it is torn down, threads that are not attached to
 * it find no stack: their thread state may be gone already.
 */
void stack_teardown(bool begun);

/*
 * From now on, until stacks are walked anew, nobody looks whether our wrappers are still there: they are being taken
 * back. With the GIL.
 */
void stack_forsake_allocators(void);

/*
 * The node of the calling thread's Python stack, for an allocator that needs the GIL (or, free-threaded, an attached
 * thread state). 0: no Python code runs.
 */
uint32_t stack_attached(struct thread *self);

/*
 * The parts of it, for hybrid.c: the thread state to walk (NULL: none that is safe to walk), the walk, which brings
 * self->python up to date with it, the node under the outermost frame, and a frame as a node holds it: code number <<
 * 32 | byte offset of its instruction; 0: there is no Python code to show.
 */
const void *stack_thread_state(struct thread *self, bool attached);
const void *stack_thread_state_only(struct thread *self); /* of any thread; looks after nothing */
uint32_t stack_walk(struct thread *self, const void *thread_state);
uint32_t stack_base(const struct thread *self);
uint64_t stack_describe_frame(struct thread *self, const void *frame);
/* NULL: stacks are not walked. */
const struct python_offsets *stack_offsets(void);

/*
 * The innermost frame with Python code of the stack that was walked last: its code object, the byte offset of the
 * instruction, and both as a node has them. False: there is none.
 */
struct stack_place {
    const void *code;
    uint64_t frame;
};
bool stack_innermost(struct thread *self, struct stack_place *place);

/* Has the calling thread a thread state that it runs with, that is, does it hold the GIL? */
bool stack_is_attached(void);

#endif
