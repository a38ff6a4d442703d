/* own_thread.h - a thread of heapsake's in the program: what runs there is nothing of the program's. */
#ifndef HEAPSAKE_PRELOAD_OWN_THREAD_H
#define HEAPSAKE_PRELOAD_OWN_THREAD_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Starts a detached thread, with nearly all signals blocked: all but libc's own two, since setuid() in another thread
 * waits for each thread's answer to one of them. Its stack is `stack`, of `stack_bytes`, which stays the caller's;
 * NULL: one of so many bytes that libc makes. False: it cannot be started. Calls libc; `real` is resolved.
 */
bool own_thread_start(void *stack, size_t stack_bytes, void *(*run)(void *), void *argument);

#endif
