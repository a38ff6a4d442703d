/*
 * test_unwind.c - native stacks against libunwind's, over call frames of every kind (preload/unwind.c and what it
 * stands on).
 *
 * Built twice: as it is, and with MODULES_TEST_OLD_GLIBC, where modules are found without _dl_find_object.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <cmocka.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "modules.h"
#include "stack_table.h"
#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_rules.h"
#include "unwind_shapes.h"

#define NOINLINE __attribute__((noinline, noclone))
#define MANY 4096

static const struct shapes *const all_shapes[] = {&shapes_O2, &shapes_O0, &shapes_Os, &shapes_fp};

static void assert_inside(uintptr_t address, uint64_t first, uint64_t last)
{
    assert_true(address >= first && address <= last);
}

/* ---- comparing ---- */

static _Atomic uint64_t compared;
static __thread unsigned wrong; /* comparisons that failed in this thread */
static __thread char first_wrong[4096];
static __thread bool expect_truncated;

static void note_wrong(const char *what, const uint64_t *ours, size_t count, void *const *theirs, size_t their_count)
{
    if (wrong++)
        return;
    int at = snprintf(first_wrong, sizeof first_wrong, "%s:", what);
    for (size_t i = 0; (i < count || i < their_count) && at < (int)sizeof first_wrong - 120; i++) {
        Dl_info info = {0};
        dladdr(i < their_count ? theirs[i] : (void *)(uintptr_t)ours[i], &info);
        at += snprintf(first_wrong + at, sizeof first_wrong - (size_t)at, "\n  %12lx %12lx %s", i < count ? ours[i] : 0,
                       i < their_count ? (uint64_t)(uintptr_t)theirs[i] : 0, info.dli_sname ? info.dli_sname : "?");
    }
}

/* Ours and theirs are the same; ours may be one more where a signal interrupted a function. */
static bool same(const uint64_t *ours, void *const *theirs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ours[i] != (uint64_t)(uintptr_t)theirs[i] && (i == 0 || ours[i] != (uint64_t)(uintptr_t)theirs[i] + 1))
            return false;
    return true;
}

static void compare_with(struct thread *self, const void *frame_address, void *const *theirs, size_t their_count,
                         const char *what)
{
    static __thread uint64_t ours[UNWIND_MAX_FRAMES];
    bool truncated;
    size_t count = unwind_pcs(self, frame_address, ours, UNWIND_MAX_FRAMES, &truncated);
    bool deep = their_count > UNWIND_MAX_FRAMES;
    bool right = deep ? truncated && count >= UNWIND_MAX_FRAMES / 2 && count <= UNWIND_MAX_FRAMES
                      : count == their_count && truncated == expect_truncated;
    if (!right || !same(ours, theirs, count))
        note_wrong(what, ours, count, theirs, their_count);

    uint32_t node = unwind_node(self, frame_address);
    for (size_t i = 0; i < count; i++) {
        struct hs_node is = fake_node(node);
        if (!node || is.kind != HS_NODE_NATIVE || (is.frame & HS_ADDRESS_MASK) != ours[i]) {
            note_wrong("node", ours, count, theirs, their_count);
            return;
        }
        node = is.parent;
    }
    if (truncated ? fake_node(node).kind != HS_NODE_TRUNCATED || fake_node(node).parent : node)
        note_wrong("root node", ours, count, theirs, their_count);
}

/* The callback of the shapes: with the thread's cache, and now and then with none. */
static NOINLINE void compare(void)
{
    static __thread void *theirs[MANY];
    static __thread struct thread cold;
    int error = errno;
    int count = unw_backtrace(theirs, MANY);
    if (count < 2) {
        wrong++;
        return;
    }
    const void *frame = __builtin_frame_address(0);
    compare_with(thread_self, frame, theirs + 1, (size_t)count - 1, "remembered");
    cold.tid = thread_self->tid;
    if (cold.native.stack && compared % 2)
        memset(cold.native.stack, 0,
               64); /* forgets how deep it was: the memory is the unwinder's, the test knows its head */
    compare_with(&cold, frame, theirs + 1, (size_t)count - 1, "cold");
    compared++;
    errno = error;
}

static void report(void)
{
    if (wrong)
        fprintf(stderr, "%u comparisons failed; the first: %s\n", wrong, first_wrong);
    unsigned count = wrong;
    wrong = 0;
    assert_int_equal(count, 0);
}

