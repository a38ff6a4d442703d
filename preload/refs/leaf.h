/*
 * leaf.h - the innermost frame of a counted reference: the line or the call that changed it, over the Python stack.
 *
 * A program counts at few places, over and over: each thread remembers which node it got last time.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_LEAF_H
#define HEAPSAKE_PRELOAD_REFS_LEAF_H

#include <stdint.h>

#include "../thread.h"

/*
 * The node of a line of source under the stack `parent`. The texts are constants of the module that is calling; they
 * are known by their addresses, as long as no module is unloaded.
 */
uint32_t leaf_of_line(struct thread *self, uint32_t parent, const char *file, uint32_t line, const char *function);

/* ... of a call that returns to `pc`. */
uint32_t leaf_of_call(struct thread *self, uint32_t parent, const void *pc);

/* The stack without its innermost frame, when that is a native one. */
uint32_t leaf_without_native(uint32_t node);

/* In a forked child, which has one thread. */
void leaf_after_fork(void);

#endif
