/*
 * test_remote_python.c - an interpreter that is none: this program has the section that one has, describes itself in it
 * as versions do, and is asked through its own /proc/self/mem. What does not fit together is not written to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal/compiler.h"
#include "record/proc_folder.h"
#include "record/remote_python.h"

/* Where the structures have their fields here. */
enum {
    FINALIZING = 1000,
    INTERPRETERS_HEAD = 1008,
    INTERPRETER = 4096, /* the main one, in the runtime */
    INTERPRETER_SIZE = 8192,
    ID = 16,
    NEXT = 24,
    THREADS_HEAD = 32,
    THREADS_MAIN = 40,
    ENABLED = 100,
    OWN_THREAD = 5120, /* the first thread's state, in the interpreter */
    THREAD_SIZE = 1024,
    THREAD_NEXT = 8,
    THREAD_INTERPRETER = 16,
    BREAKER = 24,
    SUPPORT = 200,
    FLAG = 4,
    SCRIPT = 8,
    SCRIPT_BYTES = 512,
    RUNTIME_SIZE = 16384,
};

__attribute__((section(".PyRuntime"), aligned(64))) static uint8_t runtime[RUNTIME_SIZE] = {1};
static uint8_t other_interpreter[INTERPRETER_SIZE], other_thread[THREAD_SIZE];

static uint64_t debugger_support; /* of _Py_DebugOffsets */

static void put(void *where, size_t offset, uint64_t value)
{
    memcpy((uint8_t *)where + offset, &value, sizeof value);
}

static uint64_t address(const void *what)
{
    return (uintptr_t)what;
}

static uint8_t *main_interpreter(void)
{
    return runtime + INTERPRETER;
}

static uint8_t *own_thread(void)
{
    return main_interpreter() + OWN_THREAD;
}

static void describe(unsigned minor, unsigned level)
{
    memset(runtime, 0, sizeof runtime);
    memset(other_interpreter, 0, sizeof other_interpreter);
    memset(other_thread, 0, sizeof other_thread);
    debugger_support = minor == 14 ? 712 : 840;
    memcpy(runtime, "xdebugpy", 8);
    put(runtime, 8, 0x03000000 | minor << 16 | 2 << 8 | level);
    const uint64_t first[] = {RUNTIME_SIZE, FINALIZING, INTERPRETERS_HEAD, INTERPRETER_SIZE,
                              ID,           NEXT,       THREADS_HEAD,      THREADS_MAIN};
    for (size_t i = 0; i < HS_COUNT_OF(first); i++)
        put(runtime, 24 + 8 * i, first[i]);
    const uint64_t thread[] = {THREAD_SIZE, 0, THREAD_NEXT, THREAD_INTERPRETER};
    for (size_t i = 0; i < HS_COUNT_OF(thread); i++)
        put(runtime, 176 + 8 * i, thread[i]);
    const uint64_t support[] = {BREAKER, SUPPORT, ENABLED, FLAG, SCRIPT, SCRIPT_BYTES};
    for (size_t i = 0; i < HS_COUNT_OF(support); i++)
        put(runtime, debugger_support + 8 * i, support[i]);
    put(runtime, INTERPRETERS_HEAD, address(main_interpreter()));
    put(main_interpreter(), ENABLED, 1);
    put(main_interpreter(), THREADS_HEAD, address(own_thread()));
    put(main_interpreter(), THREADS_MAIN, address(own_thread()));
    put(own_thread(), THREAD_INTERPRETER, address(main_interpreter()));
}

static int open_python(struct remote_python *python, struct error *error)
{
    struct mapped_files files;
    int folder = proc_folder_open(getpid());
    assert_true(folder >= 0);
    assert_int_equal(mapped_files_read(&files, folder), 0);
    int code = remote_python_open(python, folder, &files, error);
    mapped_files_free(&files);
    close(folder);
    return code;
}

/* It is refused with this code, and a word of the reason; nothing stays open. */
static void assert_refused(int code, const char *word)
{
    struct remote_python python;
    struct error error = {0};
    assert_int_equal(open_python(&python, &error), code);
    assert_int_equal(python.memory, -1);
    if (!strstr(error.text, word))
        fail_msg("\"%s\" does not speak of %s", error.text, word);
}

