/*
 * injection_stub.c - see injection_stub.h
 *
 * All of this file lies in one section. No relocation may be in it (tests/unit/test_injection_stub.c): no call of a
 * function outside, no constant in memory, no copy or initialization that a compiler makes a memcpy of. It is compiled
 * with options of its own (meson.build): general registers only, no stack protector, no sanitizer.
 */
#include "record/injection_stub.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define STUB __attribute__((section("injection_stub"), used, noinline))
#define OWN_STACK ((uint64_t)128 << 10) /* malloc may be anybody's, and is called by pthread_create */
#define THREAD_STACK ((uint64_t)256 << 10)

_Static_assert(sizeof(struct injection_block) % 16 == 0, "the texts begin behind it");
_Static_assert(offsetof(struct injection_block, back_to) == 0, "popped at the end");
_Static_assert(offsetof(struct injection_block, state_bytes) == 8, "read by the entry");

/*
 * Behind the 16 words that are pushed lies the block. The end takes rsp from the block's first word and returns over
 * the red zone; none of that changes the flags.
 */
__asm__(".pushsection injection_stub, \"ax\", @progbits\n"
        ".balign 16\n"
        ".hidden injection_stub_entry\n"
        ".globl injection_stub_entry\n"
        ".type injection_stub_entry, @function\n"
        "injection_stub_entry:\n"
        "  endbr64\n"
        "  pushfq\n"
        "  cld\n"
        "  pushq %rax\n  pushq %rbx\n  pushq %rcx\n  pushq %rdx\n  pushq %rsi\n  pushq %rdi\n  pushq %rbp\n"
        "  pushq %r8\n  pushq %r9\n  pushq %r10\n  pushq %r11\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, %rbp\n"
        "  leaq 128(%rbp), %rdi\n"
        "  call stub_prepare\n"
        "  testq %rax, %rax\n"
        "  jz 1f\n"
        "  movq %rax, %rsp\n"
        "  movl 136(%rbp), %ecx\n"
        "  subq %rcx, %rsp\n"
        "  andq $-64, %rsp\n"
        "  xorl %eax, %eax\n" /* xrstor insists on zeroes in the header, of which xsave writes 8 bytes only */
        "  movq %rax, 512(%rsp)\n  movq %rax, 520(%rsp)\n  movq %rax, 528(%rsp)\n  movq %rax, 536(%rsp)\n"
        "  movq %rax, 544(%rsp)\n  movq %rax, 552(%rsp)\n  movq %rax, 560(%rsp)\n  movq %rax, 568(%rsp)\n"
        "  movl $-1, %eax\n"
        "  movl $-1, %edx\n"
        "  xsave64 (%rsp)\n"
        "  movq %rsp, %rbx\n"
        "  leaq 128(%rbp), %rdi\n"
        "  call stub_start\n"
        "  movl $-1, %eax\n"
        "  movl $-1, %edx\n"
        "  xrstor64 (%rbx)\n"
        "  movq %rbp, %rsp\n"
        "  leaq 128(%rbp), %rdi\n"
        "  call stub_finish\n"
        "1:\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %r11\n  popq %r10\n  popq %r9\n  popq %r8\n"
        "  popq %rbp\n  popq %rdi\n  popq %rsi\n  popq %rdx\n  popq %rcx\n  popq %rbx\n  popq %rax\n"
        "  popfq\n"
        "  popq %rsp\n"
        "  ret $128\n"
        ".size injection_stub_entry, .-injection_stub_entry\n"
        ".popsection\n");

static inline __attribute__((always_inline)) long raw_call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                                           uint64_t e, uint64_t f)
{
    long result;
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* 0: there is none. */
static inline __attribute__((always_inline)) uint64_t map_memory(uint64_t bytes)
{
    long got = raw_call(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        (uint64_t)-1, 0);
    return got < 0 && got > -4096 ? 0 : (uint64_t)got;
}

/* On the thread's own stack: the end of the stack to work on; 0: there is none, go back. */
STUB static uint64_t stub_prepare(struct injection_block *block)
{
    /* setuid() in another thread waits for each thread's answer to one of libc's two */
    uint64_t blocked = ~(UINT64_C(1) << (32 - 1) | UINT64_C(1) << (33 - 1));
    block->stack = map_memory(OWN_STACK);
    if (!block->stack)
        return 0;
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&blocked, (uint64_t)&block->signals, sizeof blocked, 0, 0);
    return block->stack + OWN_STACK;
}

/* The new thread. All signals stay blocked in it. */
STUB static void *stub_thread(void *context)
{
    struct injection_block *block = context;
    const char *texts = context;
    void *library = ((void *(*)(const char *, int))block->dlopen)(texts + block->library, RTLD_NOW | RTLD_LOCAL);
    void (*function)(const char *) = NULL;
    if (library)
        function =
            (void (*)(const char *))((void *(*)(void *, const char *))block->dlsym)(library, texts + block->function);
    if (function)
        function(texts + block->argument);
    raw_call(SYS_munmap, (uint64_t)block, block->bytes, 0, 0, 0, 0);
    return NULL;
}

/* On our stack, the extended state saved. */
STUB static void stub_start(struct injection_block *block)
{
    uint64_t copy = map_memory(block->bytes);
    if (!copy)
        return;
    volatile uint64_t *to = (volatile uint64_t *)copy;
    for (uint64_t i = 0; i < block->bytes / sizeof *to; i++)
        to[i] = ((uint64_t *)block)[i];
    int *error = ((int *(*)(void))block->errno_location)();
    int saved_errno = *error;
    pthread_attr_t attributes;
    pthread_t thread;
    bool started =
        ((int (*)(pthread_attr_t *))block->pthread_attr_init)(&attributes) == 0 &&
        ((int (*)(pthread_attr_t *, size_t))block->pthread_attr_setstacksize)(&attributes, THREAD_STACK) == 0 &&
        ((int (*)(pthread_attr_t *, int))block->pthread_attr_setdetachstate)(&attributes, PTHREAD_CREATE_DETACHED) ==
            0 &&
        ((int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))block->pthread_create)(
            &thread, &attributes, stub_thread, (void *)copy) == 0;
    if (!started)
        raw_call(SYS_munmap, copy, block->bytes, 0, 0, 0, 0);
    *error = saved_errno;
}

/* Back on the thread's stack. */
STUB static void stub_finish(struct injection_block *block)
{
    raw_call(SYS_munmap, block->stack, OWN_STACK, 0, 0, 0, 0);
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (uint64_t)&block->signals, 0, sizeof block->signals, 0, 0);
}
