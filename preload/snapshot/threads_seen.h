/*
 * threads_seen.h - in the program, just before the clone: where the stacks of the other threads are in use.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_THREADS_SEEN_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_THREADS_SEEN_H

#include "scan.h"

/*
 * Fills others, count and incomplete from /proc/self/task. A thread that runs, or was not asked because there are too
 * many or it takes too long, has no known stack pointer. Uses a descriptor for a moment. One caller at a time.
 */
void threads_see_others(struct scan_threads *threads);

#endif
