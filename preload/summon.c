/* summon.c - see summon.h */
#include "summon.h"

#include <cpuid.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "arena.h"
#include "own_thread.h"
#include "process.h"
#include "python/capi.h"
#include "python/python.h"
#include "python/walk.h"
#include "session.h"
#include "snapshot/take.h"
#include "sys.h"
#include "thread.h"

#define HELPER_STACK ((size_t)1 << 20)
#define MIN_STACK_LEFT ((uintptr_t)48 << 10) /* below it a thread is not made to do our work */
#define ARCH_SHSTK_STATUS_CODE 0x5005

/* ---- the entry ---- */

void summon_entry(void) __attribute__((visibility("hidden")));
void summoned(void) __attribute__((visibility("hidden"), used));

/* Bytes of the xsave area, a multiple of 64. */
uint32_t summon_state_bytes __attribute__((visibility("hidden")));

/*
 * At the entry: (%rsp) is where to go on, and the 128 bytes above it are the red zone of the function that was
 * interrupted. xrstor insists on zeroes in the header of the area, of which xsave writes the first 8 bytes only.
 */
__asm__(".text\n"
        ".hidden summon_entry\n"
        ".globl summon_entry\n"
        ".type summon_entry, @function\n"
        ".balign 16\n"
        "summon_entry:\n"
        "  endbr64\n"
        "  pushfq\n"
        "  cld\n"
        "  pushq %rax\n  pushq %rbx\n  pushq %rcx\n  pushq %rdx\n  pushq %rsi\n  pushq %rdi\n  pushq %rbp\n"
        "  pushq %r8\n  pushq %r9\n  pushq %r10\n  pushq %r11\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, %rbp\n"
        "  movl summon_state_bytes(%rip), %ecx\n"
        "  subq %rcx, %rsp\n"
        "  andq $-64, %rsp\n"
        "  xorl %eax, %eax\n"
        "  movq %rax, 512(%rsp)\n  movq %rax, 520(%rsp)\n  movq %rax, 528(%rsp)\n  movq %rax, 536(%rsp)\n"
        "  movq %rax, 544(%rsp)\n  movq %rax, 552(%rsp)\n  movq %rax, 560(%rsp)\n  movq %rax, 568(%rsp)\n"
        "  movl $-1, %eax\n"
        "  movl $-1, %edx\n"
        "  xsave64 (%rsp)\n"
        "  movq %rsp, %rbx\n"
        "  call summoned\n"
        "  movl $-1, %eax\n"
        "  movl $-1, %edx\n"
        "  xrstor64 (%rbx)\n"
        "  movq %rbp, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %r11\n  popq %r10\n  popq %r9\n  popq %r8\n"
        "  popq %rbp\n  popq %rdi\n  popq %rsi\n  popq %rdx\n  popq %rcx\n  popq %rbx\n  popq %rax\n"
        "  popfq\n"
        "  ret $128\n"
        ".size summon_entry, .-summon_entry\n");

/* ---- the thread that takes the GIL ---- */

enum helper_state { HELPER_NONE = 0, HELPER_RUNS = 1, HELPER_ENDS = 2 };

static struct {
    _Atomic uint32_t state; /* enum helper_state                                   */
    _Atomic int tid;        /* of the last one: it may not have left its stack yet */
    _Atomic int pid;        /* of the process that it runs in                      */
    void *stack;            /* of the last one; changed by whoever made state RUNS */
} helper;

static bool is_open(uint32_t request)
{
    const struct hs_session *shared = session.shared;
    return atomic_load(&session.state) == SESSION_ON && atomic_load(&shared->snapshot_request) == request &&
           atomic_load(&shared->snapshot_answer) != request && atomic_load(&shared->snapshot_reason) != 0;
}

static void take(struct thread *self, uint32_t request)
{
    uint32_t reason = atomic_load(&session.shared->snapshot_reason);
    snapshot_take(self, reason <= HS_SNAPSHOT_SIGNAL ? (enum hs_snapshot_reason)reason : HS_SNAPSHOT_ASKED, request);
}

