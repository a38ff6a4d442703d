/*
 * test_unwind_steps.c - native stacks at every single instruction, with the trap flag. libunwind does not survive that,
 * so the truth is told by the steps themselves: what a call pushed and no return popped yet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

#include "unwind.h"
#include "unwind_referee.h"

static struct {
    uint64_t returns[MANY];
    size_t depth, base; /* the first `base` were there before */
    const uint8_t *last;
    unsigned steps, unknown;
} stepped;

static bool is_call(const uint8_t *code)
{
    while (*code == 0x3e || *code == 0x66 || *code == 0xf2 || (*code & 0xf0) == 0x40)
        code++;
    return *code == 0xe8 || (*code == 0xff && (code[1] >> 3 & 7) == 2);
}

static bool is_return(const uint8_t *code)
{
    while (*code == 0xf2 || *code == 0xf3)
        code++;
    return *code == 0xc3 || *code == 0xc2;
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    static uint64_t pcs[UNWIND_MAX_FRAMES];
    const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)registers[REG_RIP];
    if (!stepped.last) { /* behind the call in step_through() */
        stepped.returns[stepped.base - 1] = ((const uint64_t *)registers[REG_RBP])[1];
        stepped.returns[stepped.depth++] = *(const uint64_t *)registers[REG_RSP];
    } else if (is_call(stepped.last) && stepped.depth < MANY) {
        stepped.returns[stepped.depth++] = *(const uint64_t *)registers[REG_RSP];
    } else if (is_return(stepped.last) && stepped.depth) {
        stepped.depth--;
    }
    stepped.last = (const uint8_t *)rip;
    stepped.steps++;
    if (stepped.depth <= stepped.base)
        return; /* in the test itself */

    bool truncated;
    size_t count = unwind_pcs(thread_self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &truncated);
    bool right = count == stepped.depth + 2 && !truncated && pcs[1] == rip + 1;
    for (size_t i = 2; right && i < count; i++)
        right = pcs[i] == stepped.returns[stepped.depth - (i - 1)];
    if (truncated && count == 2) {
        stepped.unknown++; /* the prologue of a realigned frame, where the CFA is in a register nobody follows */
        return;
    }
    if (!right) {
        static void *truth[MANY];
        truth[0] = (void *)(uintptr_t)pcs[0];
        truth[1] = (void *)(uintptr_t)rip;
        for (size_t i = 0; i < stepped.depth; i++)
            truth[i + 2] = (void *)(uintptr_t)stepped.returns[stepped.depth - 1 - i];
        note_wrong("step", pcs, count, truth, stepped.depth + 2);
    }
}

static NOINLINE void nothing(void)
{
    __asm__ volatile("");
}

/* void step_through(void (*run)(void)): calls run with the trap flag set. */
void step_through(void (*run)(void));
__asm__(".pushsection .text\n"
        ".type step_through, @function\n"
        "step_through:\n"
        ".cfi_startproc\n"
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset 6, -16\n"
        "mov %rsp, %rbp\n.cfi_def_cfa_register 6\n"
        "pushfq\n orq $0x100, (%rsp)\n popfq\n"
        "call *%rdi\n"
        "pushfq\n andq $~0x100, (%rsp)\n popfq\n"
        "pop %rbp\n.cfi_def_cfa 7, 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size step_through, . - step_through\n"
        ".popsection\n");

static unsigned step_seed;

static NOINLINE void run_stepped(void)
{
    all_shapes[step_seed % 4]->mixed(step_seed, 4, nothing);
}

static NOINLINE void begin_stepping(void)
{
    /* The frames outside of step_through() are those outside of here. */
    uint64_t pcs[UNWIND_MAX_FRAMES];
    bool truncated;
    size_t count = unwind_pcs(thread_self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &truncated);
    stepped.depth = 0;
    while (count-- > 0)
        stepped.returns[stepped.depth++] = pcs[count];
    stepped.base = stepped.depth;
    stepped.last = NULL;
}

static void test_every_instruction(void **state)
{
    (void)state;
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    for (step_seed = 0; step_seed < 60; step_seed++) {
        begin_stepping();
        step_through(run_stepped);
    }
    signal(SIGTRAP, SIG_DFL);
    assert_true(stepped.steps > 10000);
    assert_true(stepped.unknown < stepped.steps / 20);
    report();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_instruction),
    };
    return cmocka_run_group_tests(tests, referee_setup, NULL);
}
