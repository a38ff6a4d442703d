/*
 * child_heap.h - in the snapshot child: malloc and Python's allocators without their locks.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_CHILD_HEAP_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_CHILD_HEAP_H

/*
 * From now on the hooks of malloc and Python's allocators hand out memory of our own, and free nothing. Code of the
 * program that is called here hardly ever allocates; when it does, it must not wait for a lock whose holder was not
 * copied.
 */
void child_heap_serve(void);

#endif
