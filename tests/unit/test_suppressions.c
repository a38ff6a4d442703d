/* test_suppressions.c - three formats, what they match, and files that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/suppressions.h"

#define TEXT(literal) ((struct text){literal, sizeof(literal) - 1})

static const struct frame frames[] = {
    {.function = TEXT("grow"),
     .file = TEXT("/src/lib/table.c"),
     .module = TEXT("/usr/lib/libtable.so.1"),
     .language = FRAME_NATIVE},
    {.function = TEXT("insert"),
     .file = TEXT("/src/lib/table.c"),
     .module = TEXT("/usr/lib/libtable.so.1"),
     .language = FRAME_NATIVE},
    {.function = TEXT("Cache.put"), .file = TEXT("/app/cache.py"), .language = FRAME_PYTHON},
    {.function = TEXT("main"), .file = TEXT("/app/main.py"), .language = FRAME_PYTHON},
};

static struct suppressions parsed(const char *text)
{
    struct suppressions s = SUPPRESSIONS_INIT;
    struct error error = {0};
    int code = suppressions_parse(&s, text, strlen(text), "known.supp", &error);
    if (code != 0)
        fail_msg("%s", error.text);
    return s;
}

static bool matches(const char *text, const char *cause, const char *type)
{
    struct suppressions s = parsed(text);
    struct suppression_subject subject = {.cause = cause,
                                          .type = type,
                                          .kind = SUPPRESSION_DEFINITE,
                                          .frames = frames,
                                          .frame_count = HS_COUNT_OF(frames)};
    bool match = suppressions_match(&s, &subject, 100);
    uint64_t counted = 0;
    for (size_t i = 0; i < s.count; i++)
        counted += suppressions_use(&s, i).bytes;
    assert_int_equal(counted, match ? 100 : 0);
    suppressions_free(&s);
    return match;
}

static void test_ours(void **state)
{
    (void)state;
    assert_true(matches("# known\n\n[cache]\ncause = growing\ntype=app.*\n", "growing", "app.Session"));
    assert_false(matches("[cache]\ncause = growing\ntype = app.*\n", "held", "app.Session"));
    assert_false(matches("[cache]\ntype = app.*\n", "growing", NULL));
    assert_true(matches("[cache]\nfunction = Cache.*\nfile = */cache.py\n", NULL, NULL));
    /* both of one frame */
    assert_false(matches("[cache]\nfunction = Cache.*\nfile = */main.py\n", "growing", "x"));
    assert_true(matches("[a]\ntype = no\n[b]\r\n  module = *libtable.so*  \n", "lost", NULL));
    assert_false(matches("[a]\nmodule = libtable.so\n", "lost", NULL));
}

static void test_valgrind(void **state)
{
    (void)state;
    assert_true(matches("{\n  table\n  Memcheck:Leak\n  fun:malloc\n  fun:grow\n  fun:insert\n}\n", "lost", NULL));
    assert_true(matches(
        "{\n  table\n  Memcheck:Leak\n  match-leak-kinds: definite,indirect\n  fun:gr?w\n  ...\n  fun:main\n}\n",
        "lost", NULL));
    assert_false(matches("{\n  table\n  Memcheck:Leak\n  match-leak-kinds: possible\n  fun:grow\n}\n", "lost", NULL));
    assert_false(matches("{\n  table\n  Memcheck:Leak\n  fun:grow\n  fun:main\n}\n", "lost", NULL));
    assert_true(matches("{\n  table\n  Memcheck:Leak\n  ...\n  obj:*/libtable.so*\n  src:*.py:12\n}\n", NULL, NULL));
    assert_true(matches("{\n  t\n  Memcheck:Leak\n  obj:*/libtable.so*\n  src:*table.c:12\n}\n", "lost", NULL));
    /* of another tool or kind, and what is no native leak */
    assert_false(
        matches("{\n  table\n  Memcheck:Cond\n  fun:grow\n}\n{\n t\n Helgrind:Race\n fun:grow\n}\n", "lost", NULL));
    assert_false(matches("{\n  table\n  Memcheck:Leak\n  fun:grow\n}\n", "growing", "app.Session"));
    /* the name as the linker knows it */
    struct frame cxx = {.function = TEXT("Table::grow(int)"), .language = FRAME_NATIVE};
    struct suppression_subject subject = {
        .cause = "lost", .kind = SUPPRESSION_DEFINITE, .frames = &cxx, .frame_count = 1};
    struct suppressions s = parsed("{\n t\n Memcheck:Leak\n fun:_Znwm\n fun:_ZN5Table4growEi\n}\n");
    assert_true(suppressions_match(&s, &subject, 1));
    suppressions_free(&s);
}

