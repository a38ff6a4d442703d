/* hook_got.c - see hook_got.h */
#include "hook_got.h"

#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emit.h"
#include "got.h"
#include "loader_lock.h"
#include "modules.h"
#include "real.h"
#include "refs/modules_seen.h"

#pragma weak _dl_find_object /* glibc 2.35 */

void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);

/* Those of hooks.def, and those that lead to them; the library is linked so that these names mean its own. */
#define MORE_HOOKS(HOOK)                                                                                               \
    HOOK(execv)                                                                                                        \
    HOOK(execvp)                                                                                                       \
    HOOK(execl)                                                                                                        \
    HOOK(execlp)                                                                                                       \
    HOOK(execle)                                                                                                       \
    HOOK(_Exit)

enum {
#define HOOK(name, type, parameters) INDEX_##name,
#define HOOK_OPTIONAL HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_OPTIONAL
#define HOOK(name) INDEX_##name,
    MORE_HOOKS(HOOK)
#undef HOOK
        INDEX_dlsym,
    HOOKS
};

static struct got_patch forward[HOOKS], backward[HOOKS];
static const struct link_map *own_module, *loader_module, *allocator_module;
static _Atomic uint32_t installed, refusal_said;

static const struct link_map *module_of(const void *address)
{
    struct module_range range;
    return address && modules_find((uintptr_t)address, &range) ? range.map : NULL;
}

static void add(unsigned index, const char *name, const void *function, const void *hook)
{
    forward[index] = (struct got_patch){.symbol = name, .real = function, .replacement = hook};
    backward[index] = (struct got_patch){.symbol = name, .real = function ? hook : NULL, .replacement = function};
}

bool hook_got_prepare(void)
{
    if (!_dl_find_object)
        return false;
#define HOOK(name, type, parameters)                                                                                   \
    add(INDEX_##name, #name, (const void *)(uintptr_t)real.name, (const void *)(uintptr_t)name);
#define HOOK_OPTIONAL HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_OPTIONAL
#define HOOK(name) add(INDEX_##name, #name, real_definition(#name), (const void *)(uintptr_t)name);
    MORE_HOOKS(HOOK)
#undef HOOK
    add(INDEX_dlsym, "dlsym", real_definition("dlsym"), modules_seen_dlsym_hook());
    own_module = module_of(&forward);
    loader_module = module_of(&_r_debug);
    allocator_module = module_of((const void *)(uintptr_t)real.malloc);
    /* libc's own malloc: what the rest of libc allocates (strdup, fopen) is seen by its GOT. */
    if (allocator_module == module_of((const void *)(uintptr_t)real.fork))
        allocator_module = NULL;
    return own_module != NULL;
}

static bool is_patched(const struct link_map *module)
{
    return module != own_module && module != loader_module && module != allocator_module && module->l_ld;
}

bool hook_got_installed(void)
{
    return atomic_load_explicit(&installed, memory_order_relaxed);
}

void hook_got_patch(struct thread *self, const struct link_map *module)
{
    if (hook_got_installed() && is_patched(module) && got_patch_module(module, forward, HOOKS).refused &&
        !atomic_exchange(&refusal_said, 1))
        emit_blind_spot(
            self, "The GOT entries of some modules are sealed, and cannot be pointed to heapsake: what these modules "
                  "allocate and free is not seen.");
}

static void look(uint64_t come, uint64_t gone, void *self)
{
    (void)come;
    (void)gone;
    modules_seen_look_again(self);
}

static void restore(uint64_t come, uint64_t gone, void *whole)
{
    (void)come;
    (void)gone;
    for (const struct link_map *module = _r_debug.r_map; module; module = module->l_next)
        if (is_patched(module) && got_patch_module(module, backward, HOOKS).refused)
            *(bool *)whole = false;
}

void hook_got_install(struct thread *self)
{
    atomic_store(&refusal_said, 0);
    atomic_store(&installed, 1);
    loader_lock_held(look, self);
}

bool hook_got_remove(void)
{
    bool whole = true;
    if (atomic_exchange(&installed, 0))
        loader_lock_held(restore, &whole);
    return whole;
}
