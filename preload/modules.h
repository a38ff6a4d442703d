/*
 * modules.h - the program's mapped modules: who owns a pc, and telling the recorder.
 *
 * A module is an executable, a shared object or the vdso. It is announced
 * (HS_MESSAGE_MODULE) when a native frame in it is first met. When a module was
 * unloaded, addresses mean something else from then on: the generation grows by
 * one, everything that was remembered by address is void, and modules are announced anew. The epoch
 * in nodes and messages is the generation, held in 16 bits.
 *
 * Lock-free and async-signal-safe: two threads may announce the same module at
 * once, which is harmless.
 */
#ifndef HEAPSAKE_PRELOAD_MODULES_H
#define HEAPSAKE_PRELOAD_MODULES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/compiler.h"
#include "thread.h"

struct link_map;

struct module_range {
    uintptr_t start, end;        /* mapped range; may have holes                           */
    const struct link_map *map;  /* the loader's entry, valid while the module is loaded   */
    const uint8_t *eh_frame_hdr; /* its PT_GNU_EH_FRAME in memory; NULL: it has none      */
};

extern _Atomic uint32_t modules_generation __attribute__((visibility("hidden")));
extern _Atomic uint32_t modules_pending __attribute__((visibility("hidden"))); /* 1: they may have changed */

/* What nodes and messages carry of a generation. */
HS_ALWAYS_INLINE uint64_t modules_epoch(uint32_t generation)
{
    return generation < 0xffff ? generation : 0xffff;
}

/* The module that pc lies in; false: none (generated code, garbage). Takes no lock. */
bool modules_find(uintptr_t pc, struct module_range *range);

/*
 * In the midst of dlopen a module is in the loader's list, but cannot be called; glibc lets it be found once it is
 * relocated. Is `address` in one that can? With glibc before 2.35, which does not tell: false.
 */
bool modules_relocated(const void *address);

/*
 * Tells the recorder about `range` unless it was told in this generation. Call
 * it only for a module that is in use on the calling thread's stack. Returns false when the range shows that
 * another module was unloaded: then the generation has grown, and the caller begins again.
 */
bool modules_announce(struct thread *self, const struct module_range *range, uint32_t generation);

/* After modules_pending was found set: looks whether every announced module is still there. True:
 * the generation grew. */
bool modules_recheck(void);

/* Another recorder listens, which knows none: the generation grows, and all are announced anew. */
void modules_forget(void);

/*
 * Copies from memory that may be unmapped at any time, without a fault: false
 * when it is not readable. A system call; preserves errno.
 */
bool modules_copy(void *to, uintptr_t from, size_t length);

/* Whether the 8 bytes at `address` (within one page) can be read. A system call; preserves errno. */
bool modules_readable(uintptr_t address);

#endif
