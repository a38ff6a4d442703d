/* test_environment.c - our variables leave the environment and come back for an exec (preload/environment.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "environment.h"

static const char *find(char *const *envp, const char *prefix)
{
    const char *found = NULL;
    for (; *envp; envp++)
        if (strncmp(*envp, prefix, strlen(prefix)) == 0) {
            assert_null(found); /* once only */
            found = *envp + strlen(prefix);
        }
    return found;
}

static unsigned count(char *const *envp)
{
    unsigned number = 0;
    while (envp[number])
        number++;
    return number;
}

static void ours_go_the_users_stay(void **state)
{
    (void)state;
    char preload[] = "LD_PRELOAD=/usr/lib/a.so:/opt/lib/libheapsake.so b.so";
    char session[] = "HEAPSAKE_SESSION=name.1";
    char home[] = "HOME=/home/u", path[] = "PATH=/bin", odd[] = "noequals";
    char output[] = "HEAPSAKE_OUTPUT=o.hsk", wanted[] = "HEAPSAKE_OPTIONS=--native";
    char *envp[] = {home, output, preload, odd, session, wanted, path, NULL};
    environment_take(envp);
    assert_string_equal(environment_output(), "o.hsk");
    assert_string_equal(environment_options(), "--native");
    assert_int_equal(count(envp), 4);
    assert_string_equal(find(envp, "LD_PRELOAD="), "/usr/lib/a.so:b.so");
    assert_null(find(envp, "HEAPSAKE_SESSION="));
    assert_string_equal(environment_session(), "name.1");
    assert_string_equal(environment_library(), "/opt/lib/libheapsake.so");
}

static void alone_the_variable_goes(void **state)
{
    (void)state;
    char preload[] = "LD_PRELOAD=/opt/lib/libheapsake.so";
    char similar[] = "LD_PRELOADED=1";
    char *envp[] = {preload, similar, NULL};
    environment_take(envp);
    assert_int_equal(count(envp), 1);
    assert_string_equal(envp[0], "LD_PRELOADED=1");
}

static char **restore(char *const *envp, void **memory)
{
    struct environment_room room = environment_measure(envp);
    assert_true(room.pointers >= count(envp) + 1);
    *memory = malloc(room.pointers * sizeof(char *) + room.bytes); /* exactly: a sanitizer sees one byte more */
    return environment_restore(envp, *memory, (char *)*memory + room.pointers * sizeof(char *));
}

static void an_exec_gets_them_back(void **state)
{
    (void)state;
    void *memory;
    char home[] = "HOME=/home/u", preload[] = "LD_PRELOAD=x.so";
    char *some[] = {home, preload, NULL};
    char **restored = restore(some, &memory);
    assert_int_equal(count(restored), 3);
    assert_string_equal(find(restored, "LD_PRELOAD="), "/opt/lib/libheapsake.so:x.so");
    assert_string_equal(find(restored, "HEAPSAKE_SESSION="), "name.1");
    assert_string_equal(preload, "LD_PRELOAD=x.so"); /* the program's own string is untouched */
    free(memory);

    char *none[] = {NULL};
    restored = restore(none, &memory);
    assert_int_equal(count(restored), 2);
    assert_string_equal(find(restored, "LD_PRELOAD="), "/opt/lib/libheapsake.so");
    free(memory);

    char there[] = "LD_PRELOAD=x.so:/opt/lib/libheapsake.so", session[] = "HEAPSAKE_SESSION=forged";
    char *already[] = {there, session, NULL};
    restored = restore(already, &memory);
    assert_string_equal(find(restored, "LD_PRELOAD="), "x.so:/opt/lib/libheapsake.so");
    assert_string_equal(find(restored, "HEAPSAKE_SESSION="), "name.1");
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours_go_the_users_stay),
        cmocka_unit_test(alone_the_variable_goes),
        cmocka_unit_test(an_exec_gets_them_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
