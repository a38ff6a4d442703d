/*
 * trap.h - the SIGTRAP that a watchpoint raises. For this folder.
 *
 * The handler runs in the thread that has written, right behind the instruction that did it, before anything else
 * happens there. It interrupts anything but a hook: a write from within one is not told by itself, and the next one
 * tells the count that both have made.
 */
#ifndef HEAPSAKE_PRELOAD_TRAP_H
#define HEAPSAKE_PRELOAD_TRAP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Installs the handler, opens the watchpoints and tries one out; again is cheap. 0, or a negative errno; -EINTR:
 * SIGTRAP is blocked or somebody else's, -EIO: a write was not told.
 */
int trap_prepare(void);

/*
 * Closes the watchpoints, and gives SIGTRAP back to the program, unless a thread may still get one that is ours: then
 * the handler stays. Nothing else prepares or aims meanwhile. Waits, see late_traps.h.
 */
void trap_stop(void);

/* Is the handler still the kernel's choice? */
bool trap_is_ours(void);

/* Do copies of memory take several times as long while a watchpoint is armed (hs_copy_ticks())? After trap_prepare().
 */
bool trap_slows_copies(void);

/* In si_perf_data: whose hit it is. */
uint64_t trap_tag(unsigned point, uint32_t watch);

/* A clock that may be read in the handler, and nanoseconds by it. After trap_prepare(). */
uint64_t trap_now(void);
uint64_t trap_since(uint64_t began);

#endif
