/*
 * test_unwind_modules.c - which modules the unwinder announces for the frames that it meets, and when some are
 * unloaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "modules.h"
#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_referee.h"
#include "unwind_rules.h"

static void assert_inside(uintptr_t address, uint64_t first, uint64_t last)
{
    assert_true(address >= first && address <= last);
}

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
    void *library = open_cpp_shapes();
    assert_non_null(library); /* built with this test */
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
        library = open_cpp_shapes();
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
        void *library = open_cpp_shapes();
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
        compare_in_threads(100);
        rules_forget();
    }
    churning = false;
    pthread_join(thread, NULL);
    assert_true(rounds > 0);
    report();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_unloading),
        cmocka_unit_test(test_unloading_under_threads),
    };
    return cmocka_run_group_tests(tests, referee_setup, NULL);
}