static int setup(void **state)
{
    (void)state;
    fake_self();
    void *warm[8];
    assert_true(unw_backtrace(warm, 8) > 0);
    return 0;
}

/* ---- call frames of every kind ---- */

static NOINLINE void run_shapes(const struct shapes *shapes)
{
    shapes->plain(compare);
    for (unsigned depth = 0; depth < 40; depth++) {
        shapes->recursion(depth, compare);
        shapes->big_frames(depth % 20, compare);
        shapes->variable_frames(depth, compare);
        shapes->realigned(depth, compare);
        shapes->many_registers(depth, compare);
    }
    shapes->through_libc(compare);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < HS_COUNT_OF(all_shapes); i++)
        run_shapes(all_shapes[i]);
    report();
}

static NOINLINE void run_mixed(unsigned from, unsigned count)
{
    for (unsigned seed = from; seed < from + count; seed++) {
        all_shapes[seed % HS_COUNT_OF(all_shapes)]->mixed(seed / 3, seed % 23, compare);
        all_shapes[seed % 3]->mixed(seed / 2, seed % 5, compare);
    }
}

static void test_mixed(void **state)
{
    (void)state;
    run_mixed(0, 6000);
    report();
}

/* The same callers again and again, with other callees: what a remembered stack is for, and where it could go wrong. */
static NOINLINE void outer(unsigned seed, unsigned depth)
{
    if (depth) {
        volatile unsigned more = seed;
        outer(seed * 7 + 1, depth - 1);
        all_shapes[more % 4]->mixed(more, more % 6, compare);
        compare();
        return;
    }
    run_mixed(seed, 10);
}

static void test_changing_callees(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 60; seed++)
        outer(seed, seed % 30);
    report();
}

static void *find_cpp(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "libunwind_shapes_cpp.so");
    return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void test_cpp(void **state)
{
    (void)state;
    void *library = find_cpp();
    if (!library)
        skip();
    void (*shapes_cpp)(int, shape_callback);
    *(void **)&shapes_cpp = dlsym(library, "shapes_cpp");
    assert_non_null(shapes_cpp);
    for (int depth = 0; depth < 30; depth++)
        shapes_cpp(depth, compare);
    report();
    dlclose(library);
    unwind_modules_changed();
}

/* ---- depth ---- */

static uint32_t last_node;
static size_t last_count;
static bool last_truncated;

static NOINLINE void take_node(void)
{
    static uint64_t pcs[UNWIND_MAX_FRAMES];
    last_node = unwind_node(thread_self, __builtin_frame_address(0));
    last_count = unwind_pcs(thread_self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &last_truncated);
}

static void test_deep(void **state)
{
    (void)state;
    for (unsigned depth = 480; depth < 530; depth++)
        shapes_O2.recursion(depth, compare);
    for (unsigned depth = 0; depth < 3000; depth += 331) {
        shapes_O0.recursion(depth, compare);
        shapes_fp.variable_frames(depth, compare);
    }
    report();

    /* Every level of a deep recursion allocates: the number of nodes grows with the levels, not with levels times
     * frames. */
    shapes_fp.recursion(0, take_node);
    size_t least = last_count;
    uint32_t before = fake_node_count();
    for (unsigned depth = 0; depth < 4000; depth++) {
        shapes_fp.recursion(depth, take_node);
        assert_true(last_count <= UNWIND_MAX_FRAMES);
        assert_true(last_count >= (depth < 256 ? depth : 256));
        assert_int_equal(last_truncated, last_count != least + depth);
    }
    assert_true(fake_node_count() - before < 4000 * 24);
}

/* ---- signals ---- */

