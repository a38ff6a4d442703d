/* child_heap.c - see child_heap.h */
#include "child_heap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../arena.h"
#include "../modules.h"
#include "../python/allocators.h"
#include "../python/capi.h"
#include "../real.h"

#define MARK UINT64_C(0x70616e736b736168)

struct head {
    uint64_t size, mark;
};

static void *serve_aligned(size_t alignment, size_t size)
{
    if (alignment < sizeof(struct head))
        alignment = sizeof(struct head);
    if (size > PTRDIFF_MAX - 2 * alignment || (alignment & (alignment - 1)))
        return NULL;
    char *memory = arena_alloc(size + 2 * alignment);
    if (!memory)
        return NULL;
    char *block = (char *)(((uintptr_t)memory + sizeof(struct head) + alignment - 1) & ~(uintptr_t)(alignment - 1));
    ((struct head *)(void *)block)[-1] = (struct head){size, MARK};
    return block;
}

static void *serve(size_t size)
{
    return serve_aligned(sizeof(struct head), size);
} /* zeroed, as arenas are */

static void *serve_array(size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : serve(total);
}

/* Of a block of the program its size is unknown: as much as was asked for is copied, as far as it can be read. */
static void *serve_again(void *block, size_t size)
{
    void *moved = serve(size);
    if (!moved || !block)
        return moved;
    struct head head;
    if (!modules_copy(&head, (uintptr_t)block - sizeof head, sizeof head) || head.mark != MARK)
        head.size = size;
    return modules_copy(moved, (uintptr_t)block, head.size < size ? head.size : size) ? moved : NULL;
}

static void *serve_array_again(void *block, size_t count, size_t size)
{
    size_t total;
    return __builtin_mul_overflow(count, size, &total) ? NULL : serve_again(block, total);
}

static int serve_posix(void **block, size_t alignment, size_t size)
{
    void *fresh = serve_aligned(alignment, size);
    if (!fresh)
        return ENOMEM;
    *block = fresh;
    return 0;
}

static void *serve_pages(size_t size)
{
    return serve_aligned(HS_PAGE_SIZE, size);
}
static void forget(void *block)
{
    (void)block;
}
static void forget_sized(void *block, size_t size)
{
    (void)block, (void)size;
}
static void forget_aligned(void *block, size_t alignment, size_t size)
{
    (void)block, (void)alignment, (void)size;
}

static void *python_malloc(void *context, size_t size)
{
    (void)context;
    return serve(size);
}
static void *python_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    return serve_array(count, size);
}
static void *python_realloc(void *context, void *block, size_t size)
{
    (void)context;
    return serve_again(block, size);
}
static void python_free(void *context, void *block)
{
    (void)context, (void)block;
}

void child_heap_serve(void)
{
    real.malloc = serve;
    real.calloc = serve_array;
    real.realloc = serve_again;
    real.free = forget;
    real.reallocarray = serve_array_again;
    real.posix_memalign = serve_posix;
    real.aligned_alloc = real.memalign = serve_aligned;
    real.valloc = real.pvalloc = serve_pages;
    real.free_sized = forget_sized;
    real.free_aligned_sized = forget_aligned;
    allocators_replace(&(struct python_allocator){NULL, python_malloc, python_calloc, python_realloc, python_free});
}
