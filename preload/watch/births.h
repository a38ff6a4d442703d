/*
 * births.h - which objects are watched: those that --watch asks for by type and site, from their birth on.
 *
 * 3.13 and later tell of each birth (python/objects.c). Before, a block of the object domain becomes a candidate when
 * it is allocated, and is looked at at its thread's next event, when it has its type. A stack on which such an object
 * was born is remembered: the next block from there is watched at once, before it is an object, and its first count is
 * its birth. Births in blocks that a freelist has kept are not seen there.
 *
 * All of it happens with the GIL held, but for births_want() and births_give_up(). From 3.12 on interpreters may have
 * GILs of their own: what they share here is atomic, or a number that may be off by a few (sampling.h).
 */
#ifndef HEAPSAKE_PRELOAD_BIRTHS_H
#define HEAPSAKE_PRELOAD_BIRTHS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../python/text.h"
#include "../python/type_table.h"
#include "../thread.h"
#include "internal/watch_spec.h"

struct watched;

/* Takes a SPEC of objects, whose texts stay: request number `request`. Before an interpreter is found. */
void births_want(const struct hs_watch_spec *spec, unsigned request);
/* The session has begun: tells its recorder which of them are looked after. */
void births_tell_asked(void);
/* None of them can be had. */
void births_give_up(void);

/* Does anybody ask for objects? */
bool births_wanted(void);

/* From python.c: an interpreter was found, which tells of births (3.13+), or not. `offsets` may be NULL. */
void births_python(struct thread *self, const struct python_offsets *offsets, bool told);

/* From type_table.c: the requests, a bit each, that objects of a type may be for. */
uint32_t births_requests_of_type(struct text module, struct text name);

/* 3.13+: an object was born whose type is asked for. `walked`: its stack is the one that was walked last. */
void births_born(struct thread *self, const void *object, type_value value, const void *frame_address, bool walked);

/* Up to 3.12: blocks are to be told. */
extern bool births_blocks __attribute__((visibility("hidden")));

/* Some thread has a block to look at, or an object that is not born yet. May be true in vain, for one look. */
extern _Atomic bool births_pending __attribute__((visibility("hidden")));

/*
 * A bit for each stack where nothing is born that anybody asks for, which holds of nearly all where sites are asked
 * for. Touched where there are such stacks only.
 */
extern _Atomic uint8_t births_elsewhere[((size_t)HS_NODE_MAX + 1) / 8] __attribute__((visibility("hidden")));

/* Classes are known to the collector, and have no other header. */
HS_ALWAYS_INLINE const void *births_type_in(const void *block)
{
    return (const char *)block + 16;
}

void births_look_now(struct thread *self);
void births_block_here(struct thread *self, const void *block, size_t size, uint32_t node, const void *frame_address);
void births_block_forgotten(const void *block);

/* At each event of mem and object. */
HS_ALWAYS_INLINE void births_look(struct thread *self)
{
    if (HS_UNLIKELY(atomic_load_explicit(&births_pending, memory_order_relaxed)))
        births_look_now(self);
}

/* After births_look(). `node`: its stack, as allocations have it; `frame_address`: of the hook. */
HS_ALWAYS_INLINE void births_block(struct thread *self, const void *block, size_t size, uint32_t node,
                                   const void *frame_address)
{
    if (HS_LIKELY(atomic_load_explicit(&births_elsewhere[node >> 3], memory_order_relaxed) >> (node & 7) & 1))
        return;
    births_block_here(self, block, size, node, frame_address);
}

/* After births_look(). */
HS_ALWAYS_INLINE void births_block_freed(const void *block)
{
    if (HS_UNLIKELY(atomic_load_explicit(&births_pending, memory_order_relaxed) ||
                    type_table_may_know(births_type_in(block))))
        births_block_forgotten(block);
}

/* From the handler: an unborn object's counter was written. */
void births_first_count(struct thread *self, struct watched *place, uint32_t watch, uint64_t count);

/* The type of an object that is alive, and how far behind the start of its block it lies. */
type_value births_type_of(struct thread *self, const void *object);

/* The bytes of an object's count, and whether this one will live for ever. */
unsigned births_count_bytes(void);
bool births_immortal(uint64_t count);

/* Is that an object that is alive, as far as can be told? Reads only what can be read. */
bool births_is_object(const void *address);

/* What is known of places and stacks belongs to a session that has ended. No thread is inside of a hook. */
void births_forget(void);

/* Of an attached thread: blocks were freed unseen, and types with them. */
void births_missed(void);

void births_after_fork(void);

#endif
