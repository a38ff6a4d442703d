/*
 * stack.h - which stack an event gets: one place that decides between Python, native and hybrid.
 */
#ifndef HEAPSAKE_PRELOAD_STACK_H
#define HEAPSAKE_PRELOAD_STACK_H

#include <stdbool.h>

#include "python/python.h"
#include "unwind.h"

extern bool stack_want_native __attribute__((visibility("hidden"))); /* --native, or not an interpreter's own program */

HS_ALWAYS_INLINE uint32_t stack_capture(struct thread *self, const void *frame_address)
{
    if (python_state == PYTHON_NONE)
        return unwind_node(self, frame_address);
    if (HS_UNLIKELY(stack_want_native))
        return python_hybrid_stack(self, frame_address);
    return python_stack(self);
}

#endif
