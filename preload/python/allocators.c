/*
 * allocators.c - see allocators.h
 *
 * One allocation is one event, in its outermost domain: PyObject_Malloc asks
 * PyMem_RawMalloc for what is large, and that asks malloc; the guard of thread.h makes the inner
 * ones pass the call on. The wrappers stand free of the context they are called with: CPython replaces function and
 * context of a domain one after the other, and a reader may see one of them new and the other old. Therefore the
 * context that is installed is the original one, and ours is never looked at.
 *
 * PyMem_* never gives back NULL for size 0, and realloc to size 0 frees nothing:
 * NULL always means that the request failed and the old block stays.
 */
#include "allocators.h"

#include "../emit.h"
#include "../stack.h"
#include "../watch/guessed_births.h"
#include "capi.h"
#include "code_table.h"
#include "hybrid.h"
#include "stack.h"

/* What each domain had before us. Written before the wrapper that reads it is installed. */
static struct python_allocator original[PYTHON_DOMAINS];
static struct python_arena_allocator original_arena;

/*
 * Blocks of mem and object are asked for by an attached thread, raw ones by any. What malloc's hook does while the
 * interpreter starts, the raw domain does too: once it is wrapped, little of what Python does reaches malloc from
 * outside of a hook.
 */
#define CAPTURE_RAW(self)                                                                                              \
    (HS_UNLIKELY(python_state == PYTHON_STARTING) ? python_poll(self) : (void)0,                                       \
     stack_capture(self, __builtin_frame_address(0)))
#define CAPTURE_ATTACHED(self)                                                                                         \
    (HS_UNLIKELY(stack_want_native) ? hybrid_attached(self, __builtin_frame_address(0)) : stack_attached(self))

/*
 * What else there is to do with a block of mem or object, which the GIL protects: before 3.13 the births of objects are
 * guessed from them, where some are to be watched.
 */
#define NOTHING_AT_ALLOC(self, block, size, node) ((void)0)
#define NOTHING_AT_FREE(self, block) ((void)0)

HS_ALWAYS_INLINE void mem_at_alloc(struct thread *self, const void *block, size_t size, uint32_t node)
{
    (void)block;
    (void)size;
    (void)node;
    if (HS_UNLIKELY(guessed_births_on))
        guessed_births_look(self);
}

HS_ALWAYS_INLINE void mem_at_free(struct thread *self, const void *block)
{
    (void)block;
    if (HS_UNLIKELY(guessed_births_on))
        guessed_births_look(self);
}

HS_ALWAYS_INLINE void object_at_alloc(struct thread *self, const void *block, size_t size, uint32_t node)
{
    if (HS_UNLIKELY(guessed_births_on)) {
        guessed_births_look(self);
        guessed_births_block(self, block, size, node, __builtin_frame_address(0));
    }
}

HS_ALWAYS_INLINE void object_at_free(struct thread *self, const void *block)
{
    if (HS_UNLIKELY(guessed_births_on)) {
        guessed_births_look(self);
        guessed_births_freed(block);
    }
    code_table_forget_block(block);
}

#define WRAPPERS(prefix, python_domain, domain, capture, at_alloc, at_free)                                            \
    static void *prefix##_malloc(void *ctx, size_t size)                                                               \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        const struct python_allocator *real = &original[python_domain];                                                \
        struct thread *self = hook_enter();                                                                            \
        if (HS_UNLIKELY(!self))                                                                                        \
            return real->malloc(real->ctx, size);                                                                      \
        void *block = real->malloc(real->ctx, size);                                                                   \
        if (HS_LIKELY(block)) {                                                                                        \
            uint32_t node = capture(self);                                                                             \
            emit_alloc(self, domain, block, size, node);                                                               \
            at_alloc(self, block, size, node);                                                                         \
        }                                                                                                              \
        hook_leave(self);                                                                                              \
        return block;                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    static void *prefix##_calloc(void *ctx, size_t count, size_t size)                                                 \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        const struct python_allocator *real = &original[python_domain];                                                \
        struct thread *self = hook_enter();                                                                            \
        if (HS_UNLIKELY(!self))                                                                                        \
            return real->calloc(real->ctx, count, size);                                                               \
        void *block = real->calloc(real->ctx, count, size);                                                            \
        if (HS_LIKELY(block)) {                                                                                        \
            size_t bytes = count * size;                                                                               \
            uint32_t node = capture(self);                                                                             \
            emit_alloc(self, domain, block, bytes, node);                                                              \
            at_alloc(self, block, bytes, node);                                                                        \
        }                                                                                                              \
        hook_leave(self);                                                                                              \
        return block;                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    static void *prefix##_realloc(void *ctx, void *old_block, size_t size)                                             \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        const struct python_allocator *real = &original[python_domain];                                                \
        struct thread *self = hook_enter();                                                                            \
        if (HS_UNLIKELY(!self))                                                                                        \
            return real->realloc(real->ctx, old_block, size);                                                          \
        if (old_block) {                                                                                               \
            at_free(self, old_block);                                                                                  \
            emit_realloc_begin(self, domain, old_block);                                                               \
        }                                                                                                              \
        void *block = real->realloc(real->ctx, old_block, size);                                                       \
        if (HS_UNLIKELY(!block)) {                                                                                     \
            if (old_block)                                                                                             \
                emit_realloc_abort(self, domain, old_block);                                                           \
        } else {                                                                                                       \
            uint32_t node = capture(self);                                                                             \
            if (old_block)                                                                                             \
                emit_realloc_commit(self, domain, block, size, node);                                                  \
            else                                                                                                       \
                emit_alloc(self, domain, block, size, node);                                                           \
        }                                                                                                              \
        hook_leave(self);                                                                                              \
        return block;                                                                                                  \
    }                                                                                                                  \
                                                                                                                       \
    static void prefix##_free(void *ctx, void *block)                                                                  \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        const struct python_allocator *real = &original[python_domain];                                                \
        struct thread *self = block ? hook_enter() : NULL;                                                             \
        if (HS_UNLIKELY(!self)) {                                                                                      \
            real->free(real->ctx, block);                                                                              \
            return;                                                                                                    \
        }                                                                                                              \
        emit_free(self, domain, block);                                                                                \
        at_free(self, block);                                                                                          \
        real->free(real->ctx, block);                                                                                  \
        hook_leave(self);                                                                                              \
    }

