/*
 * real.h - the functions that the hooks stand in front of.
 *
 * Before real_resolve() has run (a constructor of another library that
 * allocates before ours), the allocators of `real` resolve themselves at their first call.
 */
#ifndef HEAPSAKE_PRELOAD_REAL_H
#define HEAPSAKE_PRELOAD_REAL_H

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct real {
#define HOOK(name, type, parameters) type(*name) parameters;
#define HOOK_OPTIONAL HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_OPTIONAL
};

extern struct real real __attribute__((visibility("hidden")));

/* Finds them all with dlsym(RTLD_NEXT); again is harmless. Not async-signal-safe: constructor, or
 * the first allocation. */
void real_resolve(void);

/*
 * The same in a library that was opened later, which nobody's search comes by: what everybody else calls. From a thread
 * of our own.
 */
void real_resolve_late(void);

/*
 * What calls of `name` lead to; NULL: nothing. That is what dlsym(RTLD_DEFAULT) says, but for an executable that is not
 * position-independent and takes the function's address: that is an entry of its own PLT then, for everybody. From a
 * thread of our own.
 */
void *real_definition(const char *name);

/* For hooks that another library's constructor may call before ours has run. */
static inline void real_ensure(void)
{
    if (!real.fork)
        real_resolve();
}

#endif
