/* hook_replaced.h - the functions of replacement allocators beyond malloc's family (replaced.def). */
#ifndef HEAPSAKE_PRELOAD_HOOK_REPLACED_H
#define HEAPSAKE_PRELOAD_HOOK_REPLACED_H

#include "thread.h"

/*
 * Looks whether such an allocator is there, and patches the modules that call it; says as a blind spot what stays
 * unseen. Constructor, or a thread of our own. Does nothing, and changes no module, when operator new is the C++
 * library's own.
 */
void hook_replaced_start(struct thread *self);

/* After a detach: the GOT entries lead where they led before. */
void hook_replaced_stop(void);

#endif