WRAPPERS(raw, PYTHON_RAW, HS_DOMAIN_PY_RAW, CAPTURE_RAW, NOTHING_AT_ALLOC, NOTHING_AT_FREE)
WRAPPERS(mem, PYTHON_MEM, HS_DOMAIN_PY_MEM, CAPTURE_ATTACHED, mem_at_alloc, mem_at_free)
WRAPPERS(object, PYTHON_OBJECT, HS_DOMAIN_PY_OBJECT, CAPTURE_ATTACHED, object_at_alloc, object_at_free)

static const struct python_allocator wrapper[PYTHON_DOMAINS] = {
    [PYTHON_RAW] = {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free},
    [PYTHON_MEM] = {NULL, mem_malloc, mem_calloc, mem_realloc, mem_free},
    [PYTHON_OBJECT] = {NULL, object_malloc, object_calloc, object_realloc, object_free},
};

/*
 * Arenas are asked for in the midst of PyObject_Malloc, and by the interpreter itself for the stack of its frames:
 * inside of a hook or not, they are recorded.
 */
static void *arena_wrapper_alloc(void *ctx, size_t size)
{
    (void)ctx;
    struct thread *entered = hook_enter();
    struct thread *self = entered ? entered : hook_inside();
    void *arena = original_arena.alloc(original_arena.ctx, size);
    if (arena && self)
        emit_alloc(self, HS_DOMAIN_ARENA, arena, size, stack_capture(self, __builtin_frame_address(0)));
    if (entered)
        hook_leave(entered);
    return arena;
}

static void arena_wrapper_free(void *ctx, void *arena, size_t size)
{
    (void)ctx;
    struct thread *entered = hook_enter();
    struct thread *self = entered ? entered : hook_inside();
    if (arena && self)
        emit_free(self, HS_DOMAIN_ARENA, arena);
    original_arena.free(original_arena.ctx, arena, size);
    if (entered)
        hook_leave(entered);
}

static bool is_interpreters(void *(*function)(void *, size_t))
{
    uintptr_t address = (uintptr_t)function;
    return address >= python_capi.text_low && address < python_capi.text_high;
}

/*
 * Where a call to this allocator reaches our wrapper, at the top or below; NULL: it does not, or nobody knows.
 * CPython's own layers, tracemalloc and the debug hooks, keep what they call in a struct that their context points to:
 * a PyMemAllocatorEx, or one behind an identifying letter. Of a stranger's layer, which *stranger is then, nothing is
 * known.
 */
static struct python_allocator *find_wrapper(struct python_allocator *allocator, int domain,
                                             const struct python_allocator **stranger)
{
    *stranger = NULL;
    for (unsigned layers = 0; layers < 8; layers++) {
        if (allocator->malloc == wrapper[domain].malloc)
            return allocator;
        if (!is_interpreters(allocator->malloc))
            *stranger = allocator;
        if (*stranger || !allocator->ctx)
            return NULL;
        uintptr_t *context = allocator->ctx;
        bool is_debug_layer = context[0] == 'r' || context[0] == 'm' || context[0] == 'o';
        allocator = (struct python_allocator *)(context + is_debug_layer);
    }
    return NULL;
}

