/*
 * number_table.h - objects of the interpreter have numbers, found by their addresses.
 *
 * What code_table.c and type_table.c have in common. A number is given once and never again; it is taken away when its
 * object is gone, because another one may come to lie at that address. Beside the number an entry holds 32 bits that
 * the table's user wants to know of the object without looking at it.
 *
 * Lock-free and async-signal-safe, but for one writer at a time when the table grows.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_NUMBER_TABLE_H
#define HEAPSAKE_PRELOAD_PYTHON_NUMBER_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct number_entries;

/* All zero: empty. */
struct number_table {
    _Atomic(struct number_entries *) current;
    _Atomic uint32_t growing;
    _Atomic uint32_t last_number;
};

/* What an entry holds: the number in the low 32 bits, the user's in the high ones; 0: nothing (any more). */
typedef _Atomic uint64_t number_value;

/*
 * The entry of an object, a new and empty one when there was none; NULL when there is no memory. To give a number,
 * take number_table_next(), tell the recorder what it means, and then exchange the entry's 0 for it: two threads that
 * meet an object at once both tell, and one of the numbers stays.
 */
number_value *number_table_entry(struct number_table *table, const void *object);
uint32_t number_table_next(struct number_table *table);

/* Takes an object's number away; false: it had none. */
bool number_table_forget(struct number_table *table, const void *object);
void number_table_forget_all(struct number_table *table);

/* In a forked child, which has one thread. */
void number_table_after_fork(struct number_table *table);

#endif
