/* unwatched.h - saying that something of what --watch asks for is not watched. For this folder. */
#ifndef HEAPSAKE_PRELOAD_UNWATCHED_H
#define HEAPSAKE_PRELOAD_UNWATCHED_H

#include "../thread.h"

/*
 * "TERM is not watched: WHY", as a blind spot. The term is `kind` and `text`, of which as much is said as there is room
 * for; `why` ends with a full stop. `self` is inside.
 */
void unwatched_say(struct thread *self, const char *kind, const char *text, const char *why);

#endif