static void on_signal(int number)
{
    (void)number;
    compare();
    shapes_O2.mixed((unsigned)compared, 5, compare);
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void raise_here(void)
{
    raise(SIGUSR1);
}

static void raise_twice(void)
{
    raise(SIGUSR1);
    compare();
    raise(SIGUSR1);
}

static void run_signals(int flags)
{
    handle(SIGUSR1, on_signal, flags);
    for (unsigned seed = 0; seed < 200; seed++)
        all_shapes[seed % 4]->mixed(seed, seed % 9, seed % 2 ? raise_here : raise_twice);
    handle(SIGUSR1, SIG_DFL, 0);
    report();
}

static void test_signal(void **state)
{
    (void)state;
    run_signals(0);
}

static void test_signal_alternate_stack(void **state)
{
    (void)state;
    static char alternate[256 * 1024];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    assert_int_equal(sigaltstack(&stack, NULL), 0);
    run_signals(SA_ONSTACK);
    /* The handler's stack above the interrupted one: addresses then go down at the signal frame. */
    struct thread *self = thread_self;
    char *high = mmap(NULL, 256 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack.ss_sp = high;
    assert_int_equal(sigaltstack(&stack, NULL), 0);
    run_signals(SA_ONSTACK);
    self->stack_low = self->stack_high = 0; /* the interrupted stack's bounds unknown, too */
    run_signals(SA_ONSTACK);
    stack.ss_flags = SS_DISABLE;
    assert_int_equal(sigaltstack(&stack, NULL), 0);
    munmap(high, 256 * 1024);
    unwind_unmapped(high, 256 * 1024);
    report();
}

/*
 * At every single instruction, with the trap flag. libunwind does not survive that, so the truth is told by the steps
 * themselves: what a call pushed and no return popped yet.
 */
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
    handle(SIGTRAP, SIG_DFL, 0);
    assert_true(stepped.steps > 10000);
    assert_true(stepped.unknown < stepped.steps / 20);
    report();
}

/* ---- threads ---- */

struct job {
    unsigned seed, rounds;
    bool bounds;
    unsigned wrong;
};

static void *run_job(void *argument)
{
    struct job *job = argument;
    struct thread *self = fake_self();
    if (job->bounds) {
        pthread_attr_t attributes;
        void *low;
        size_t size;
        pthread_getattr_np(pthread_self(), &attributes);
        pthread_attr_getstack(&attributes, &low, &size);
        pthread_attr_destroy(&attributes);
        self->stack_low = (uintptr_t)low;
        self->stack_high = (uintptr_t)low + size;
    }
    run_mixed(job->seed, job->rounds);
    job->wrong = wrong;
    if (wrong)
        fprintf(stderr, "in a thread: %s\n", first_wrong);
    return NULL;
}

static void run_threads(unsigned rounds)
{
    struct job jobs[8];
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
        jobs[i] = (struct job){.seed = i * 1000, .rounds = rounds, .bounds = i % 2};
        assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(jobs[i].wrong, 0);
}

static void test_threads(void **state)
{
    (void)state;
    run_threads(600);
    report();
}

/* ---- coroutines ---- */

static ucontext_t main_context, coroutine_context;

static void coroutine(void)
{
    for (unsigned seed = 0;; seed++) {
        expect_truncated = true; /* libc's function below a coroutine has no unwind information */
        all_shapes[seed % 4]->mixed(seed, seed % 7, compare);
        expect_truncated = false;
        swapcontext(&coroutine_context, &main_context);
    }
}

static void test_coroutines(void **state)
{
    (void)state;
    /* The kernel is asked for pages, so a stack may end anywhere: here each ends at a page without permission. */
    size_t room = 512 * 1024;
    char *memory = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    for (unsigned round = 0; round < 40; round++) {
        /* Another stack at an overlapping place each time; the pages above the new one are gone. */
        size_t size = (round % 2 ? 200 : 240) * 1024, end = room - (round % 5) * 8192 - 4096;
        assert_int_equal(mprotect(memory, room, PROT_NONE), 0);
        unwind_unmapped(memory, room);
        assert_int_equal(mprotect(memory + end - size, size, PROT_READ | PROT_WRITE), 0);
        getcontext(&coroutine_context);
        coroutine_context.uc_stack.ss_sp = memory + end - size;
        coroutine_context.uc_stack.ss_size = size;
        coroutine_context.uc_link = &main_context;
        makecontext(&coroutine_context, coroutine, 0);
        for (unsigned turn = 0; turn < 20; turn++) {
            swapcontext(&main_context, &coroutine_context);
            if (round % 3)
                compare();
        }
    }
    munmap(memory, room);
    unwind_unmapped(memory, room);
    report();
}

/* ---- code without unwind information ---- */

/* void bare_entry(void (*callback)(void)): as a program's entry, without unwind information and with 0 in rbp. */
void bare_entry(shape_callback callback);
__asm__(".pushsection .text\n"
        ".type bare_entry, @function\n"
        "bare_entry:\n"
        "push %rbp\n xor %ebp, %ebp\n call *%rdi\n pop %rbp\n ret\n"
        ".size bare_entry, . - bare_entry\n"
        ".popsection\n");

static void test_generated_code(void **state)
{
    (void)state;
    static const uint8_t with_frame[] = {0x55, 0x48, 0x89, 0xe5,
                                         0xff, 0xd7, 0x5d, 0xc3}; /* push rbp; mov rsp, rbp; call rdi */
    static const uint8_t without[] = {0x48, 0x83, 0xec, 0x08, 0xff, 0xd7, 0x48, 0x83, 0xc4, 0x08, 0xc3};
    static const uint8_t clobbered[] = {0x55, 0x48, 0x31, 0xed, 0xff, 0xd7, 0x5d, 0xc3}; /* ... xor rbp, rbp */
    char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(code, MAP_FAILED);
    memcpy(code, with_frame, sizeof with_frame);
    memcpy(code + 64, without, sizeof without);
    memcpy(code + 128, clobbered, sizeof clobbered);
    void (*run)(shape_callback);

    *(void **)&run = code;
    run(take_node);
    assert_false(last_truncated);
    size_t count = last_count;
    take_node();
    assert_int_equal(count, last_count + 1);

    *(void **)&run = code + 128;
    run(take_node);
    assert_true(last_truncated);
    assert_int_equal(last_count, 1);
    uint32_t root = fake_node(last_node).parent;
    assert_int_equal(fake_node(root).kind, HS_NODE_TRUNCATED);

    bare_entry(take_node);
    assert_false(last_truncated);
    assert_int_equal(last_count, 1);
    assert_int_equal(fake_node(last_node).parent, 0);

    *(void **)&run = code + 64; /* whatever rbp is there, it ends well */
    for (unsigned i = 0; i < 3; i++) {
        run(take_node);
        assert_true(last_count >= 1);
    }
    munmap(code, 4096);
}

/* ---- hostile stacks ---- */

static uint64_t random_state = 1;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Words that lead an unwinder astray: real return addresses, addresses of this stack, near misses, and garbage. */
static uint64_t evil_word(const uint64_t *pcs, size_t count, uintptr_t low, uintptr_t high)
{
    switch (random_word() % 8) {
    case 0:
    case 1:
    case 2:
        return pcs[random_word() % count];
    case 3:
        return low + random_word() % (high - low) / 8 * 8;
    case 4:
        return high - random_word() % 64;
    case 5:
        return low + random_word() % (2 * (high - low));
    case 6:
        return pcs[random_word() % count] + random_word() % 256;
    default:
        return random_word() >> random_word() % 64;
    }
}

static uint64_t hostile_pcs[MANY];
static size_t hostile_pc_count;

static NOINLINE void collect(void)
{
    bool truncated;
    uint64_t pcs[UNWIND_MAX_FRAMES];
    size_t count = unwind_pcs(thread_self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &truncated);
    for (size_t i = 0; i < count && hostile_pc_count < MANY; i++)
        hostile_pcs[hostile_pc_count++] = pcs[i];
}

static void collect_in_handler(int number)
{
    (void)number;
    collect();
}

static void test_hostile_stacks(void **state)
{
    (void)state;
    handle(SIGUSR1, collect_in_handler, 0);
    for (unsigned seed = 0; seed < 40; seed++)
        all_shapes[seed % 4]->mixed(seed, 5, seed % 4 ? collect : raise_here);
    handle(SIGUSR1, SIG_DFL, 0);
    assert_true(hostile_pc_count > 200);

    size_t size = 16 * 4096;
    char *memory = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    uintptr_t low = (uintptr_t)memory + 4096, high = low + size;
    assert_int_equal(mprotect((void *)low, size, PROT_READ | PROT_WRITE), 0);
    uint64_t *words = (uint64_t *)low;

    static struct thread victims[2];
    victims[1].stack_low = low;
    victims[1].stack_high = high;
    victims[0].tid = victims[1].tid = 1;
    uint64_t pcs[UNWIND_MAX_FRAMES];
    size_t frames = 0;
    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i < size / 8; i++)
            words[i] = evil_word(hostile_pcs, hostile_pc_count, low, high);
        for (unsigned start = 0; start < 300; start++) {
            uintptr_t frame = low + random_word() % (size - 16) / 16 * 16;
            if (start % 3 == 0)
                frame = start % 2 ? high - 16 : low; /* at the very edges */
            for (unsigned i = 0; i < 2; i++) {
                bool truncated;
                uint32_t node = unwind_node(&victims[i], (const void *)frame);
                size_t count = unwind_pcs(&victims[i], (const void *)frame, pcs, UNWIND_MAX_FRAMES, &truncated);
                assert_true(count <= UNWIND_MAX_FRAMES);
                assert_true(!count || node);
                frames += count;
                if (count)
                    assert_int_equal(fake_node(node).frame & HS_ADDRESS_MASK, pcs[0] & HS_ADDRESS_MASK);
            }
            words[random_word() % (size / 8)] = evil_word(hostile_pcs, hostile_pc_count, low, high);
        }
    }
    assert_true(frames > 200 * 300);

    /* A remembered stack of which the outer part is gone. */
    for (size_t i = 0; i < size / 8; i++)
        words[i] = hostile_pcs[0];
    unwind_node(&victims[0], (const void *)low);
    assert_int_equal(mprotect((void *)(low + 4096), size - 4096, PROT_NONE), 0);
    unwind_unmapped((void *)(low + 4096), size - 4096);
    unwind_node(&victims[0], (const void *)low);
    unwind_node(&victims[0], (const void *)(low + 4096 - 16));
    munmap(memory, size + 8192);
    unwind_unmapped(memory, size + 8192);
}

