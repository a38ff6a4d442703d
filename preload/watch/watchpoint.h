/*
 * watchpoint.h - the processor's watchpoints: what writes to a place in memory gets a SIGTRAP, in its own thread, at
 * once.
 *
 * Four perf events (PERF_TYPE_BREAKPOINT, sigtrap), opened once on each thread that there is; threads that begin later
 * inherit them, forked children and executed images do not. Aiming one elsewhere is one system call for each of the
 * threads that there were.
 *
 * The events are held by descriptors, which the program may close: each is recognized by the number that the kernel has
 * given the event before anything is done to it, so that a stranger's descriptor of the same number is left alone.
 *
 * A watchpoint is aimed and released by whoever has claimed it (watch.c); nothing here locks.
 */
#ifndef HEAPSAKE_PRELOAD_WATCHPOINT_H
#define HEAPSAKE_PRELOAD_WATCHPOINT_H

#include <stdbool.h>
#include <stdint.h>

#define WATCHPOINTS 4u /* as many as an x86 processor has */

/*
 * Opens all, aimed at nothing. 0, or a negative errno: -EACCES, -EPERM: not allowed, -ENOSPC: somebody else has them,
 * -ENOSYS: this kernel would end a program that blocks SIGTRAP. Again is harmless. Not from two threads at once.
 */
int watchpoints_open(void);

/*
 * From now on writes to [address, address + bytes) are told, with `tag` in si_perf_data. bytes: 1, 2, 4 or 8, and the
 * address is a multiple of it. False: the events are gone, or the kernel refuses the address.
 */
bool watchpoint_aim(unsigned point, const void *address, unsigned bytes, uint64_t tag);
/* Nothing is told any more. One that has been told already may still be on its way to another thread's handler. */
void watchpoint_release(unsigned point);

/* Are the descriptors still those that were opened? Where there are many threads, those of some, others each time. */
bool watchpoints_there(void);

/* Gives back what is still ours; they can be opened again. */
void watchpoints_close(void);

/* In a forked child: its copies of the parent's descriptors are closed. */
void watchpoints_after_fork(void);

#endif
