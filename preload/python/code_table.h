/*
 * code_table.h - code objects have numbers.
 *
 * A code object gets a number, and is described to the recorder
 * (HS_MESSAGE_CODE), when it is first seen in a stack; it loses the number when its
 * block is freed, because another one may come to lie there. Numbers are never used twice.
 *
 * Lock-free and async-signal-safe, but for one writer at a time when the table grows.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_CODE_TABLE_H
#define HEAPSAKE_PRELOAD_PYTHON_CODE_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "../thread.h"
#include "offsets.h"

/* Counts up whenever a number was taken away: what threads remember of code objects is void then. */
extern _Atomic uint32_t code_table_epoch __attribute__((visibility("hidden")));

/* Where a block says of itself that it is a code object. */
extern struct code_table_mark {
    const void *type; /* &PyCode_Type; NULL: no code objects are numbered */
    uintptr_t offset; /* of ob_type                                       */
} code_table_mark __attribute__((visibility("hidden")));

/* Once, before the first number is asked for. */
void code_table_start(const struct python_offsets *offsets, const void *code_type);

/* The number of a code object that is running in the calling thread; 0 when there is no memory. */
uint32_t code_table_number(struct thread *self, const void *code);

/* A number is taken away. */
void code_table_forget(const void *code);
/* All of them: frees may have been missed. */
void code_table_forget_all(void);

/*
 * For every block of HS_DOMAIN_PY_OBJECT that is about to be freed. Its type is still readable then, and no block of
 * Python's is so small that the word at that offset is not mapped.
 */
HS_ALWAYS_INLINE void code_table_forget_block(const void *block)
{
    if (HS_UNLIKELY(*(const void *const *)((const char *)block + code_table_mark.offset) == code_table_mark.type))
        code_table_forget(block);
}

/* In a forked child, which has one thread. */
void code_table_after_fork(void);

#endif
