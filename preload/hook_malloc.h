/* hook_malloc.h - work that is waiting for the next malloc. */
#ifndef HEAPSAKE_PRELOAD_HOOK_MALLOC_H
#define HEAPSAKE_PRELOAD_HOOK_MALLOC_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * At how many mallocs it is still to be looked after an interpreter that is starting up, or has arrived by a dlopen; 0:
 * at none.
 */
extern _Atomic uint32_t hook_malloc_chores __attribute__((visibility("hidden")));

#define HOOK_MALLOC_ALWAYS UINT32_MAX    /* starting up                              */
#define HOOK_MALLOC_AFTER_DLOPEN 10000u /* it may take so many until it has arrived */

#endif
