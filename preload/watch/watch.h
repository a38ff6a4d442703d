/*
 * watch.h - every change of a few counts, as it happens: the door to this folder.
 *
 * A watch lies on one counter, from its WATCH message to its end. Watches begin where --watch asks for them (births.c:
 * objects of a type or a site; symbols.c: variables; by_address.c: what is there already), or where the program does
 * (include/heapsake/heapsake.h). Each write to a watched counter is a SIGTRAP in the thread that has written (trap.c),
 * which costs some microseconds; what is not written to costs nothing.
 *
 * docs/REFCOUNTS.md tells what a watch can see.
 */
#ifndef HEAPSAKE_PRELOAD_WATCH_H
#define HEAPSAKE_PRELOAD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../thread.h"

/*
 * Once the session is on, before an interpreter is looked for: reads what --watch asks for, makes the watchpoints
 * ready, and watches the variables among it. When that cannot be done it is said, and nothing else happens. No module
 * comes or goes meanwhile. `self` is inside of a hook, and does not block SIGTRAP.
 */
void watch_start(struct thread *self);

/* Attached, once frees are seen: watches the addresses among it, with the GIL held where there is one. */
void watch_addresses(struct thread *self);

/* Attached, before frees are not seen any more: all watches end, and none begins. `self` is inside. */
void watch_end(struct thread *self);
/*
 * Takes everything back when no thread is inside of a hook: watchpoints, their descriptors, what is known of stacks
 * and places, and the handler of SIGTRAP, unless a thread may still get one (late_traps.h), for which it waits a second
 * at most. Again is harmless.
 */
void watch_stop(void);

/*
 * While session.watching: a block is about to be freed, moved, or (`size` > 0) a mapping is about to go. What is
 * watched in there is watched no more.
 */
void watch_freed(struct thread *self, enum hs_domain domain, const void *block, size_t size);

/* While session.watching, at each tick: are the watchpoints still ours? `self` is inside. */
void watch_tick(struct thread *self);

/* In a forked child, with its session: it watches what --watch asks for, and nothing that its parent watched. */
void watch_after_fork(struct thread *self);

#endif