static struct remote_python assert_found(uint8_t *thread)
{
    struct remote_python python;
    struct error error = {0};
    if (open_python(&python, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(python.breaker, address(thread + BREAKER));
    assert_int_equal(python.flag, address(thread + SUPPORT + FLAG));
    assert_int_equal(python.script, address(thread + SUPPORT + SCRIPT));
    assert_int_equal(python.script_bytes, SCRIPT_BYTES);
    return python;
}

/* ---- finding it ---- */

static void versions(void **state)
{
    (void)state;
    for (unsigned minor = 14; minor <= 15; minor++) {
        describe(minor, 0xf0);
        struct remote_python python = assert_found(own_thread());
        remote_python_close(&python);
        describe(minor, 0xc1);
        assert_refused(-ENOTSUP, "pre-release");
    }
    describe(13, 0xf0);
    assert_refused(-ENOENT, "3.13");
    describe(16, 0xf0);
    assert_refused(-ENOTSUP, "knows too little");
    describe(14, 0xf0);
    put(runtime, 8, 0x040e02f0);
    assert_refused(-ENOTSUP, "4.14");
    describe(14, 0xf0);
    put(runtime, 16, 1);
    assert_refused(-ENOTSUP, "free-threaded");
    describe(14, 0xf0);
    runtime[0] = 'y';
    assert_refused(-ENOENT, "version");
}

static void not_now(void **state)
{
    (void)state;
    describe(14, 0xf0);
    put(main_interpreter(), ENABLED, 0);
    assert_refused(-ENOTSUP, "disable-remote-debug");
    describe(14, 0xf0);
    put(runtime, FINALIZING, 1);
    assert_refused(-ENOTSUP, "ends");
    describe(14, 0xf0);
    put(runtime, INTERPRETERS_HEAD, 0);
    assert_refused(-ENOTSUP, "beginning");
}

static void the_main_interpreter(void **state)
{
    (void)state;
    describe(15, 0xf0);
    put(runtime, INTERPRETERS_HEAD, address(other_interpreter));
    put(other_interpreter, ID, 3);
    put(other_interpreter, NEXT, address(main_interpreter()));
    struct remote_python python = assert_found(own_thread());
    remote_python_close(&python);
    put(other_interpreter, NEXT, address(other_interpreter)); /* for ever */
    assert_refused(-ENOTSUP, "beginning");
    put(other_interpreter, NEXT, 8);
    assert_refused(-ENOTSUP, "beginning");
    put(other_interpreter, ID, 0); /* the main one is a part of the runtime */
    assert_refused(-ENOTSUP, "beginning");
}

static void the_thread(void **state)
{
    (void)state;
    describe(15, 0xf0);
    put(main_interpreter(), THREADS_MAIN, address(other_thread));
    assert_refused(-ENOTSUP, "no main thread"); /* it is of no interpreter */
    put(other_thread, THREAD_INTERPRETER, address(main_interpreter()));
    struct remote_python python = assert_found(other_thread);
    remote_python_close(&python);
    /* none is the main one: the first, at the end of the list */
    put(main_interpreter(), THREADS_MAIN, 0);
    put(main_interpreter(), THREADS_HEAD, address(other_thread));
    put(other_thread, THREAD_NEXT, address(own_thread()));
    python = assert_found(own_thread());
    remote_python_close(&python);
    put(other_thread, THREAD_NEXT, address(other_thread));
    assert_refused(-ENOTSUP, "no main thread");
    put(other_thread, THREAD_NEXT, 0);
    assert_refused(-ENOTSUP, "no main thread");
}

static void fields_beyond_their_structures(void **state)
{
    (void)state;
    const struct {
        size_t offset; /* in the description, or from 10000 on in its last part */
        uint64_t value;
    } wrong[] = {
        {24, RUNTIME_SIZE + 1},
        {32, RUNTIME_SIZE - 4},
        {40, UINT64_MAX},
        {48, RUNTIME_SIZE},
        {56, INTERPRETER_SIZE},
        {64, UINT64_MAX - 3},
        {72, INTERPRETER_SIZE},
        {80, INTERPRETER_SIZE - 7},
        {176, 1 << 21},
        {192, THREAD_SIZE},
        {200, THREAD_SIZE},
        {10000, THREAD_SIZE - 4},
        {10000, BREAKER + 4},
        {10008, THREAD_SIZE},
        {10008, UINT64_MAX},
        {10016, INTERPRETER_SIZE - 3},
        {10024, THREAD_SIZE},
        {10024, FLAG + 2},
        {10032, THREAD_SIZE},
        {10040, THREAD_SIZE},
        {10040, 8},
        {10040, UINT64_MAX},
    };
    for (size_t i = 0; i < HS_COUNT_OF(wrong); i++) {
        describe(14, 0xf0);
        put(runtime, wrong[i].offset < 10000 ? wrong[i].offset : wrong[i].offset - 10000 + debugger_support,
            wrong[i].value);
        assert_refused(-ENOTSUP, "describes itself otherwise");
    }
}

/* ---- asking ---- */

static void a_request(void **state)
{
    (void)state;
    describe(14, 0xf0);
    put(own_thread(), BREAKER, UINT64_C(0xabcdef0000000010));
    struct remote_python python = assert_found(own_thread());
    assert_int_equal(remote_python_state(&python), REQUEST_NONE);
    assert_true(remote_python_name_script(&python, "/tmp/x.py"));
    assert_string_equal((const char *)own_thread() + SUPPORT + SCRIPT, "/tmp/x.py");
    assert_true(remote_python_raise_flag(&python));
    assert_int_equal(remote_python_state(&python), REQUEST_ASLEEP);
    char named[8];
    remote_python_script(&python, named, sizeof named);
    assert_string_equal(named, "/tmp/x.");
    assert_true(remote_python_nudge(&python));
    assert_int_equal(remote_python_state(&python), REQUEST_WAITS);
    uint64_t breaker;
    memcpy(&breaker, own_thread() + BREAKER, sizeof breaker);
    assert_int_equal(breaker, UINT64_C(0xabcdef000000003e)); /* its version is not touched, and no event is lost */
    assert_true(remote_python_lower_flag(&python));
    assert_int_equal(remote_python_state(&python), REQUEST_NONE);
    put(runtime, FINALIZING, address(other_thread));
    assert_int_equal(remote_python_state(&python), REQUEST_NO_MORE);
    remote_python_close(&python);
}

/* What another thread asks for at this moment must not be asked for again once it has had it. */
static void the_gil_is_being_handed_over(void **state)
{
    (void)state;
    describe(14, 0xf0);
    put(own_thread(), BREAKER, 0x11);
    struct remote_python python = assert_found(own_thread());
    assert_false(remote_python_nudge(&python));
    assert_int_equal(own_thread()[BREAKER], 0x11);
    remote_python_close(&python);
}

static void a_path_that_is_too_long(void **state)
{
    (void)state;
    char path[SCRIPT_BYTES + 1];
    describe(14, 0xf0);
    put(own_thread(), SUPPORT + SCRIPT + SCRIPT_BYTES, 0x5555);
    struct remote_python python = assert_found(own_thread());
    memset(path, 'x', sizeof path);
    path[SCRIPT_BYTES] = '\0';
    assert_false(remote_python_name_script(&python, path));
    path[SCRIPT_BYTES - 1] = '\0';
    assert_true(remote_python_name_script(&python, path));
    assert_int_equal(own_thread()[SUPPORT + SCRIPT + SCRIPT_BYTES], 0x55);
    remote_python_close(&python);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions),
        cmocka_unit_test(not_now),
        cmocka_unit_test(the_main_interpreter),
        cmocka_unit_test(the_thread),
        cmocka_unit_test(fields_beyond_their_structures),
        cmocka_unit_test(a_request),
        cmocka_unit_test(the_gil_is_being_handed_over),
        cmocka_unit_test(a_path_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
