/*
 * test_unwind.c - native stacks against libunwind's, over call frames of every kind (preload/unwind.c and what it
 * stands on).
 *
 * It and its neighbours test_unwind_*.c are built three times: as they are; with MODULES_TEST_OLD_GLIBC, where modules
 * are found without _dl_find_object; and with a gap between the segments of the executable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "modules.h"
#include "stack_table.h"
#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_referee.h"

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

static void test_cpp(void **state)
{
    (void)state;
    void *library = open_cpp_shapes();
    assert_non_null(library); /* built with this test */
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

/* ---- threads ---- */

static void test_threads(void **state)
{
    (void)state;
    compare_in_threads(600);
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
        note_wrong("a node that was there", NULL, 0, NULL, 0);
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
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_coroutines),
        cmocka_unit_test(test_generated_code),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_nodes_are_remembered),
        cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, referee_setup, NULL);
}
