/*
 * real_count.c - a preload that stands behind heapsake and counts the calls that reach the real allocator.
 * More of them than the program made would be the tracer's own.
 */
#include <dlfcn.h>
#include <stdint.h>

#include "truth.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static _Atomic long long calls;

__attribute__((visibility("default"))) long long real_calls(void) { return calls; }
void *malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}
void *calloc(size_t members, size_t size)
{
    calls++;
    return __libc_calloc(members, size);
}
void *realloc(void *block, size_t size)
{
    calls++;
    return __libc_realloc(block, size);
}
void free(void *block)
{
    calls += block != NULL;
    __libc_free(block);
}
