/* test_demangle.c - names that are mangled, names that are not, and names that only look so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "symbols/demangle.h"

static void readable(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"_Z3fooi", "foo(int)"},
        {"_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"},
        {"_ZN12_GLOBAL__N_11SD2Ev", "(anonymous namespace)::S::~S()"},
        {"_Z3fooi.cold", "foo(int)"},
        {"_Z3foov.part.0.cold", "foo()"},
        {"_ZN3foo3barEv.llvm.1234", "foo::bar()"},
        {"_ZTV3foo", "vtable for foo"},
        {"_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"},
        {"_ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE.llvm.99",
         "core::ops::function::FnOnce::call_once"},
        {"_RNvCs1234_7mycrate4main", "mycrate::main"},
        {"_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"},
    };
    for (size_t i = 0; i < HS_COUNT_OF(names); i++) {
        char *name = demangle(names[i][0]);
        assert_non_null(name);
        assert_string_equal(name, names[i][1]);
        free(name);
    }
}

static void left_alone(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",         "_",        "main",  "_exit",    "_Z",           "_ZZZZZZ",
        "_R",       "_RN",      "Zfoo",  "_start",   "main.cold",    "_Zfoo",
        "_ReadAll", "_RESTART", "_Z3fo", "__Z3foov", "malloc@GLIBC", "_Z9999999999999x"};
    for (size_t i = 0; i < HS_COUNT_OF(names); i++) {
        char *name = demangle(names[i]);
        if (name)
            fail_msg("%s became %s", names[i], name);
    }
}

static void bounded(void **state)
{
    (void)state;
    /* f(p<p<p<...>>>): doubles with each substitution, to gigabytes if it were let */
    char bomb[2048] = "_Z1fI";
    for (unsigned i = 0; i < 60; i++)
        strcat(bomb, i ? "1pIS_S_E" : "1pIiE");
    strcat(bomb, "EvT_");
    free(demangle(bomb));

    char *deep = malloc(DEMANGLE_MAX_INPUT + 16);
    strcpy(deep, "_Z1f");
    memset(deep + 4, 'P', DEMANGLE_MAX_INPUT - 5);
    strcpy(deep + DEMANGLE_MAX_INPUT - 1, "i");
    char *name = demangle(deep);
    if (name) {
        assert_true(strlen(name) <= DEMANGLE_MAX_OUTPUT);
        assert_string_equal(name + strlen(name) - 3, "...");
    }
    free(name);
    strcat(deep, "PPPPPPi");
    assert_null(demangle(deep));
    free(deep);

    unsigned seed = 7;
    static const char start[] =
        "_ZNSt3mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESt6vectorIS5_SaIS5_EESt4lessI";
    static const char rust[] = "_RNvMNtNtCs1234_4core3str11validationsINtB5_5CharsE4nextCsabc_5crate";
    for (unsigned round = 0; round < 20000; round++) {
        char damaged[256];
        strcpy(damaged, round % 2 ? start : rust);
        for (unsigned i = 0; i < 1 + round % 4; i++)
            damaged[2 + (size_t)rand_r(&seed) % (strlen(damaged) - 2)] = (char)(0x21 + rand_r(&seed) % 0x5e);
        free(demangle(damaged));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable),
        cmocka_unit_test(left_alone),
        cmocka_unit_test(bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
