/* attach.h - attaching to this process, and leaving it: the doors, which are exported, and what others must do for
 * that. */
#ifndef HEAPSAKE_PRELOAD_ATTACH_H
#define HEAPSAKE_PRELOAD_ATTACH_H

/*
 * The doors, for a thread of heapsake's own that has all signals blocked and ends afterwards. A session is named by its
 * recorder's address, which no other recorder has ever had. A detach may come late, when another session has begun: of
 * that it takes nothing back.
 */
void heapsake_attach(const char *session_name);
void heapsake_detach(const char *session_name);

/* In a forked child: whatever thread was attaching or detaching does not exist here. */
void attach_after_fork(void);

#endif