/* A stranger's layer could be installed only on top of what was there: it is believed to call us. */
static bool reaches_wrapper(struct python_allocator *allocator, int domain)
{
    const struct python_allocator *stranger;
    return find_wrapper(allocator, domain, &stranger) ||
           (stranger && original[domain].malloc && stranger->malloc != original[domain].malloc);
}

static void install(int domain, const struct python_allocator *now)
{
    original[domain] = *now;
    struct python_allocator ours = wrapper[domain];
    ours.ctx = now->ctx;
    python_capi.PyMem_SetAllocator(domain, &ours);
}

/* Wraps a domain that does not reach us; returns whether it did not. */
static bool wrap_domain(int domain)
{
    struct python_allocator now;
    python_capi.PyMem_GetAllocator(domain, &now);
    if (reaches_wrapper(&now, domain))
        return false;
    install(domain, &now);
    return true;
}

/* Wraps a domain again that was put back to just what we had found there; nothing changes for blocks that exist. */
static void wrap_unchanged_domain(int domain)
{
    struct python_allocator now;
    python_capi.PyMem_GetAllocator(domain, &now);
    if (now.malloc == original[domain].malloc && now.ctx == original[domain].ctx)
        install(domain, &now);
}

static void wrap_arenas(void)
{
    if (!python_capi.PyObject_GetArenaAllocator || !python_capi.PyObject_SetArenaAllocator)
        return;
    struct python_arena_allocator now;
    python_capi.PyObject_GetArenaAllocator(&now);
    if (now.alloc == arena_wrapper_alloc)
        return;
    original_arena = now;
    python_capi.PyObject_SetArenaAllocator(
        &(struct python_arena_allocator){.ctx = now.ctx, .alloc = arena_wrapper_alloc, .free = arena_wrapper_free});
}

/*
 * What became of the object domain tells for all. While it starts and ends, CPython puts its default into the raw
 * domain for short times and then back what was there, which may be our wrapper for a debug layer: wrapping such a
 * default would mix up the two. (And when we came in such a moment, the wrapper is what is taken away.)
 */
bool allocators_wrap(void)
{
    if (!wrap_domain(PYTHON_OBJECT)) {
        wrap_unchanged_domain(PYTHON_MEM);
        wrap_unchanged_domain(PYTHON_RAW);
        return false;
    }
    wrap_domain(PYTHON_MEM);
    wrap_domain(PYTHON_RAW);
    wrap_arenas();
    return true;
}

/* Threads may be calling it: each function goes with any of the other three, and the context is the same. */
static void put_back(struct python_allocator *layer, const struct python_allocator *was)
{
    __atomic_store_n(&layer->malloc, was->malloc, __ATOMIC_RELEASE);
    __atomic_store_n(&layer->calloc, was->calloc, __ATOMIC_RELEASE);
    __atomic_store_n(&layer->realloc, was->realloc, __ATOMIC_RELEASE);
    __atomic_store_n(&layer->free, was->free, __ATOMIC_RELEASE);
}

static bool unwrap_domain(int domain)
{
    struct python_allocator now;
    const struct python_allocator *stranger;
    if (!original[domain].malloc)
        return true;
    python_capi.PyMem_GetAllocator(domain, &now);
    struct python_allocator *found = find_wrapper(&now, domain, &stranger);
    if (found == &now)
        python_capi.PyMem_SetAllocator(domain, &original[domain]);
    else if (found)
        put_back(found, &original[domain]);
    return found || !reaches_wrapper(&now, domain);
}

static bool unwrap_arenas(void)
{
    if (!original_arena.alloc)
        return true;
    struct python_arena_allocator now;
    python_capi.PyObject_GetArenaAllocator(&now);
    if (now.alloc == arena_wrapper_alloc)
        python_capi.PyObject_SetArenaAllocator(&original_arena);
    return now.alloc == arena_wrapper_alloc || now.alloc == original_arena.alloc;
}

bool allocators_unwrap(void)
{
    bool all = unwrap_arenas();
    for (int domain = 0; domain < PYTHON_DOMAINS; domain++)
        all &= unwrap_domain(domain);
    return all;
}

void allocators_check(struct thread *self)
{
    if (!allocators_wrap())
        return;
    code_table_forget_all();
    guessed_births_missed();
    emit_blind_spot(self, "Python's allocators were put back to what they were before heapsake's (tracemalloc.stop() "
                          "does that): what was allocated or freed until the next check is missing.");
}

void allocators_replace(const struct python_allocator *allocator)
{
    for (int domain = 0; domain < PYTHON_DOMAINS; domain++)
        original[domain] = *allocator;
}
