/* attach.h - attaching to this process, and leaving it: the doors, which are exported, and what others must do for
 * that. */
#ifndef HEAPSAKE_PRELOAD_ATTACH_H
#define HEAPSAKE_PRELOAD_ATTACH_H

/* The doors, for a thread of heapsake's own that has all signals blocked and ends afterwards. */
void heapsake_attach(const char *session_name);
void heapsake_detach(const char *unused);

/* In a forked child: whatever thread was attaching or detaching does not exist here. */
void attach_after_fork(void);

#endif
