/*
 * noop.c - the hot hooks without the work: malloc, calloc, realloc and free pass the call on and do nothing else.
 *
 * bench/ preloads it to tell what interposition costs by itself from what recording costs.
 */
#include <stdlib.h>

#include "internal/compiler.h"

/* libc's own allocators, by the names it exports for this: no look-up before the first call. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

HS_EXPORT void *malloc(size_t size)
{
    return __libc_malloc(size);
}
HS_EXPORT void *calloc(size_t count, size_t size)
{
    return __libc_calloc(count, size);
}
HS_EXPORT void *realloc(void *block, size_t size)
{
    return __libc_realloc(block, size);
}
HS_EXPORT void free(void *block)
{
    __libc_free(block);
}