/* Real calls on a stack whose outer part has been spoiled. */
static ucontext_t spoiled_context;
static uint64_t *spoil_from, *spoil_to;

static NOINLINE void spoil_and_unwind(void)
{
    static uint64_t saved[65536];
    uint64_t *from = (uint64_t *)__builtin_frame_address(0) + 2;
    size_t count = (size_t)(spoil_to - from);
    memcpy(saved, from, count * 8);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++)
            from[random_word() % count] =
                evil_word(hostile_pcs, hostile_pc_count, (uintptr_t)from, (uintptr_t)spoil_to);
        unwind_node(thread_self, __builtin_frame_address(0));
    }
    memcpy(from, saved, count * 8);
}

static void spoiled(void)
{
    for (unsigned seed = 0; seed < 300; seed++)
        all_shapes[seed % 4]->mixed(seed, 10, spoil_and_unwind);
    swapcontext(&spoiled_context, &main_context);
}

static void test_spoiled_stack(void **state)
{
    (void)state;
    size_t size = 256 * 1024;
    char *memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(mprotect(memory + size, 4096, PROT_NONE), 0);
    spoil_from = (uint64_t *)memory;
    spoil_to = (uint64_t *)(memory + size);
    getcontext(&spoiled_context);
    spoiled_context.uc_stack.ss_sp = memory;
    spoiled_context.uc_stack.ss_size = size;
    makecontext(&spoiled_context, spoiled, 0);
    swapcontext(&main_context, &spoiled_context);
    munmap(memory, size + 4096);
    unwind_unmapped(memory, size + 4096);
    compare();
    report();
}

