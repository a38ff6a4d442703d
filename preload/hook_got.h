/*
 * hook_got.h - the hooks of a process that was attached to.
 *
 * A library that is preloaded comes before libc in every search, so that its malloc is everybody's. One that is opened
 * later is found by nobody: instead, the GOT entries through which modules call libc's functions (JUMP_SLOT and
 * GLOB_DAT) are pointed to our hooks, and back again. What holds a function's address elsewhere, taken before, goes on
 * calling libc's.
 */
#ifndef HEAPSAKE_PRELOAD_HOOK_GOT_H
#define HEAPSAKE_PRELOAD_HOOK_GOT_H

#include <stdbool.h>

#include "thread.h"

struct link_map;

/* Finds out what the GOT entries lead to now. False: nothing can be patched here (glibc before 2.35). */
bool hook_got_prepare(void);

/*
 * Patches all modules. From a thread of our own: takes the loader's lock. `self` is inside of a hook. Modules that are
 * opened later are patched when modules_seen.c meets them.
 */
void hook_got_install(struct thread *self);
/* One module that is new; does nothing while the hooks are not installed. Takes no lock; `self` is inside of a hook. */
void hook_got_patch(struct thread *self, const struct link_map *module);
bool hook_got_installed(void);
/*
 * All GOT entries lead where they led before. From a thread of our own. False: some cannot be written any more, and
 * lead to the hooks, which pass calls on.
 */
bool hook_got_remove(void);

#endif
