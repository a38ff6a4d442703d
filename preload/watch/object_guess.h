/*
 * object_guess.h - is there a Python object in that memory, and of which type?
 *
 * The memory may be anything: what is no object has no type, and old memory is full of pointers to what has gone. Only
 * what can be read is read. With the GIL held.
 */
#ifndef HEAPSAKE_PRELOAD_OBJECT_GUESS_H
#define HEAPSAKE_PRELOAD_OBJECT_GUESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../python/object_offsets.h"
#include "../python/offsets.h"
#include "../python/type_table.h"
#include "../thread.h"

#define OBJECT_LEAST_BYTES 16u

/* How the interpreter lays its objects out; `objects` NULL: not known. */
void object_guess_start(const struct python_offsets *offsets, const struct python_object_offsets *objects);

/* Is there what types are recognized by? */
bool object_guess_possible(void);

/* The bytes of an object's count, and whether this one will live for ever: from 3.12 on what is negative as an int;
 * before, only static objects, with an odd number that nobody else has. */
unsigned object_count_bytes(void);
bool object_immortal(uint64_t count);

/* Is that an object that is alive, as far as can be told? */
bool object_is_there(const void *address);

/* The type of an object that is alive, and how far behind the start of its block it lies. */
type_value object_type_value(struct thread *self, const void *object);

/* Of what may be a type; 0: it is none. Of one that has a number already nothing is asked: it would have lost it when
 * its block was freed. */
type_value object_value_of_type(struct thread *self, const void *type);

/* Which object is in a block, behind a header of 0, 16 or 32 bytes? 0: none. */
type_value object_in_block(struct thread *self, const void *block, size_t size);

#endif
