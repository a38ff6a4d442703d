/* tasks.h - the threads that there are, as the kernel lists them. */
#ifndef HEAPSAKE_PRELOAD_TASKS_H
#define HEAPSAKE_PRELOAD_TASKS_H

#include <stddef.h>

/* What is done for one of them. Not 0: the list is not gone through any further. */
typedef int tasks_visitor(int tid, void *argument);

/*
 * Visits each thread of /proc/self/task, the calling one, too; those that begin meanwhile may be missing. Returns 0,
 * what a visitor has returned, or a negative errno: the list cannot be read (no /proc). Uses a descriptor for as
 * long. Async-signal-safe.
 */
int tasks_visit(tasks_visitor *visit, void *argument);

/* The beginning of a thread's file in there ("stat"), as proc_read() has it. Async-signal-safe. */
long tasks_read(int tid, const char *file, char *text, size_t size);

#endif
