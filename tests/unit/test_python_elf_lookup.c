/* Symbols found by reading the loader's tables are those that the loader finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <string.h>

#include "python/elf_lookup.h"

static const struct link_map *find_module(const char *part)
{
    for (const struct link_map *module = elf_first_module(); module; module = module->l_next) {
        if (strstr(module->l_name, part))
            return module;
    }
    return NULL;
}

static void the_list_begins_with_the_program(void **state)
{
    (void)state;
    const struct link_map *program = elf_first_module();
    assert_non_null(program);
    assert_string_equal(program->l_name, "");
    assert_non_null(find_module("libc.so"));
    assert_non_null(find_module("libcmocka"));
}

static void finds_what_dlsym_finds(void **state)
{
    (void)state;
    static const char *const names[] = {"strtol", "qsort", "fprintf", "getenv", "environ", "stdout", "snprintf"};
    const struct link_map *libc = find_module("libc.so");
    assert_non_null(libc);
    void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *expected = dlsym(handle, names[i]);
        assert_non_null(expected);
        assert_ptr_equal(elf_find_symbol(libc, names[i]), expected);
    }
    assert_ptr_equal(elf_find_symbol(find_module("libcmocka"), "_cmocka_run_group_tests"),
                     dlsym(RTLD_DEFAULT, "_cmocka_run_group_tests"));
    dlclose(handle);
}

static void does_not_find_what_is_not_defined_there(void **state)
{
    (void)state;
    assert_null(elf_find_symbol(find_module("libc.so"), "no_such_function_anywhere"));
    assert_null(elf_find_symbol(find_module("libc.so"), ""));
    /* libcmocka calls malloc, but does not define it */
    assert_null(elf_find_symbol(find_module("libcmocka"), "malloc"));
    for (const struct link_map *module = elf_first_module(); module; module = module->l_next)
        assert_null(elf_find_symbol(module, "PyMem_SetAllocator"));
}

static void finds_what_was_opened_locally(void **state)
{
    (void)state;
    void *handle = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(handle);
    const struct link_map *module = find_module("libm.so");
    assert_non_null(module);
    assert_non_null(dlsym(handle, "erf"));
    assert_ptr_equal(elf_find_symbol(module, "erf"), dlsym(handle, "erf"));
    dlclose(handle);
}

static void makes_up_no_address_for_what_the_processor_decides(void **state)
{
    (void)state;
    /* an IFUNC: dlsym would call it to learn the address */
    assert_null(elf_find_symbol(find_module("libc.so"), "strlen"));
}

static void dlerror_stays_as_it_was(void **state)
{
    (void)state;
    assert_null(dlopen("no-such-library.so", RTLD_NOW));
    assert_null(elf_find_symbol(elf_first_module(), "no_such_function_anywhere"));
    const char *error = dlerror();
    assert_non_null(error);
    assert_non_null(strstr(error, "no-such-library.so"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_begins_with_the_program),
        cmocka_unit_test(finds_what_dlsym_finds),
        cmocka_unit_test(does_not_find_what_is_not_defined_there),
        cmocka_unit_test(finds_what_was_opened_locally),
        cmocka_unit_test(makes_up_no_address_for_what_the_processor_decides),
        cmocka_unit_test(dlerror_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
