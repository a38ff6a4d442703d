/*
 * own_stack.h - a stack of ours for the thread that takes a snapshot, and for the child that comes of it.
 *
 * A thread may have a few KiB left: coroutines, signal handlers on an alternate stack, threads with the smallest stack
 * that there is. What lies below may be somebody's memory, and is not always guarded.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_OWN_STACK_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_OWN_STACK_H

#include <stdbool.h>
#include <stdint.h>

/* The caller's state at the switch: rbx, rbp, r12 to r15, which its own callers may still use, and
 * its stack pointer. */
struct own_stack_caller {
    uint64_t registers[6];
    uintptr_t sp;
};

/*
 * Calls the function on that stack, all signals blocked: no handler of the program runs there. False: no memory, and
 * nothing was called. One thread at a time; the stack stays for the next.
 */
bool own_stack_call(void (*function)(void *), void *argument, struct own_stack_caller *caller);

/* Calls the function on any stack that ends at `top`, a multiple of 16. Signals are the caller's to block. */
void own_stack_switch(uintptr_t top, void (*function)(void *), void *argument, struct own_stack_caller *caller)
    __attribute__((visibility("hidden")));

#endif
