/* test_got.c - GOT entries and pointers of a module that is opened here. */
#include <dlfcn.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "got.h"

__attribute__((visibility("default"))) int test_add(int number);
int test_add(int number)
{
    return number + 1;
}

static int other_add(int number)
{
    return number + 100;
}

static int third_add(int number)
{
    return number + 1000;
}

static void listener(void) {}

static void second_listener(void) {}

static const void *address(int (*function)(int))
{
    return (const void *)(uintptr_t)function;
}

static struct module {
    void *handle;
    const struct link_map *map;
    int (*add)(int);
    int (*(*address)(void))(int);
    void (**hook)(void);
} module;

static int open_module(void **state)
{
    (void)state;
    char path[4096];
    Dl_info own;
    /* beside this executable */
    if (!dladdr((const void *)(uintptr_t)open_module, &own))
        return -1;
    const char *slash = strrchr(own.dli_fname, '/');
    snprintf(path, sizeof path, "%.*slibgot_module.so", slash ? (int)(slash - own.dli_fname) + 1 : 0, own.dli_fname);
    module.handle = dlopen(path, RTLD_LAZY);
    if (!module.handle)
        return -1;
    module.map = module.handle;
    *(void **)&module.add = dlsym(module.handle, "got_module_add");
    *(void **)&module.address = dlsym(module.handle, "got_module_address");
    *(void **)&module.hook = dlsym(module.handle, "got_module_hook");
    return module.add && module.address && module.hook ? 0 : -1;
}

static int close_module(void **state)
{
    (void)state;
    return dlclose(module.handle);
}

/* Before the first call the entry is not bound yet. */
static void patches_entries(void **state)
{
    (void)state;
    struct got_patch patches[] = {{"test_add", address(test_add), address(other_add)}, {"absent_too", NULL, NULL}};
    assert_true(got_patch_module(module.map, patches, 2).patched >= 1);
    assert_int_equal(module.add(1), 101);
    assert_int_equal(module.address()(1), 101);
    /* once more: they lead there already */
    assert_true(got_patch_module(module.map, patches, 2).patched >= 1);
    assert_int_equal(module.add(1), 101);
}

static void leaves_other_definitions(void **state)
{
    (void)state;
    struct got_patch foreign = {"test_add", address(third_add), address(third_add)},
                     none = {"test_add", NULL, address(third_add)};
    foreign.replacement = address(test_add);
    assert_int_equal(got_patch_module(module.map, &foreign, 1).patched, 0);
    assert_int_equal(got_patch_module(module.map, &none, 1).patched, 0);
    assert_int_equal(module.add(1), 101);
}

static void fills_pointers(void **state)
{
    (void)state;
    assert_null(*module.hook);
    assert_int_equal(got_fill_pointers(module.map, "test_absent", (const void *)(uintptr_t)listener), 1);
    assert_ptr_equal(*module.hook, listener);
    assert_int_equal(got_fill_pointers(module.map, "test_absent", (const void *)(uintptr_t)second_listener), 1);
    assert_ptr_equal(*module.hook, listener);
    assert_int_equal(got_fill_pointers(module.map, "test_add", (const void *)(uintptr_t)listener), 0);
}

static bool is_test_add(const char *symbol)
{
    return strcmp(symbol, "test_add") == 0;
}

static bool is_nothing(const char *symbol)
{
    return strcmp(symbol, "test_ad") == 0;
}

static void finds_references(void **state)
{
    (void)state;
    assert_true(got_refers(module.map, is_test_add));
    assert_false(got_refers(module.map, is_nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_entries),
        cmocka_unit_test(leaves_other_definitions),
        cmocka_unit_test(fills_pointers),
        cmocka_unit_test(finds_references),
    };
    return cmocka_run_group_tests(tests, open_module, close_module);
}
