/* own_stack.c - see own_stack.h */
#include "own_stack.h"

#include <signal.h>
#include <stddef.h>

#include "../arena.h"
#include "../sys.h"
#include "internal/compiler.h"

/* Much more than we need: in the child, tp_traverse of any extension runs here. Pages that nobody needs
 * are not made. */
#define STACK_BYTES ((size_t)1 << 20)

_Static_assert(offsetof(struct own_stack_caller, sp) == 48, "as below");
__asm__(".text\n"
        ".hidden own_stack_switch\n"
        ".globl own_stack_switch\n"
        ".type own_stack_switch, @function\n"
        ".balign 16\n"
        "own_stack_switch:\n"
        "  .cfi_startproc\n"
        "  endbr64\n"
        "  movq %rbx, 0(%rcx)\n  movq %rbp, 8(%rcx)\n  movq %r12, 16(%rcx)\n"
        "  movq %r13, 24(%rcx)\n  movq %r14, 32(%rcx)\n  movq %r15, 40(%rcx)\n"
        "  movq %rsp, 48(%rcx)\n"
        "  pushq %rbp\n"
        "  .cfi_def_cfa_offset 16\n"
        "  .cfi_offset %rbp, -16\n"
        "  movq %rsp, %rbp\n"
        "  .cfi_def_cfa_register %rbp\n"
        "  movq %rdi, %rsp\n"
        "  movq %rdx, %rdi\n"
        "  call *%rsi\n"
        "  movq %rbp, %rsp\n"
        "  popq %rbp\n"
        "  .cfi_def_cfa %rsp, 8\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size own_stack_switch, .-own_stack_switch\n");

static char *stack; /* with a page below that cannot be touched */

bool own_stack_call(void (*function)(void *), void *argument, struct own_stack_caller *caller)
{
    if (!stack) {
        char *memory = arena_map(STACK_BYTES);
        if (!memory)
            return false;
        sys_call(SYS_mprotect, memory, HS_PAGE_SIZE, PROT_NONE);
        stack = memory;
    }
    uint64_t all = ~UINT64_C(0), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all, 0, 0);
    own_stack_switch((uintptr_t)stack + STACK_BYTES, function, argument, caller);
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
    return true;
}
