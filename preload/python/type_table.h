/*
 * type_table.h - types have numbers.
 *
 * A type gets a number, and is described to the recorder (HS_MESSAGE_TYPE), when the first of its objects is seen. It
 * loses the number when another type is born at its address; numbers are never used twice.
 *
 * Lock-free, as number_table.h. What is read of a type stands still while one of its objects is being made: its
 * names, its flags, and its dictionary as far as the thread is attached.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_TYPE_TABLE_H
#define HEAPSAKE_PRELOAD_PYTHON_TYPE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../thread.h"
#include "object_offsets.h"
#include "offsets.h"

/*
 * What is known of a type: its number in the low half, 0 when there is no memory, and above it how many bytes lie
 * between the block and the object, and these:
 */
typedef uint64_t type_value;
#define TYPE_RECYCLES (UINT64_C(1) << 40) /* dead objects may stay in a freelist: their blocks outlive them  */
#define TYPE_OF_TYPES (UINT64_C(1) << 41) /* its objects are types                                          */
#define TYPE_KNOWN (UINT64_C(1) << 42)    /* set in all values                                              */
#define TYPE_REQUESTS_SHIFT 48 /* above: the requests of watch/births.h that its objects may be for, a bit each */

HS_ALWAYS_INLINE uint32_t type_value_number(type_value value)
{
    return (uint32_t)value;
}
HS_ALWAYS_INLINE uintptr_t type_value_header(type_value value)
{
    return value >> 32 & 0xff;
}

HS_ALWAYS_INLINE uint32_t type_value_requests(type_value value)
{
    return (uint32_t)(value >> TYPE_REQUESTS_SHIFT);
}

/* Where in a thread's cache a type is. */
HS_ALWAYS_INLINE unsigned type_cache_place(const void *type)
{
    return (unsigned)((uintptr_t)type >> 5 ^ (uintptr_t)type >> 11) % TYPE_CACHE_ENTRIES;
}

/* A bit for each type that was ever given a number, by a hash of its address: 0 says for sure that there was none. */
#define TYPE_MARKS 65536u
extern uint8_t type_table_marks[TYPE_MARKS / 8] __attribute__((visibility("hidden")));
HS_ALWAYS_INLINE unsigned type_mark(const void *type)
{
    return (unsigned)((uintptr_t)type >> 4 ^ (uintptr_t)type >> 20) % TYPE_MARKS;
}
HS_ALWAYS_INLINE bool type_table_may_know(const void *type)
{
    return type_table_marks[type_mark(type) / 8] >> type_mark(type) % 8 & 1;
}

/* Counts up whenever a number was taken away: what threads remember is void then. */
extern _Atomic uint32_t type_table_epoch __attribute__((visibility("hidden")));

/* Once, before the first type is asked for. */
void type_table_start(const struct python_offsets *offsets, const struct python_object_offsets *objects);

/* A type of the running interpreter, from a thread that is attached to it and inside of a hook. */
type_value type_table_look_up(struct thread *self, const void *type);

/* A number for a type that is none of Python's, and is described by whoever asks. */
uint32_t type_table_next_number(void);

/* What is known of a type already, wherever the pointer comes from; 0: nothing. Looks at nothing of it. */
type_value type_table_known(const void *type);

/* A type is born there: what was known of another one is void. */
void type_table_forget(const void *type);
/* All of them: births of types may have been missed. */
void type_table_forget_all(void);

/* In a forked child, which has one thread. The numbers stay: the recorder lets the child's trace begin with them. */
void type_table_after_fork(void);

HS_ALWAYS_INLINE type_value type_table_value(struct thread *self, const void *type)
{
    struct type_cache *cache = &self->types;
    unsigned at = type_cache_place(type);
    if (HS_LIKELY(cache->entries[at].type == type &&
                  cache->epoch == atomic_load_explicit(&type_table_epoch, memory_order_relaxed)))
        return cache->entries[at].value;
    return type_table_look_up(self, type);
}

#endif
