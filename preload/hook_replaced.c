/*
 * hook_replaced.c - see hook_replaced.h
 *
 * operator new of libstdc++ calls malloc and is seen there. A replacement allocator's does not, so programs that
 * link or preload one are patched: each GOT entry that leads to its functions leads to a wrapper here instead.
 *
 * operator new may throw, and an exception must pass through this file without unwinding tables of ours to run. So the
 * real call is made outside the hook guard. Should it reach malloc after all, the block is the last thing in the ring,
 * and is not recorded twice.
 */
#include "hook_replaced.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

#include "emit.h"
#include "got.h"
#include "internal/compiler.h"
#include "loader_lock.h"
#include "real.h"
#include "stack.h"

#pragma weak _dl_find_object /* glibc 2.35 */

#define HERE __builtin_frame_address(0)

enum {
#define TAKES(symbol, parameters, arguments, size) INDEX_##symbol,
#define GIVES_BACK(symbol, parameters, arguments, block) INDEX_##symbol,
#define RESIZES(symbol, parameters, arguments, block, size) INDEX_##symbol,
#include "replaced.def"
#undef TAKES
#undef GIVES_BACK
#undef RESIZES
    PATCHES
};

static struct got_patch patches[PATCHES];
static bool patched;

HS_ALWAYS_INLINE void before_new(const void *frame_address)
{
    struct thread *self = hook_inside_or_start();
    if (self && self->depth == 0)
        self->allocator_frame = (uintptr_t)frame_address; /* what it maps is not the program's: hook_mmap.c */
}

/* Is the last thing in the ring the allocation of this block? */
static bool recorded_already(const struct thread *self, const void *block)
{
    struct hs_slot last = self->head ? self->slots[(self->head - 1) & self->mask] : (struct hs_slot){0};
    return hs_slot_type(last) == HS_SLOT_ALLOC && hs_slot_address(last) == (uintptr_t)block;
}

HS_ALWAYS_INLINE void after_new(const void *block, size_t size, const void *frame_address)
{
    struct thread *self = hook_enter();
    if (!self)
        return;
    self->allocator_frame = 0;
    if (block && !recorded_already(self, block))
        emit_alloc(self, HS_DOMAIN_MALLOC, block, size, stack_capture(self, frame_address));
    hook_leave(self);
}

#define REAL(symbol, result, parameters) ((result(*) parameters)(uintptr_t)patches[INDEX_##symbol].real)

#define TAKES(symbol, parameters, arguments, size)                                                                     \
    static void *wrap_##symbol parameters                                                                              \
    {                                                                                                                  \
        before_new(HERE);                                                                                              \
        void *taken = REAL(symbol, void *, parameters) arguments;                                                      \
        after_new(taken, size, HERE);                                                                                  \
        return taken;                                                                                                  \
    }
#define GIVES_BACK(symbol, parameters, arguments, block)                                                               \
    static void wrap_##symbol parameters                                                                               \
    {                                                                                                                  \
        struct thread *self = block ? hook_enter() : NULL;                                                             \
        if (self)                                                                                                      \
            emit_free(self, HS_DOMAIN_MALLOC, block);                                                                  \
        REAL(symbol, void, parameters) arguments;                                                                      \
        if (self)                                                                                                      \
            hook_leave(self);                                                                                          \
    }
#define RESIZES(symbol, parameters, arguments, block, size)                                                            \
    static void *wrap_##symbol parameters                                                                              \
    {                                                                                                                  \
        struct thread *self = hook_enter();                                                                            \
        if (self && block)                                                                                             \
            emit_realloc_begin(self, HS_DOMAIN_MALLOC, block);                                                         \
        void *resized = REAL(symbol, void *, parameters) arguments;                                                    \
        if (self) {                                                                                                    \
            if (resized && block)                                                                                      \
                emit_realloc_commit(self, HS_DOMAIN_MALLOC, resized, size, stack_capture(self, HERE));                 \
            else if (resized)                                                                                          \
                emit_alloc(self, HS_DOMAIN_MALLOC, resized, size, stack_capture(self, HERE));                          \
            else if (block && size)                                                                                    \
                emit_realloc_abort(self, HS_DOMAIN_MALLOC, block);                                                     \
            else if (block)                                                                                            \
                emit_realloc_freed(self, HS_DOMAIN_MALLOC, block);                                                     \
            hook_leave(self);                                                                                          \
        }                                                                                                              \
        return resized;                                                                                                \
    }
#include "replaced.def"
#undef TAKES
#undef GIVES_BACK
#undef RESIZES

/* operator new of libstdc++, also of one linked into the program, comes by malloc; only malloc's own module replaces
 * it. */
static bool is_operator(const char *symbol)
{
    return strncmp(symbol, "_Z", 2) == 0;
}

static bool beside_malloc(const void *function)
{
    Dl_info info, malloc_info;
    return dladdr(function, &info) && dladdr((const void *)real.malloc, &malloc_info) &&
           info.dli_fbase == malloc_info.dli_fbase;
}

static bool find(unsigned index, const char *symbol, void *wrapper)
{
    void *definition = real_definition(symbol);
    if (!definition || (is_operator(symbol) && !beside_malloc(definition)))
        return false;
    patches[index] = (struct got_patch){.symbol = symbol, .real = definition, .replacement = wrapper};
    return true;
}

static const void *address_of_own_object(void)
{
    return &patches;
}

/* With the loader's lock. */
static void patch_all(uint64_t come, uint64_t gone, void *with)
{
    struct dl_find_object own, allocator;
    const void *definition = NULL;
    (void)come;
    (void)gone;
    for (unsigned i = 0; i < PATCHES && !definition; i++)
        definition = patches[i].real;
    if (_dl_find_object((void *)address_of_own_object(), &own) != 0 ||
        _dl_find_object((void *)definition, &allocator) != 0)
        return;
    for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next) {
        /* what the allocator calls inside itself is its own business */
        if (module != own.dlfo_link_map && module != allocator.dlfo_link_map)
            got_patch_module(module, with, PATCHES);
    }
}

void hook_replaced_stop(void)
{
    struct got_patch back[PATCHES];
    if (!patched)
        return;
    patched = false;
    for (unsigned i = 0; i < PATCHES; i++)
        back[i] = (struct got_patch){.symbol = patches[i].symbol,
                                     .real = patches[i].real ? patches[i].replacement : NULL,
                                     .replacement = patches[i].real};
    loader_lock_held(patch_all, back);
}

void hook_replaced_start(struct thread *self)
{
    unsigned found = 0;
#define TAKES(symbol, parameters, arguments, size) found += find(INDEX_##symbol, #symbol, (void *)wrap_##symbol);
#define GIVES_BACK(symbol, parameters, arguments, block) TAKES(symbol, parameters, arguments, block)
#define RESIZES(symbol, parameters, arguments, block, size) TAKES(symbol, parameters, arguments, size)
#include "replaced.def"
#undef TAKES
#undef GIVES_BACK
#undef RESIZES
    dlerror();
    if (!found || !_dl_find_object)
        return;
    loader_lock_held(patch_all, patches);
    patched = true;
    emit_blind_spot(
        self, "modules loaded later that call the replacement allocator by other names than malloc's are not seen");
}
