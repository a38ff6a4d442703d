/* attach.h - attaching to this process, and leaving it: what others must do for that. The doors themselves are
 * exported. */
#ifndef HEAPSAKE_PRELOAD_ATTACH_H
#define HEAPSAKE_PRELOAD_ATTACH_H

/* In a forked child: whatever thread was attaching or detaching does not exist here. */
void attach_after_fork(void);

#endif
