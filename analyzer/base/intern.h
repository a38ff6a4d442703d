/*
 * intern.h - equal byte strings get equal numbers.
 *
 * Numbers count from 1; 0 is "no string". Strings are copied, stay valid as long
 * as the intern, have a terminator behind them and may contain NUL bytes.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_BASE_INTERN_H
#define HEAPSAKE_BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct intern_entry {
    const uint8_t *bytes;
    uint32_t length;
    uint32_t hash;
};

struct intern {
    struct intern_entry *entries; /* entry n - 1 belongs to number n */
    uint32_t count, capacity;
    uint32_t *cells; /* open addressing; holds numbers, 0 is empty */
    uint32_t cell_count;
    struct intern_block *blocks;
};

#define INTERN_INIT ((struct intern){0})

void intern_free(struct intern *intern);

/* The string's number, 0 when memory runs out. */
uint32_t intern_bytes(struct intern *intern, const void *bytes, size_t length);

/* The same for a terminated string. */
uint32_t intern_string(struct intern *intern, const char *string);

/* The number of a string that was given one, else 0. */
uint32_t intern_find(const struct intern *intern, const void *bytes, size_t length);

/* The string of a number; "" and length 0 for 0 and numbers never given. `length` may be NULL. */
const char *intern_get(const struct intern *intern, uint32_t number, size_t *length);

/* Copies what a number stands for, when it has just `size` bytes, to `to`, which stays as it is otherwise. Interned
 * bytes are not aligned. */
void intern_copy(const struct intern *intern, uint32_t number, void *to, size_t size);

#endif
