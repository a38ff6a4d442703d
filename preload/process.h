/*
 * process.h - this process among others: its birth, its children, its end.
 *
 * fork: handlers of pthread_atfork do the work, so that every fork of libc is covered (daemon, forkpty, a fork inside a
 * library). Ours are registered first: `prepare` runs last before the fork, `child` first after it. A child made by a
 * raw clone is noticed at its first event, because tracing_live.word was wiped.
 */
#ifndef HEAPSAKE_PRELOAD_PROCESS_H
#define HEAPSAKE_PRELOAD_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* From the constructor, once. */
void process_prepare(void);

/*
 * A process whose tracing_live.word is 0 though its session is on: a child that nobody announced. Starts its session;
 * false: not traced (or another thread of it is at it right now). Async-signal-safe.
 */
bool process_after_raw_fork(void);

/* Is this the process that the session belongs to, and not a vfork child in its memory? */
bool process_is_own(void);

/* After libc's fork() returned in the parent: which child, or -1: none. */
void process_forked(pid_t child);

/* Messages about the image's end; nothing is written for a vfork child. */
void process_exec_begins(void);
void process_exec_failed(void);
/* `frame`, `by_exit`: see snapshot_at_exit(). */
void process_exits(int status, const void *frame, bool by_exit);

#endif
