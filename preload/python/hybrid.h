/*
 * hybrid.h - stacks of native and Python frames.
 *
 * For this folder; others use python_hybrid_stack() of python.h.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_HYBRID_H
#define HEAPSAKE_PRELOAD_PYTHON_HYBRID_H

#include <stdint.h>

#include "../thread.h"

/* As python_hybrid_stack(), for an allocator that needs the GIL or an attached thread state. */
uint32_t hybrid_attached(struct thread *self, const void *frame_address);

#endif
