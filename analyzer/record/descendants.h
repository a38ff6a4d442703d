/* descendants.h - the processes that are below another one at this moment: its children, theirs, and so on. */
#ifndef HEAPSAKE_RECORD_DESCENDANTS_H
#define HEAPSAKE_RECORD_DESCENDANTS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Parents come before their children. Left out are heapsake's own, and what is below them, and children that their
 * parent's wait() does not see, as those that take snapshots are. What begins or ends
 * meanwhile is among them or not. *pids is the caller's to free. Their number, or -ENOMEM.
 */
ssize_t descendants_of(pid_t root, pid_t **pids);

#endif