/* ---- modules ---- */

static const struct fake_module *find_module(const char *part, unsigned from)
{
    for (unsigned i = from; i < fake_module_count; i++)
        if (part ? strstr(fake_modules[i].path, part) != NULL : !fake_modules[i].path[0])
            return &fake_modules[i];
    return NULL;
}

static void test_modules(void **state)
{
    (void)state;
    shapes_O2.through_libc(compare);
    const struct fake_module *libc = find_module("libc.so", 0), *program = find_module(NULL, 0);
    assert_non_null(libc);
    assert_non_null(program);
    uintptr_t here = (uintptr_t)test_modules;
    assert_inside(here, program->message.start, program->message.end - 1);
    assert_true(libc->message.build_id_length >= 16);
    assert_inside((uintptr_t)dlsym(RTLD_DEFAULT, "qsort"), libc->message.start, libc->message.end - 1);
    Dl_info info;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "qsort"), &info));
    assert_int_equal(libc->message.bias, (uintptr_t)info.dli_fbase);
    assert_null(strstr(libc->path, "ld-linux"));

    uint32_t before = fake_module_count;
    for (unsigned i = 0; i < 100; i++)
        shapes_O2.through_libc(compare);
    unwind_modules_changed(); /* nothing is gone: nothing is announced anew */
    shapes_O2.through_libc(compare);
    assert_int_equal(fake_module_count, before);
    uint64_t pc = (uint64_t)(uintptr_t)test_modules + 8;
    assert_int_equal(unwind_frame(thread_self, pc), modules_epoch(modules_generation) << 48 | pc);
    assert_int_equal(fake_module_count, before);
    report();
}

