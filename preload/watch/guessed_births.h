/*
 * guessed_births.h - births of objects up to CPython 3.12, which does not tell of them.
 *
 * A block of the object domain becomes a candidate when it is allocated, and is looked at at its thread's next event,
 * when it has its type. A stack on which such an object was born is remembered: the next block from there is watched at
 * once, before it is an object, and its first count is its birth. Births in blocks that a freelist has kept are not
 * seen.
 *
 * With the GIL held. On 3.12 interpreters may have GILs of their own: what they share here is atomic.
 */
#ifndef HEAPSAKE_PRELOAD_GUESSED_BIRTHS_H
#define HEAPSAKE_PRELOAD_GUESSED_BIRTHS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../python/type_table.h"
#include "../thread.h"

struct watched;

/* Blocks are to be told. */
extern bool guessed_births_on __attribute__((visibility("hidden")));

/* Some thread has a block to look at, or an object that is not born yet. May be true in vain, for one look. */
extern _Atomic bool guessed_births_pending __attribute__((visibility("hidden")));

/*
 * A bit for each stack where nothing is born that anybody asks for, which holds of nearly all where sites are asked
 * for. Touched where there are such stacks only.
 */
extern _Atomic uint8_t guessed_births_elsewhere[((size_t)HS_NODE_MAX + 1) / 8] __attribute__((visibility("hidden")));

/* Classes are known to the collector, and have no other header. */
HS_ALWAYS_INLINE const void *guessed_births_type_in(const void *block)
{
    return (const char *)block + 16;
}

void guessed_births_look_now(struct thread *self);
void guessed_births_block_here(struct thread *self, const void *block, size_t size, uint32_t node,
                               const void *frame_address);
void guessed_births_freed_now(const void *block);

/* At each event of mem and object. */
HS_ALWAYS_INLINE void guessed_births_look(struct thread *self)
{
    if (HS_UNLIKELY(atomic_load_explicit(&guessed_births_pending, memory_order_relaxed)))
        guessed_births_look_now(self);
}

/* After guessed_births_look(). `node`: its stack, as allocations have it; `frame_address`: of the hook. */
HS_ALWAYS_INLINE void guessed_births_block(struct thread *self, const void *block, size_t size, uint32_t node,
                                           const void *frame_address)
{
    if (HS_LIKELY(atomic_load_explicit(&guessed_births_elsewhere[node >> 3], memory_order_relaxed) >> (node & 7) & 1))
        return;
    guessed_births_block_here(self, block, size, node, frame_address);
}

/* After guessed_births_look(). */
HS_ALWAYS_INLINE void guessed_births_freed(const void *block)
{
    if (HS_UNLIKELY(atomic_load_explicit(&guessed_births_pending, memory_order_relaxed) ||
                    type_table_may_know(guessed_births_type_in(block))))
        guessed_births_freed_now(block);
}

/* From the handler: an unborn object's counter was written. */
void guessed_births_first_count(struct thread *self, struct watched *place, uint32_t watch, uint64_t count);

/* Of an attached thread: blocks were freed unseen, and types with them. */
void guessed_births_missed(void);

/* As births_forget() and births_after_fork(), which call them. */
void guessed_births_forget(void);
void guessed_births_after_fork(void);

#endif
