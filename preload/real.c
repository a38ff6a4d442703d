/*
 * real.c - see real.h
 *
 * dlsym may itself allocate. While it is being asked, allocations come from a small static pool,
 * whose blocks stay valid for ever and are recognized by free and realloc.
 */
#include "real.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "python/elf_lookup.h"
#include "sys.h"

static void *early_malloc(size_t size);
static void *early_calloc(size_t count, size_t size);
static void *early_realloc(void *block, size_t size);
static void early_free(void *block);

struct real real = {
    .malloc = early_malloc,
    .calloc = early_calloc,
    .realloc = early_realloc,
    .free = early_free,
};

static _Alignas(16) char pool[16384];
static _Atomic size_t pool_used;
/* volatile: dlsym is declared never to call back into this file, but its allocations do. */
static _Thread_local volatile bool resolving __attribute__((tls_model("initial-exec")));
static struct real next; /* what dlsym said; real's free and realloc go through the pool's check when it was used */

static bool in_pool(const void *block)
{
    return (const char *)block >= pool && (const char *)block < pool + sizeof pool;
}

static void *pool_alloc(size_t size)
{
    size_t whole = (size + 15 + 16) & ~(size_t)15; /* the size lies in the 16 bytes before the block */
    size_t offset = atomic_fetch_add(&pool_used, whole);
    if (size > sizeof pool || offset > sizeof pool - whole)
        return NULL;
    memcpy(pool + offset, &size, sizeof size);
    return pool + offset + 16;
}

static void pool_aware_free(void *block)
{
    if (!in_pool(block))
        next.free(block);
}

static void *pool_aware_realloc(void *block, size_t size)
{
    if (!in_pool(block))
        return next.realloc(block, size);
    size_t old_size;
    memcpy(&old_size, (char *)block - 16, sizeof old_size);
    void *moved = next.malloc(size);
    if (moved)
        memcpy(moved, block, old_size < size ? old_size : size);
    return moved;
}

static void *next_definition(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* The program itself, once the loader has done what another thread asks of it. */
static const struct link_map *program_module(void)
{
    const struct link_map *program;
    while (!(program = elf_first_module()))
        sys_yield();
    return program;
}

static bool lies_in(const struct link_map *module, const void *address)
{
    Dl_info info;
    void *found = NULL;
    return dladdr1(address, &info, &found, RTLD_DL_LINKMAP) && found == module;
}

void *real_definition(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    const struct link_map *program = program_module();
    if (!symbol || !lies_in(program, symbol) || elf_find_symbol(program, name))
        return symbol;
    /* What the program refers to is in a library that it was started with; these come first, and never go. */
    void *definition = NULL;
    for (const struct link_map *module = program->l_next; module && !definition; module = module->l_next)
        definition = elf_find_symbol(module, name);
    return definition ? definition : symbol;
}

static void resolve(void *(*definition)(const char *name))
{
    resolving = true;
#define HOOK(name, type, parameters)                                                                                   \
    {                                                                                                                  \
        void *symbol = definition(#name);                                                                              \
        memcpy(&next.name, &symbol, sizeof symbol);                                                                    \
    }
#define HOOK_OPTIONAL HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_OPTIONAL
    dlerror(); /* what we asked in vain must not be the program's next dlerror() */
    resolving = false;
    struct real found = next;
    if (atomic_load(&pool_used)) {
        found.free = pool_aware_free;
        found.realloc = pool_aware_realloc;
    }
    real = found;
}

void real_resolve(void)
{
    resolve(next_definition);
}

void real_resolve_late(void)
{
    /* Preloaded, the library is what everybody else calls; what lies behind it was found by the constructor. */
    if (real_definition("malloc") != (void *)malloc)
        resolve(real_definition);
}

static bool resolved_now(void)
{
    if (resolving)
        return false;
    real_resolve();
    return true;
}

static void *early_malloc(size_t size)
{
    return resolved_now() ? real.malloc(size) : pool_alloc(size);
}

static void *early_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return resolved_now() ? real.calloc(count, size) : pool_alloc(total); /* the pool is zero and used once */
}

static void *early_realloc(void *block, size_t size)
{
    if (resolved_now())
        return real.realloc(block, size);
    void *moved = pool_alloc(size);
    if (moved && block) {
        size_t old_size;
        memcpy(&old_size, (char *)block - 16, sizeof old_size);
        memcpy(moved, block, old_size < size ? old_size : size);
    }
    return moved;
}

static void early_free(void *block)
{
    if (!in_pool(block) && resolved_now())
        real.free(block);
}
