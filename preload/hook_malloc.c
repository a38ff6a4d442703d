/*
 * hook_malloc.c - libc's allocators.
 *
 * An allocation is recorded after the real call, a free before it: between
 * the two the address belongs to nobody else, so the order of events on one address is right.
 * malloc_usable_size is not hooked: what a program makes of a block's slack changes nothing that is recorded.
 */
#include "hook_malloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "emit.h"
#include "python/python.h"
#include "real.h"
#include "stack.h"
#include "thread.h"

_Atomic uint32_t hook_malloc_chores;

/* A look after a dlopen costs a system call: at first at each malloc, later at one of so many. */
#define EAGER_LOOKS 1000u
#define SPARSE_LOOKS 16u

/* Is an interpreter being initialized, or has one been loaded? python.h tells why malloc is the place to look. */
HS_COLD static void chores(struct thread *self)
{
    if (python_state == PYTHON_STARTING) {
        python_poll(self);
        return;
    }
    uint32_t left = atomic_load_explicit(&hook_malloc_chores, memory_order_relaxed), then = left;
    if (python_state == PYTHON_NONE && left) {
        if (left > HOOK_MALLOC_AFTER_DLOPEN) /* the one that was there has gone */
            left = HOOK_MALLOC_AFTER_DLOPEN;
        if (left > HOOK_MALLOC_AFTER_DLOPEN - EAGER_LOOKS || left % SPARSE_LOOKS == 0)
            python_modules_changed(self);
        atomic_compare_exchange_strong(&hook_malloc_chores, &then, left - 1);
        return;
    }
    atomic_store_explicit(&hook_malloc_chores, 0, memory_order_relaxed);
}

HS_ALWAYS_INLINE void record(struct thread *self, const void *block, size_t size, const void *frame_address)
{
    if (HS_UNLIKELY(atomic_load_explicit(&hook_malloc_chores, memory_order_relaxed)))
        chores(self);
    if (block)
        emit_alloc(self, HS_DOMAIN_MALLOC, block, size, stack_capture(self, frame_address));
}

#define HERE __builtin_frame_address(0)

HS_EXPORT void *malloc(size_t size)
{
    struct thread *self = hook_enter();
    void *block = real.malloc(size);
    if (HS_LIKELY(self)) {
        record(self, block, size, HERE);
        hook_leave(self);
    }
    return block;
}

HS_EXPORT void *calloc(size_t count, size_t size)
{
    struct thread *self = hook_enter();
    void *block = real.calloc(count, size);
    if (HS_LIKELY(self)) {
        record(self, block, count * size, HERE); /* the product fits: the call succeeded */
        hook_leave(self);
    }
    return block;
}

HS_EXPORT void free(void *block)
{
    struct thread *self = block ? hook_enter() : NULL;
    if (HS_LIKELY(self)) {
        emit_free(self, HS_DOMAIN_MALLOC, block);
        real.free(block);
        hook_leave(self);
        return;
    }
    real.free(block);
}

/* What a realloc of `size` bytes did, as its result and the size tell (glibc: size 0 frees, and returns NULL). */
HS_ALWAYS_INLINE void record_realloc(struct thread *self, const void *old_block, const void *block, size_t size,
                                     const void *frame_address)
{
    if (block)
        emit_realloc_commit(self, HS_DOMAIN_MALLOC, block, size, stack_capture(self, frame_address));
    else if (size == 0)
        emit_realloc_freed(self, HS_DOMAIN_MALLOC, old_block);
    else
        emit_realloc_abort(self, HS_DOMAIN_MALLOC, old_block);
}

HS_EXPORT void *realloc(void *old_block, size_t size)
{
    struct thread *self = hook_enter();
    if (HS_UNLIKELY(!self))
        return real.realloc(old_block, size);
    void *block;
    if (old_block) {
        emit_realloc_begin(self, HS_DOMAIN_MALLOC, old_block);
        block = real.realloc(old_block, size);
        record_realloc(self, old_block, block, size, HERE);
    } else {
        block = real.realloc(NULL, size);
        record(self, block, size, HERE);
    }
    hook_leave(self);
    return block;
}

HS_EXPORT void *reallocarray(void *old_block, size_t count, size_t size)
{
    real_ensure();
    struct thread *self = hook_enter();
    if (HS_UNLIKELY(!self))
        return real.reallocarray(old_block, count, size);
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX; /* the call will fail and leave the block alone */
    void *block;
    if (old_block) {
        emit_realloc_begin(self, HS_DOMAIN_MALLOC, old_block);
        block = real.reallocarray(old_block, count, size);
        record_realloc(self, old_block, block, total, HERE);
    } else {
        block = real.reallocarray(NULL, count, size);
        record(self, block, total, HERE);
    }
    hook_leave(self);
    return block;
}

/* The aligned allocators differ in their parameters alone. */
#define ALIGNED(call, size)                                                                                            \
    real_ensure();                                                                                                     \
    struct thread *self = hook_enter();                                                                                \
    void *block = call;                                                                                                \
    if (self) {                                                                                                        \
        record(self, block, size, HERE);                                                                               \
        hook_leave(self);                                                                                              \
    }                                                                                                                  \
    return block

HS_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    ALIGNED(real.aligned_alloc(alignment, size), size);
}
HS_EXPORT void *memalign(size_t alignment, size_t size)
{
    ALIGNED(real.memalign(alignment, size), size);
}
HS_EXPORT void *valloc(size_t size)
{
    ALIGNED(real.valloc(size), size);
}
HS_EXPORT void *pvalloc(size_t size)
{
    ALIGNED(real.pvalloc(size), size);
}

HS_EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    real_ensure();
    struct thread *self = hook_enter();
    int result = real.posix_memalign(block, alignment, size);
    if (self) {
        record(self, result == 0 ? *block : NULL, size, HERE);
        hook_leave(self);
    }
    return result;
}

/* C23; a libc without them cannot have been asked for a block that free() does not take. */
#define FREE_SIZED(available, call)                                                                                    \
    real_ensure();                                                                                                     \
    struct thread *self = block ? hook_enter() : NULL;                                                                 \
    if (self)                                                                                                          \
        emit_free(self, HS_DOMAIN_MALLOC, block);                                                                      \
    if (available)                                                                                                     \
        call;                                                                                                          \
    else                                                                                                               \
        real.free(block);                                                                                              \
    if (self)                                                                                                          \
    hook_leave(self)

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

HS_EXPORT void free_sized(void *block, size_t size)
{
    FREE_SIZED(real.free_sized, real.free_sized(block, size));
}
HS_EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    FREE_SIZED(real.free_aligned_sized, real.free_aligned_sized(block, alignment, size));
}
