/* loader_lock.h - the loader's lock, behind which no module comes or goes. */
#ifndef HEAPSAKE_PRELOAD_LOADER_LOCK_H
#define HEAPSAKE_PRELOAD_LOADER_LOCK_H

#include <stdint.h>

/*
 * Calls `work` with the lock held; `come` and `gone` are how many modules have done so, ever.
 *
 * Whoever holds the lock may be in a constructor that waits for any other thread. So it is for threads of our own, and
 * for what takes it itself a moment later or has just done so (dlopen, dlclose, dlsym, exit, a script's door), and for
 * nothing else. A thread may take it twice.
 */
void loader_lock_held(void (*work)(uint64_t come, uint64_t gone, void *context), void *context);

#endif
