/* unwatched.h - saying that something of what --watch asks for is not watched. For this folder. */
#ifndef HEAPSAKE_PRELOAD_UNWATCHED_H
#define HEAPSAKE_PRELOAD_UNWATCHED_H

#include "../thread.h"

/*
 * "SPEC is not watched: WHY", as a blind spot: as much of the SPEC as there is room for; `why` ends with a full stop.
 * `self` is inside.
 */
void unwatched_say(struct thread *self, const char *spec, const char *why);

#endif
