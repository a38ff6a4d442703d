/* The loader's list is walked while modules go: their entries are overwritten here as soon as that has happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "module_list.h"
#include "modules.h"
#include "python/elf_lookup.h"

#define OPENED "libm.so.6" /* by these tests alone */

/* ---- of modules.c ---- */

bool modules_copy(void *to, uintptr_t from, size_t length)
{
    struct iovec here = {to, length}, there = {(void *)from, length};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)length;
}

bool modules_find(uintptr_t pc, struct module_range *range)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)pc, &found) != 0)
        return false;
    range->map = found.dlfo_link_map;
    return true;
}

/* ---- */

static bool find(const char *name, struct module_entry *entry, struct module_entry *before)
{
    char its[64];
    *before = (struct module_entry){0};
    for (bool more = module_list_first(entry); more; more = module_list_next(entry)) {
        module_list_name(entry, its, sizeof its);
        if (strcmp(its, name) == 0)
            return true;
        *before = *entry;
    }
    return false;
}

static void has_all_entries_in_their_order(void **state)
{
    (void)state;
    struct module_entry entry;
    const struct link_map *module = elf_first_module();
    assert_true(module_list_first(&entry));
    for (; module->l_next; module = module->l_next) {
        char name[256];
        const char *slash = strrchr(module->l_name, '/');
        module_list_name(&entry, name, sizeof name);
        assert_string_equal(name, slash ? slash + 1 : module->l_name);
        assert_ptr_equal(entry.map, module);
        assert_true(module_list_next(&entry));
    }
    assert_false(module_list_next(&entry));
}

static void names_are_cut(void **state)
{
    (void)state;
    struct module_entry entry = {.link.l_name = (char *)"/some/folder/libname.so"};
    char name[4];
    module_list_name(&entry, name, sizeof name);
    assert_string_equal(name, "lib");
    entry.link.l_name = (char *)(uintptr_t)8;
    module_list_name(&entry, name, sizeof name);
    assert_string_equal(name, "");
    entry.link.l_name = NULL;
    module_list_name(&entry, name, sizeof name);
    assert_string_equal(name, "");
}

static void what_comes_later_follows(void **state)
{
    (void)state;
    struct module_entry entry, before;
    assert_false(find(OPENED, &entry, &before));
    assert_true(module_list_again(&before)); /* the last one */
    assert_false(module_list_next(&before));
    void *module = dlopen(OPENED, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    entry = before;
    assert_false(module_list_next(&entry)); /* it is a copy */
    assert_true(module_list_again(&before));
    assert_true(module_list_next(&before));
    assert_true(module_list_again(&before));
    assert_false(module_list_next(&before));
    assert_int_equal(dlclose(module), 0);
}

static void what_has_gone_is_not_touched(void **state)
{
    (void)state;
    struct module_entry entry, before;
    struct link_map freed;
    static void *blocks[200];
    void *module = dlopen(OPENED, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    assert_true(find(OPENED, &entry, &before));
    assert_int_equal(dlclose(module), 0);
    for (size_t i = 0; i < 200; i++) {
        assert_non_null(blocks[i] = malloc(400 + 16 * i));
        memset(blocks[i], 0xee, 400 + 16 * i);
    }
    assert_true(modules_copy(&freed, (uintptr_t)entry.map, sizeof freed));
    assert_int_equal((uintptr_t)freed.l_next, UINT64_C(0xeeeeeeeeeeeeeeee)); /* who followed this would die of it */
    assert_false(module_list_again(&entry));
    entry = before;
    assert_false(module_list_next(&entry));
    assert_true(module_list_again(&before));
    assert_false(module_list_next(&before));
    for (size_t i = 0; i < 200; i++)
        free(blocks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_all_entries_in_their_order),
        cmocka_unit_test(names_are_cut),
        cmocka_unit_test(what_comes_later_follows),
        cmocka_unit_test(what_has_gone_is_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
