/* hook_malloc.h - work that is waiting for the next malloc. */
#ifndef HEAPSAKE_PRELOAD_HOOK_MALLOC_H
#define HEAPSAKE_PRELOAD_HOOK_MALLOC_H

#include <stdatomic.h>
#include <stdint.h>

/* How often the malloc hook shall still look whether an interpreter is starting up or has arrived; 0: no need. */
extern _Atomic uint32_t hook_malloc_chores __attribute__((visibility("hidden")));

#define HOOK_MALLOC_ALWAYS UINT32_MAX

#endif
