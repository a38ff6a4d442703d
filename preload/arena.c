/* arena.c - see arena.h */
#include "arena.h"

#include <stdatomic.h>
#include <stdint.h>

#include "internal/session.h"
#include "sys.h"

#define CHUNK_BYTES ((size_t)64 << 10)
#define LARGE_BYTES ((size_t)8 << 10)

struct chunk {
    _Atomic size_t used;
    size_t size;
};

static _Atomic(struct chunk *) current_chunk;

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

void *arena_map(size_t size)
{
    void *memory =
        sys_mmap(NULL, round_up(size, HS_PAGE_SIZE), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return sys_failed(memory) ? NULL : memory;
}

void arena_unmap(void *memory, size_t size)
{
    sys_munmap(memory, round_up(size, HS_PAGE_SIZE));
}

void arena_discard(void *memory, size_t size)
{
    sys_madvise(memory, round_up(size, HS_PAGE_SIZE), MADV_DONTNEED);
}

void *arena_alloc(size_t size)
{
    size = round_up(size, 16);
    if (size >= LARGE_BYTES)
        return arena_map(size);
    for (;;) {
        struct chunk *chunk = atomic_load_explicit(&current_chunk, memory_order_acquire);
        if (chunk) {
            size_t offset = atomic_fetch_add_explicit(&chunk->used, size, memory_order_relaxed);
            if (offset <= chunk->size - size)
                return (char *)chunk + offset;
        }
        struct chunk *fresh = arena_map(CHUNK_BYTES);
        if (!fresh)
            return NULL;
        atomic_store_explicit(&fresh->used, round_up(sizeof *fresh, 16), memory_order_relaxed);
        fresh->size = CHUNK_BYTES;
        /* A thread that lost the race gives its chunk back and takes the winner's. */
        if (!atomic_compare_exchange_strong_explicit(&current_chunk, &chunk, fresh, memory_order_acq_rel,
                                                     memory_order_acquire))
            arena_unmap(fresh, CHUNK_BYTES);
    }
}