static void take_with_gil(struct thread *self, uint32_t request)
{
    if (python_state != PYTHON_RUNNING || !python_still_there() || !python_capi.Py_IsInitialized())
        return;
    int state = python_capi.PyGILState_Ensure();
    if (is_open(request) && python_graph_possible())
        take(self, request);
    python_capi.PyGILState_Release(state);
}

/* Inside of a hook from its beginning to its end: nothing of what it does is the program's. */
static void *helper_main(void *argument)
{
    atomic_store(&helper.tid, sys_gettid());
    sys_call(SYS_prctl, PR_SET_NAME, "heapsake", 0);
    struct thread *self = hook_enter();
    if (self)
        take_with_gil(self, (uint32_t)(uintptr_t)argument);
    atomic_store(&helper.state, HELPER_ENDS);
    return NULL;
}

static bool has_left_stack(void)
{
    int tid = atomic_load(&helper.tid);
    return atomic_load(&helper.pid) != session.pid || (tid != 0 && sys_tgkill(session.pid, tid, 0) == -ESRCH);
}

static bool start_helper(uint32_t request)
{
    if (!has_left_stack() || !helper.stack)
        helper.stack = arena_map(HELPER_STACK); /* at worst the last one's stays mapped */
    if (!helper.stack)
        return false;
    atomic_store(&helper.tid, 0);
    atomic_store(&helper.pid, session.pid);
    atomic_store(&session.threaded, 1);
    atomic_store(&session.shared->threaded, 1);
    return own_thread_start(helper.stack, HELPER_STACK, helper_main, (void *)(uintptr_t)request);
}

static void ask_helper(uint32_t request)
{
    uint32_t state = atomic_load(&helper.state);
    if (python_state != PYTHON_RUNNING || !python_capi.PyGILState_Ensure || !python_capi.PyGILState_Release)
        return;
    /* One that runs waits for the GIL; one of a process that has forked since does not exist here. */
    if (state == HELPER_RUNS && atomic_load(&helper.pid) == session.pid)
        return;
    if (atomic_compare_exchange_strong(&helper.state, &state, HELPER_RUNS) && !start_helper(request))
        atomic_store(&helper.state, HELPER_NONE);
}

/* ---- the summons ---- */

static bool has_room(const struct thread *self)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return self->stack_low == 0 || here < self->stack_low || here - self->stack_low > MIN_STACK_LEFT;
}

/* From summon_entry alone. A thread that is inside of a hook of ours is left alone: the recorder will try again. */
void summoned(void)
{
    int saved_errno = errno;
    struct thread *self = atomic_load(&session.state) == SESSION_ON && process_is_own() ? hook_enter() : NULL;
    if (self) {
        uint32_t request = atomic_load(&session.shared->snapshot_request);
        if (is_open(request) && has_room(self)) {
            if (python_state == PYTHON_NONE)
                take(self, request);
            else
                ask_helper(request);
        }
        hook_leave(self);
    }
    errno = saved_errno;
}

/* Of the extended state that the system has switched on; 0: the processor has no xsave. */
static uint32_t state_bytes(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
        return 0;
    return (b + 63) & ~63u;
}

/* A return to an address that was not pushed by a call would be a fault there. */
static bool has_shadow_stack(void)
{
    uint64_t features = 0;
    return sys_call(SYS_arch_prctl, ARCH_SHSTK_STATUS_CODE, &features, 0) == 0 && features & 1;
}

void summon_offer(void)
{
    if (!(session.options & HS_OPTION_SNAPSHOTS) || has_shadow_stack())
        return;
    if (!summon_state_bytes)
        summon_state_bytes = state_bytes();
    if (summon_state_bytes)
        atomic_store(&session.shared->summon_entry, (uintptr_t)summon_entry);
}