static void test_lsan(void **state)
{
    (void)state;
    assert_true(matches("# LSan\nleak:libtable\n", "lost", NULL));
    assert_true(matches("leak:nothing\nleak:ins*t\n", "lost", NULL));
    assert_true(matches("leak:^insert$\n", NULL, NULL));
    assert_false(matches("leak:^nsert\n", "lost", NULL));
    assert_false(matches("leak:inser$\n", "lost", NULL));
    assert_false(matches("leak:libtable\n", "cycle", "dict"));
}

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } wrong[] = {
        {"hello\n", "known.supp:1: not a file of suppressions"},
        {"[a]\ncolor = red\n", "known.supp:2: keys are"},
        {"[a]\ntype =\n", "known.supp:2: a key without a pattern"},
        {"[a]\n[b]\ntype = x\n", "known.supp:2: the suppression before this one has no lines"},
        {"[a]\ntype = x\n[b]\n", "known.supp:3: the last suppression has no lines"},
        {"[a\n", "known.supp:1: a suppression begins with"},
        {"[]\n", "known.supp:1: a suppression begins with"},
        {"{\n}\n", "known.supp:2: a suppression needs a name and a kind"},
        {"{\n a\n Memcheck:Leak\n}\n", "known.supp:4: a suppression without frames"},
        {"{\n a\n Memcheck:Leak\n fun:x\n", "known.supp:4: the last suppression has no }"},
        {"{\n a\n Memcheck:Leak\n gun:x\n}\n", "known.supp:4: frames are"},
        {"{\n a\n Memcheck:Leak\n match-leak-kinds: some\n fun:x\n}\n", "known.supp:4: leak kinds are"},
        {"{\n a\n Leak\n}\n", "known.supp:3: the second line is a kind"},
        {"leak:a\nrace:b\n", "known.supp:2: expected leak:PATTERN"},
        {"leak:\n", "known.supp:1: a pattern that matches everything"},
    };
    for (size_t i = 0; i < HS_COUNT_OF(wrong); i++) {
        struct suppressions s = SUPPRESSIONS_INIT;
        struct error error = {0};
        assert_int_equal(suppressions_parse(&s, wrong[i].text, strlen(wrong[i].text), "known.supp", &error), -EINVAL);
        if (strncmp(error.text, wrong[i].error, strlen(wrong[i].error)) != 0)
            fail_msg("%s instead of %s", error.text, wrong[i].error);
        assert_int_equal(s.count, 0);
        suppressions_free(&s);
    }
    struct suppressions s = SUPPRESSIONS_INIT;
    struct error error = {0};
    assert_int_equal(suppressions_parse(&s, "[a]\0type = x", 12, "known.supp", &error), -EINVAL);
    error.text[0] = '\0';
    assert_int_equal(suppressions_load(&s, "/no/such/file", &error), -ENOENT);
    suppressions_free(&s);
}

/* Any bytes: read or refused, and every prefix of what is right. */
static void test_hostile(void **state)
{
    (void)state;
    static const char right[] = "{\n a\n Memcheck:Leak\n match-leak-kinds: all\n ...\n fun:x*\n obj:?\n}\n";
    uint64_t random = 1;
    for (size_t length = 0; length < sizeof right; length++) {
        struct suppressions s = SUPPRESSIONS_INIT;
        suppressions_parse(&s, right, length, "x", NULL);
        suppressions_free(&s);
    }
    for (int round = 0; round < 20000; round++) {
        static const char *const parts[] = {"{",    "}", "\n",    "\n",   "[a]", "type",          "=",
                                            "*",    " ", "leak:", "fun:", "...", "Memcheck:Leak", "match-leak-kinds:",
                                            "\xff", "#", "obj:",  "^",    "$",   "src:a:1"};
        char text[256] = "";
        for (int i = 0; i < 12; i++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            strcat(text, parts[(random >> 33) % HS_COUNT_OF(parts)]);
        }
        struct suppressions s = SUPPRESSIONS_INIT;
        struct suppression_subject subject = {
            .cause = "lost", .type = "t", .kind = 15, .frames = frames, .frame_count = 4};
        if (suppressions_parse(&s, text, strlen(text), "x", NULL) == 0)
            suppressions_match(&s, &subject, 1);
        else
            assert_int_equal(s.count, 0);
        suppressions_free(&s);
    }
}

/* Patterns that make naive matchers take for ever. */
static void test_many_stars(void **state)
{
    (void)state;
    char pattern[201], text[2001];
    for (int i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[200] = '\0';
    memset(text, 'a', 2000);
    text[1999] = 'b';
    assert_false(suppressions_glob(pattern, text, 2000));
    assert_true(suppressions_glob("*a*b", text, 2000));
    assert_true(suppressions_glob("", "", 0));
    assert_false(suppressions_glob("?", "", 0));
    assert_true(suppressions_glob("**", "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours),  cmocka_unit_test(test_valgrind), cmocka_unit_test(test_lsan),
        cmocka_unit_test(test_wrong), cmocka_unit_test(test_hostile),  cmocka_unit_test(test_many_stars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
