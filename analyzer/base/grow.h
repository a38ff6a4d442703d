/* grow.h - arrays that get longer one element at a time. */
#ifndef HEAPSAKE_BASE_GROW_H
#define HEAPSAKE_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/*
 * Room for one more element of `size` bytes behind the first `count` of *array, which the caller frees; its capacity at
 * least doubles when it is full. False: memory ran out, and everything is as it was.
 */
static inline bool grow(void **array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity ? 2 * *capacity : 64;
    void *old, *grown;
    memcpy(&old, array, sizeof old); /* it is no void * where it is used: the compiler is not to believe that it is */
    grown = reallocarray(old, larger, size);
    if (!grown)
        return false;
    memcpy(array, &grown, sizeof grown);
    *capacity = larger;
    return true;
}

#endif