static void test_unloading(void **state)
{
    (void)state;
    void *library = find_cpp();
    if (!library)
        skip();
    for (unsigned round = 0; round < 5; round++) {
        void (*shapes_cpp)(int, shape_callback);
        *(void **)&shapes_cpp = dlsym(library, "shapes_cpp");
        assert_non_null(shapes_cpp);
        uint32_t announced = fake_module_count, generation = modules_generation;
        shapes_cpp(3, compare);
        const struct fake_module *module = find_module("unwind_shapes_cpp", announced);
        assert_non_null(module);
        assert_int_equal(module->message.epoch, generation);
        assert_inside((uintptr_t)shapes_cpp, module->message.start, module->message.end - 1);
        dlclose(library);
        unwind_modules_changed();
        compare();
        assert_int_equal(modules_generation, generation + 1);
        assert_non_null(find_module(NULL, announced + 1)); /* the executable again, in the new epoch */
        library = find_cpp();
        unwind_modules_changed();
        assert_non_null(library);
    }
    dlclose(library);
    unwind_modules_changed();
    compare();
    report();
}

static _Atomic bool churning;

static void *churn_modules(void *argument)
{
    unsigned *rounds = argument;
    while (churning && *rounds < 2000) {
        void *library = find_cpp();
        unwind_modules_changed();
        if (library)
            dlclose(library);
        unwind_modules_changed();
        ++*rounds;
    }
    return NULL;
}

/* Threads unwind while another one loads and unloads a module, and the rules are forgotten under their feet. */
static void test_unloading_under_threads(void **state)
{
    (void)state;
    unsigned rounds = 0;
    pthread_t thread;
    churning = true;
    assert_int_equal(pthread_create(&thread, NULL, churn_modules, &rounds), 0);
    for (unsigned i = 0; i < 4; i++) {
        run_threads(100);
        rules_forget();
    }
    churning = false;
    pthread_join(thread, NULL);
    assert_true(rounds > 0);
    report();
}

/* ---- damaged unwind tables ---- */

static void test_damaged_tables(void **state)
{
    (void)state;
    struct module_range module;
    uintptr_t qsort_pc = (uintptr_t)dlsym(RTLD_DEFAULT, "qsort");
    assert_true(modules_find(qsort_pc, &module));
    size_t size = (module.end - module.start + 4095) & ~(size_t)4095;
    /* A copy of libc without a byte readable behind it; what it says of itself is relative to itself. */
    char *copy = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(copy, MAP_FAILED);
    copy += 4096;
    assert_int_equal(mprotect(copy, size, PROT_READ | PROT_WRITE), 0);
    for (size_t at = 0; at < size; at += 4096)
        modules_copy(copy + at, module.start + at, 4096); /* holes stay zero */
    size_t tables = (uintptr_t)module.eh_frame_hdr - module.start;
    struct module_range other = {(uintptr_t)copy, (uintptr_t)copy + size, NULL, (const uint8_t *)copy + tables};
    uintptr_t moved = (uintptr_t)copy - module.start;

    unsigned frames = 0;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t pc = qsort_pc + i * 16;
        struct unwind_rule ours = unwind_cfi_rule(pc, &module), theirs = unwind_cfi_rule(pc + moved, &other);
        assert_memory_equal(&ours, &theirs, sizeof ours);
        frames += ours.kind == UNWIND_FRAME;
    }
    assert_true(frames > 500);

    /* Bits are flipped in the header, the table and the records until little is left; nothing outside is touched. */
    size_t reach = size - tables < 150000 ? size - tables : 150000;
    for (unsigned round = 0; round < 4000; round++) {
        for (unsigned i = 0; i < 10; i++) {
            size_t at = tables + random_word() % (round % 50 ? reach : 12);
            copy[at] = (char)(round % 3 ? copy[at] ^ 1 << random_word() % 8 : (char)random_word());
        }
        if (round % 50 < 25) /* most of the time the header is whole */
            memcpy(copy + tables, module.eh_frame_hdr, 12);
        for (unsigned i = 0; i < (round % 50 < 25 ? 100 : 4); i++)
            unwind_cfi_rule((uintptr_t)copy + random_word() % size, &other);
    }
    munmap(copy - 4096, size + 8192);
}

