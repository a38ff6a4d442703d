/*
 * python_counts.h - what is read of a Python object whose count changes: the count, and where its block begins.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_PYTHON_COUNTS_H
#define HEAPSAKE_PRELOAD_REFS_PYTHON_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../python/capi.h"
#include "../python/offsets.h"
#include "../python/type_table.h"
#include "internal/compiler.h"

/* The layout of the interpreter's objects. All zero: it is not known. */
struct python_counts {
    uint16_t type;       /* offset of ob_type; 0: not known                       */
    uint16_t type_flags; /* of tp_flags                                           */
    uint8_t minor;
    bool narrow;        /* counts have 32 bits, and those with the highest are immortal (3.12+) */
    bool typed;         /* types can be numbered                                               */
    bool free_threaded; /* a count has two halves, and no object a header for the collector     */
};

extern struct python_counts python_counts __attribute__((visibility("hidden")));

/* NULL: the interpreter is gone, or not known. */
void python_counts_start(const struct python_offsets *offsets);

/*
 * Bytes between the beginning of the object's block and the object. The object may be dead already, in a program that
 * counts wrongly: what its type seems to be is looked at with care.
 */
unsigned python_counts_header(struct thread *self, const void *object);

/*
 * The number of an object's type, of objects that lie in the interpreter itself (None, its types): they are in no block
 * whose object is known. 0 for all others. From inside the hook.
 */
HS_ALWAYS_INLINE uint32_t python_counts_type(struct thread *self, const void *object)
{
    uintptr_t address = (uintptr_t)object;
    if (HS_LIKELY(address < python_capi.text_low || address >= python_capi.text_high || !python_counts.typed))
        return 0;
    return type_value_number(type_table_value(self, *(const void *const *)((const char *)object + python_counts.type)));
}

/* The references that are counted; negative: below zero, or immortal. */
HS_ALWAYS_INLINE int64_t python_counts_read(const void *object)
{
    if (HS_UNLIKELY(python_counts.free_threaded)) {
        /* ob_ref_local and ob_ref_shared, whose two lowest bits are flags; the local half is all ones when immortal */
        int32_t local = __atomic_load_n((const int32_t *)((const char *)object + 12), __ATOMIC_RELAXED);
        int64_t shared = __atomic_load_n((const int64_t *)((const char *)object + 16), __ATOMIC_RELAXED);
        return local < 0 ? -1 : local + (shared >> 2);
    }
    return python_counts.narrow ? *(const volatile int32_t *)object : *(const volatile int64_t *)object;
}

#endif
