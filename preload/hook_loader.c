/*
 * hook_loader.c - modules that come and go while the program runs.
 *
 * dlopen and dlmopen look at their caller's return address ($ORIGIN, the namespace), so they are not wrapped: the
 * exported symbols note that something may change and jump on, with every register and the stack as they were. What
 * changed is looked up later, by whoever needs to know.
 */
#include <dlfcn.h>
#include <stdatomic.h>

#include "hook_malloc.h"
#include "hook_got.h"
#include "python/python.h"
#include "real.h"
#include "refs/modules_seen.h"
#include "unwind.h"

/* Copies of real.dlopen and real.dlmopen under names that assembly can say. */
__attribute__((visibility("hidden"), used)) void *(*hook_loader_real_dlopen)(const char *, int);
__attribute__((visibility("hidden"), used)) void *(*hook_loader_real_dlmopen)(Lmid_t, const char *, int);

__attribute__((visibility("hidden"), used)) void hook_loader_changing(void);
void hook_loader_changing(void)
{
    real_ensure();
    hook_loader_real_dlopen = real.dlopen;
    hook_loader_real_dlmopen = real.dlmopen;
    unwind_modules_changed();
    modules_seen_loader_called(); /* what was opened before, and without a dlsym after it */
    if (!hook_got_installed() && python_state == PYTHON_NONE)
        atomic_store_explicit(&hook_malloc_chores, HOOK_MALLOC_AFTER_DLOPEN, memory_order_relaxed);
}

/* The arguments lie in rdi, rsi and rdx; the address to jump to is found while they are saved. */
#define JUMP_ON(name, place)                                                                                           \
    __asm__(".pushsection .text\n"                                                                                     \
            ".globl " #name "\n"                                                                                       \
            ".type " #name ", @function\n" #name ":\n"                                                                 \
            ".cfi_startproc\n"                                                                                         \
            "endbr64\n"                                                                                                \
            "push %rdi\n.cfi_adjust_cfa_offset 8\n"                                                                    \
            "push %rsi\n.cfi_adjust_cfa_offset 8\n"                                                                    \
            "push %rdx\n.cfi_adjust_cfa_offset 8\n"                                                                    \
            "call hook_loader_changing\n"                                                                              \
            "pop %rdx\n.cfi_adjust_cfa_offset -8\n"                                                                    \
            "pop %rsi\n.cfi_adjust_cfa_offset -8\n"                                                                    \
            "pop %rdi\n.cfi_adjust_cfa_offset -8\n"                                                                    \
            "jmp *" #place "(%rip)\n"                                                                                  \
            ".cfi_endproc\n"                                                                                           \
            ".size " #name ", . - " #name "\n"                                                                         \
            ".popsection\n")

JUMP_ON(dlopen, hook_loader_real_dlopen);
JUMP_ON(dlmopen, hook_loader_real_dlmopen);

HS_EXPORT int dlclose(void *handle)
{
    real_ensure();
    int result = real.dlclose(handle);
    unwind_modules_changed();
    modules_seen_loader_called();
    return result;
}