/* ---- an interpreter ---- */

static NOINLINE void compare_from_python(void)
{
    compare();
}

static void test_python(void **state)
{
    (void)state;
    static const char *const names[] = {"libpython3.11.so.1.0", "libpython3.13.so.1.0", "libpython3.12.so.1.0",
                                        "libpython3.14.so.1.0"};
    void *library = NULL;
    for (size_t i = 0; i < HS_COUNT_OF(names) && !library; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        skip();
    void (*initialize)(int);
    int (*run)(const char *, void *);
    *(void **)&initialize = dlsym(library, "Py_InitializeEx");
    *(void **)&run = dlsym(library, "PyRun_SimpleStringFlags");
    assert_true(initialize && run);
    char program[2048];
    snprintf(program, sizeof program,
             "import ctypes, re, json\n"
             "compare = ctypes.CFUNCTYPE(None)(%lu)\n"
             "class Deep:\n"
             "    def __init__(self, n): self.n = n\n"
             "    def __lt__(self, other):\n"
             "        compare()\n"
             "        return self.n < other.n\n"
             "def walk(n):\n"
             "    if not n:\n"
             "        sorted([Deep(2), Deep(1), Deep(3)])\n"
             "        re.sub('a', lambda m: (compare(), 'b')[1], 'aa')\n"
             "        json.loads('[1, {\"a\": 2}]', object_hook=lambda d: compare())\n"
             "        return 1\n"
             "    return [walk(n - 1) for _ in range(2)][0] if n %% 2 else max((walk(n - 1) for _ in range(1)))\n"
             "for n in range(9): walk(n)\n",
             (unsigned long)(uintptr_t)compare_from_python);
    initialize(0);
    uint64_t before = compared;
    assert_int_equal(run(program, NULL), 0);
    assert_true(compared - before > 100);
    report();
}

/* ---- odds and ends ---- */

static void test_no_memory(void **state)
{
    (void)state;
    static struct thread poor;
    poor.tid = thread_self->tid;
    fake_no_memory = true;
    bool truncated = false;
    uint64_t pcs[4];
    assert_int_equal(unwind_node(&poor, __builtin_frame_address(0)), 0);
    assert_int_equal(unwind_pcs(&poor, __builtin_frame_address(0), pcs, 4, &truncated), 0);
    assert_true(truncated);
    fake_no_memory = false;
    assert_true(unwind_node(&poor, __builtin_frame_address(0)) != 0);
    assert_int_equal(unwind_pcs(&poor, __builtin_frame_address(0), pcs, 1, &truncated), 1);
    assert_true(truncated);
}

static NOINLINE void twice(void)
{
    uint64_t calls = fake_node_calls;
    uint32_t first = unwind_node(thread_self, __builtin_frame_address(0));
    if (fake_node_calls > calls)
        calls = fake_node_calls;
    uint32_t second = unwind_node(thread_self, __builtin_frame_address(0));
    if (first != second || fake_node_calls != calls)
        wrong++;
}

/* A stack that did not change asks for no node, and one whose inner frames changed asks for those only. */
static void test_nodes_are_remembered(void **state)
{
    (void)state;
    shapes_O2.recursion(100, twice);
    shapes_O2.recursion(100, take_node);
    uint64_t calls = fake_node_calls;
    shapes_O2.recursion(100, take_node);
    assert_true(fake_node_calls - calls <= 110);
    report();
    take_node();
    calls = fake_node_calls;
    shapes_O2.plain(take_node);
    assert_true(fake_node_calls - calls <= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_changing_callees),
        cmocka_unit_test(test_cpp),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_signal_alternate_stack),
        cmocka_unit_test(test_every_instruction),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_coroutines),
        cmocka_unit_test(test_generated_code),
        cmocka_unit_test(test_hostile_stacks),
        cmocka_unit_test(test_spoiled_stack),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_unloading),
        cmocka_unit_test(test_unloading_under_threads),
        cmocka_unit_test(test_damaged_tables),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_nodes_are_remembered),
        cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
