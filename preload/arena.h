/*
 * arena.h - the library's own memory: mapped, never from malloc, never given back
 * to the program's heap. Async-signal-safe; lock-free.
 */
#ifndef HEAPSAKE_PRELOAD_ARENA_H
#define HEAPSAKE_PRELOAD_ARENA_H

#include <stddef.h>

/* Zeroed memory, 16-byte aligned, carved from mapped chunks; NULL when there is none. It is never freed. Preserves
 * errno. */
void *arena_alloc(size_t size);
/* Whole pages, zeroed, of their own; NULL when there are none. Preserves errno. */
void *arena_map(size_t size);
void arena_unmap(void *memory, size_t size);
/* Gives the pages' memory back but keeps them mapped: late readers see zeroes. */
void arena_discard(void *memory, size_t size);

#endif
