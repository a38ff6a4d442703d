/*
 * marks.h - marks, regions, snapshots and flushes that the program itself asks for: include/heapsake/heapsake.h and
 * python/_heapsake find these functions by name. Their names and parameters are a promise.
 *
 * All return a negative errno when nothing was done: -ENOTCONN when the process is not traced, or this call
 * cannot be recorded (it came from a signal handler that has interrupted an allocator). They preserve errno and take no
 * lock; mark and the two of a region may be called from signal handlers.
 */
#ifndef HEAPSAKE_PRELOAD_MARKS_H
#define HEAPSAKE_PRELOAD_MARKS_H

#include <stddef.h>

/* 1: this process is traced, and this thread's events are recorded; 0: not. */
int heapsake_api_tracing(void);

/* A name is `length` bytes of any kind; of a longer one than HS_MARK_NAME_MAX the end is replaced by a hash
 * of it all. */
int heapsake_api_mark(const char *name, size_t length);
/*
 * 0 or a negative errno, and the same or the region's number, above 0, in *region. `flags`: enum hsk_region_flag. By
 * pointers, so that a caller who makes an object of each number has made it before the region begins.
 */
int heapsake_api_region_begin(const char *name, size_t length, unsigned flags, int *region);
int heapsake_api_region_end(const int *region);

/* The number of the snapshot, above 0, when it is whole in the file. */
int heapsake_api_snapshot(unsigned flags);
#define SNAPSHOT_WITHOUT_GIL 1u /* whoever holds the GIL lets go of it while it waits */

int heapsake_api_flush(void);

#endif
