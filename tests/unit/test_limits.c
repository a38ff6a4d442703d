/* test_limits.c - limits, baselines and what a program is called: what is read, matched and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "model/baseline.h"
#include "model/limits.h"
#include "model/program_name.h"
#include "report/source_path.h"

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {{"0", 0},
                 {"20 MB", 20000000},
                 {"20MiB", 20u << 20},
                 {"20mib", 20u << 20},
                 {"1.5K", 1536},
                 {"3 kB", 3000},
                 {"0.5 MB", 500000},
                 {"1T", UINT64_C(1) << 40},
                 {"9\tB", 9},
                 {"2Gi", UINT64_C(2) << 30},
                 {"1 TB", UINT64_C(1000000000000)}};
    static const char *const wrong[] = {"",
                                        " 1",
                                        "-1",
                                        "+1",
                                        "1e3",
                                        "0x10",
                                        "1..2",
                                        "1.2.3",
                                        ".5",
                                        "5.",
                                        "MB",
                                        "1 MBs",
                                        "1 M B",
                                        "nan",
                                        "inf",
                                        "1,000",
                                        "99999999999999999999999999",
                                        "9000000 TB"};
    for (size_t i = 0; i < HS_COUNT_OF(sizes); i++) {
        uint64_t bytes = 1;
        assert_true(limits_size(sizes[i].text, &bytes));
        assert_int_equal(bytes, sizes[i].bytes);
    }
    for (size_t i = 0; i < HS_COUNT_OF(wrong); i++) {
        uint64_t bytes = 77;
        assert_false(limits_size(wrong[i], &bytes));
        assert_int_equal(bytes, 77);
    }
}

/* 0, or the error of reading or settling. */
static int settle(const char *text, bool has_baseline, struct limits *limits, struct error *error)
{
    *error = (struct error){0};
    *limits = LIMITS_INIT;
    int code = limits_parse(limits, text, strlen(text), "f", error);
    return code == 0 ? limits_settle(limits, has_baseline, error) : code;
}

static void test_settling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool baseline;
        const char *wrong; /* NULL: they go together */
    } cases[] = {
        {"", false, NULL},
        {"max-peak 1M\nmax-peak 1M", false, NULL},
        {"max-peak 1M\nmax-peak 1MiB", false, NULL},
        {"max-peak 1M\nmax-peak 1MB", false, "f:2: max-peak contradicts f:1"},
        {"no-leaks\nmax-leaked 0", false, NULL},
        {"no-leaks lost\nmax-leaked 1", false, NULL},
        {"no-leaks\nmax-leaked 1", false, "f:2: max-leaked allows"},
        {"no-new-leaks", false, "f:1: no-new-leaks needs a baseline"},
        {"tolerance 1", false, "f:1: tolerance needs a baseline"},
        {"no-new-leaks\nno-leaks", true, "f:1: no-new-leaks allows"},
        {"no-new-leaks\nno-leaks lost", true, NULL},
        {"no-leaks", true, "--baseline: with no-leaks"},
        {"no-leaks\ntolerance 5 %", true, NULL},
        {"parse:max-peak 1M\nload:max-peak 2M\nmax-peak 3M", false, NULL},
        {"parse:max-peak 1M\nload:max-peak 2M\nparse:max-peak 3M", false, "f:3: max-peak contradicts f:1"},
        {"parse:no-leaks\nparse:max-leaked 1", false, "f:2: max-leaked allows"},
        {"parse:no-leaks\nload:max-leaked 1\nmax-leaked 1", false, NULL},
        {"max-growth-per a:1\nmax-growth-per b:2\nmax-growth-per a:3 objects", false, NULL},
        {"max-growth-per a:1\nmax-growth-per a:2", false, "f:2: max-growth-per contradicts f:1"},
        {"max-growth-per 5", false, "f:1: max-growth-per: \"5\" names no mark"},
        {"max-growth-per a:5 things", false, "f:1: max-growth-per: \"5 things\" is neither"},
        {"max-growth-per a:1.5 objects", false, "f:1: max-growth-per: \"1.5 objects\" is neither"},
        {"max-growth-per :5", false, "f:1: no name stands before the colon"},
        {":max-peak 5", false, "f:1: no name stands before the colon"},
        {"max-peak parse:5", false, "f:1: the name of a region stands before its limit"},
        {"parse:max-growth-per a:5", false, "f:1: max-growth-per names a mark behind it"},
        {"parse:no-new-leaks", true, "f:1: no-new-leaks holds for the whole run"},
        {"parse:tolerance 5", true, "f:1: tolerance holds for the whole run"},
        {"parse:max-peek 5", false, "f:1: \"max-peek\" is not a limit"},
        {"parse:", false, "f:1: \"\" is not a limit"},
        {"parse", false, "f:1: \"parse\" is not a limit"},
    };
    for (size_t i = 0; i < HS_COUNT_OF(cases); i++) {
        struct limits limits;
        struct error error;
        int code = settle(cases[i].text, cases[i].baseline, &limits, &error);
        assert_int_equal(code, cases[i].wrong ? -EINVAL : 0);
        if (cases[i].wrong)
            assert_memory_equal(error.text, cases[i].wrong, strlen(cases[i].wrong));
        limits_free(&limits);
    }
    struct limits limits;
    struct error error;
    assert_int_equal(
        settle("tolerance 2.5\nno-leaks cycle\n# x\nno-leaks lost, held\nmax-peak 7", true, &limits, &error), 0);
    assert_int_equal(limits.count, 3);
    assert_int_equal(limits.list[0].rule, LIMIT_MAX_PEAK);
    assert_int_equal(limits.list[1].causes, 1u << LEAK_CYCLE | 1u << LEAK_LOST | 1u << LEAK_HELD);
    assert_true(limits.list[2].percent == 2.5);
    assert_true(limits_ask_for_leaks(&limits));
    limits_free(&limits);
    assert_int_equal(settle("max-live 7", true, &limits, &error), 0); /* a baseline means no-new-leaks */
    assert_non_null(limits_find(&limits, LIMIT_NO_NEW_LEAKS));
    limits_free(&limits);
}

/* A region's name ends at the last colon, and may hold what else it likes; the command line's values say the same. */
static void test_regions(void **state)
{
    (void)state;
    static const char text[] = "tests/t.py::test_a[x = 1,#2]:no-leaks lost\n"
                               "max-peak 1\n"
                               "tests/t.py::test_a[x = 1,#2]:max-live = 20 MB # much\n"
                               "max-growth-per GET /a:b:3 objects\n"
                               "n s:max-allocations 7\n";
    struct limits limits, other = LIMITS_INIT;
    struct error error = {0};
    assert_int_equal(settle(text, false, &limits, &error), 0);
    assert_int_equal(limits.count, 5);
    const struct limit *list = limits.list;
    assert_null(list[0].region);
    assert_int_equal(list[0].rule, LIMIT_MAX_PEAK);
    assert_string_equal(list[1].region, "tests/t.py::test_a[x = 1,#2]");
    assert_int_equal(list[1].rule, LIMIT_MAX_LIVE);
    assert_int_equal(list[1].most, 20000000);
    assert_string_equal(list[2].region, list[1].region);
    assert_int_equal(list[2].causes, 1u << LEAK_LOST);
    assert_string_equal(list[3].region, "GET /a:b");
    assert_int_equal(list[3].measure, MARK_OBJECTS);
    assert_int_equal(list[3].most, 3);
    assert_string_equal(list[4].region, "n s");
    assert_true(limits_ask_for_run(&limits) && limits_ask_for_regions(&limits) && !limits_ask_for_leaks(&limits));
    assert_int_equal(limits_find(&limits, LIMIT_MAX_PEAK)->most, 1);
    assert_null(limits_find(&limits, LIMIT_MAX_LIVE));

    assert_int_equal(limits_add(&other, LIMIT_NO_LEAKS, "tests/t.py::test_a[x = 1,#2]:lost", "-", &error), 0);
    assert_int_equal(limits_add(&other, LIMIT_MAX_LIVE, "tests/t.py::test_a[x = 1,#2]: 20 MB", "-", &error), 0);
    assert_int_equal(limits_add(&other, LIMIT_NO_LEAKS, "a\nb:", "-", &error), 0);
    assert_string_equal(other.list[0].region, list[1].region);
    assert_int_equal(other.list[0].causes, list[2].causes);
    assert_int_equal(other.list[1].most, list[1].most);
    assert_string_equal(other.list[2].region, "a\nb");
    assert_int_equal(other.list[2].causes, LIMIT_ALL_CAUSES);
    assert_false(limits_ask_for_run(&other));
    assert_int_equal(limits_add(&other, LIMIT_TOLERANCE, "a:5", "-", &error), -EINVAL);
    limits_free(&other);
    limits_free(&limits);
}

/* --- baselines --- */

#define HEAD "heapsake baseline 1\nprogram\tp\npeak\t1\nlive\t2\nleaked\t3\nallocations\t4\n"

static void parse(struct baseline *baseline, const char *text)
{
    struct error error = {0};
    *baseline = BASELINE_INIT;
    if (baseline_parse(baseline, text, strlen(text), "b", &error) != 0)
        fail_msg("%s", error.text);
}

/* Which of `now` have a match, as letters: "-" or the match's own first line. */
static void assert_matches(const char *before_text, const char *now_text, const char *matches)
{
    struct baseline before, now;
    char text[256] = "";
    parse(&before, before_text);
    parse(&now, now_text);
    baseline_match(&before, &now);
    for (size_t i = 0; i < now.count; i++) {
        const struct baseline_leak *match = now.leaks[i].match;
        char word[32] = "- ";
        if (match) {
            assert_ptr_equal(match->match, &now.leaks[i]);
            assert_string_equal(match->site.text, now.leaks[i].site.text);
            snprintf(word, sizeof word, "%u ", (unsigned)match->site.lines[0]);
        }
        strcat(text, word);
    }
    assert_string_equal(text, matches);
    baseline_free(&before);
    baseline_free(&now);
}

#define LEAK(site, lines) "leak\tlost\t-\t" site "\t1\t10\t" lines "\n"

static void test_matching(void **state)
{
    (void)state;
    assert_matches(HEAD, HEAD, "");
    assert_matches(HEAD, HEAD LEAK("f (a)", "1"), "- ");
    assert_matches(HEAD LEAK("f (a)", "10"), HEAD LEAK("f (a)", "10"), "10 ");
    /* moved */
    assert_matches(HEAD LEAK("f (a)", "10"), HEAD LEAK("f (a)", "90"), "10 ");
    /* one more of a function, behind and before the one that is known */
    assert_matches(HEAD LEAK("f (a)", "10"), HEAD LEAK("f (a)", "10") LEAK("f (a)", "90"), "10 - ");
    assert_matches(HEAD LEAK("f (a)", "10"), HEAD LEAK("f (a)", "5") LEAK("f (a)", "10"), "- 10 ");
    /* all moved: their order tells */
    assert_matches(HEAD LEAK("f (a)", "10") LEAK("f (a)", "20"), HEAD LEAK("f (a)", "13") LEAK("f (a)", "23"),
                   "10 20 ");
    /* lines are numbers, and callers' lines count, too */
    assert_matches(HEAD LEAK("f (a)", "9,1") LEAK("f (a)", "9,2"), HEAD LEAK("f (a)", "9,2") LEAK("f (a)", "10,1"),
                   "9 9 ");
    /* another function, file, cause or type is another leak */
    assert_matches(HEAD LEAK("f (a)", "1"), HEAD LEAK("f (b)", "1") LEAK("g (a)", "1"), "- - ");
    assert_matches(HEAD LEAK("f (a)", "1"), HEAD "leak\tcycle\t-\tf (a)\t1\t1\t1\nleak\tlost\tT\tf (a)\t1\t1\t1\n",
                   "- - ");
    /* but growing and held, which are told of the same thing, depending on how the run went on */
    assert_matches(HEAD "leak\tgrowing\tT\tf (a)\t1\t1\t7\nleak\tgrowing\tT\tg (a)\t1\t1\t8\n",
                   HEAD "leak\theld\tT\tf (a)\t1\t1\t9\nleak\tcycle\tT\tg (a)\t1\t1\t8\n", "- 7 ");
    assert_matches(HEAD "leak\tgrowing\tT\tf (a)\t1\t1\t7\n",
                   HEAD "leak\tgrowing\tT\tf (a)\t1\t1\t9\nleak\theld\tT\tf (a)\t1\t1\t7\n", "7 - ");
    /* by hand: out of order, comments, line ends of Windows, the same twice, no lines */
    assert_matches(HEAD LEAK("z (a)", "1") "# x\n\n" LEAK("f (a)", "1\r"), HEAD LEAK("f (a)", "1") LEAK("z (a)", "1"),
                   "1 1 ");
    assert_matches(HEAD LEAK("f (a)", "1") LEAK("f (a)", "1"), HEAD LEAK("f (a)", ""), "1 ");
}

/* What is written is read as it was. */
static void test_round_trip(void **state)
{
    (void)state;
    struct baseline baseline, again;
    struct buf first = BUF_INIT, second = BUF_INIT;
    parse(&baseline, HEAD LEAK("g (a) < main (b)", "3,4") LEAK("f (\\x09)", "12"));
    baseline_write(&baseline, &first);
    buf_append_byte(&first, 0);
    parse(&again, (const char *)first.data);
    baseline_write(&again, &second);
    buf_append_byte(&second, 0);
    assert_string_equal(first.data, second.data);
    assert_int_equal(again.count, 2);
    assert_int_equal(again.allocations, 4);
    assert_string_equal(again.leaks[0].site.text, "f (\\x09)");
    buf_free(&first);
    buf_free(&second);
    baseline_free(&baseline);
    baseline_free(&again);
}

static void test_damaged(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "x",
        "heapsake baseline",
        "heapsake baseline 1",
        "heapsake baseline 01x\n",
        "heapsake baseline 2\n",
        HEAD "leak",
        HEAD "leak\tlost\t-\tf\t1\t1",
        HEAD "leak\tlost\t-\tf\t1\t1\t1\t1",
        HEAD "leak\tlost\t\tf\t1\t1\t1",
        HEAD "leak\tlost\t-\t\t1\t1\t1",
        HEAD "leak\tunknown\t-\tf\t1\t1\t1",
        HEAD "leak\tlost\t-\tf\t-1\t1\t1",
        HEAD "leak\tlost\t-\tf\t1\t1\t1,x",
        HEAD "leak\tlost\t-\tf\t1\t1\t1,2,3,4,5,6,7,8,9",
        HEAD "peak\t1\n",
        HEAD "what\t1\n",
        HEAD "program\tq\n",
        HEAD "a\tb\tc\td\te\tf\tg\th\ti\tj\n",
        "heapsake baseline 1\npeak\t1\nlive\t2\nleaked\t3\nallocations\t4\n",
    };
    for (size_t i = 0; i < HS_COUNT_OF(texts); i++) {
        struct baseline baseline = BASELINE_INIT;
        struct error error = {0};
        assert_int_equal(baseline_parse(&baseline, texts[i], strlen(texts[i]), "b", &error), -EINVAL);
        assert_memory_equal(error.text, "b:", 2);
        assert_null(baseline.leaks);
    }
    /* cut off or spoiled anywhere it is refused, or a baseline of which less is known */
    const char whole[] = HEAD LEAK("f (a)", "1") LEAK("g (a)", "1");
    for (size_t i = 0; i < sizeof whole; i++) {
        struct baseline baseline = BASELINE_INIT;
        struct error error = {0};
        char copy[sizeof whole];
        baseline_parse(&baseline, whole, i, "b", &error);
        assert_true(baseline.count <= 2);
        baseline_free(&baseline);
        memcpy(copy, whole, sizeof whole);
        copy[i] ^= 0x15;
        baseline_parse(&baseline, copy, sizeof copy - 1, "b", &error);
        baseline_free(&baseline);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *word;
    } names[] = {
        {"plain", "plain"},
        {"a\tb\nc", "a\\x09b\\x0ac"},
        {"\\", "\\x5c"},
        {"\xff\xc3\xb6", "\\xff\xc3\xb6"},
        {"f(int)", "f(int)"},
        {"f (int)", "f \\x28int)"},
        {"a < b", "a \\x3c b"},
        {"<module>", "<module>"},
        {"\xc2\x9b", "\\xc2\\x9b"},
        {"", ""},
    };
    for (size_t i = 0; i < HS_COUNT_OF(names); i++) {
        struct buf text = BUF_INIT;
        leak_site_append_name(&text, names[i].name, strlen(names[i].name));
        buf_append_byte(&text, 0);
        assert_string_equal(text.data, names[i].word);
        buf_free(&text);
    }
    /* long ones with the same beginning stay apart */
    char long_name[1000];
    struct buf one = BUF_INIT, other = BUF_INIT;
    memset(long_name, 'x', sizeof long_name);
    leak_site_append_name(&one, long_name, sizeof long_name);
    long_name[999] = 'y';
    leak_site_append_name(&other, long_name, sizeof long_name);
    assert_true(one.length < 200 && one.length == other.length);
    assert_memory_not_equal(one.data, other.data, one.length);
    buf_free(&one);
    buf_free(&other);
}

/* --- programs and paths --- */

static void assert_program(const char *executable, const char *python, const char *line, const char *name)
{
    char copy[256], *texts[16], *rest = NULL;
    struct trace_info info = {.executable = (char *)(uintptr_t)executable,
                              .python_version = (char *)(uintptr_t)python,
                              .arguments = {.texts = texts}};
    struct buf text = BUF_INIT;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        texts[info.arguments.count++] = word;
    program_name(&text, &info);
    buf_append_byte(&text, 0);
    assert_string_equal(text.data, name);
    buf_free(&text);
}

static void test_program_names(void **state)
{
    (void)state;
    assert_program("/opt/bin/server", NULL, "./server -x", "server");
    assert_program(NULL, NULL, "./server -x", "server");
    assert_program(NULL, NULL, "", "?");
    assert_program("/usr/bin/python3.11", "3.11.2", "python3 app.py x", "app.py");
    assert_program("/usr/bin/python3.13", "3.13.1", "/usr/bin/python3 -X dev -uW error ./sub/app.py -c", "app.py");
    assert_program("/usr/bin/python3.13", "3.13.1", "python -m pytest -q tests", "-m pytest");
    assert_program("/usr/bin/python3.13", "3.13.1", "python -bmpytest", "-m pytest");
    assert_program("/usr/bin/python3.13", "3.13.1", "python -c pass", "-c pass");
    assert_program("/usr/bin/python3.13", "3.13.1", "python -Xdev --check-hash-based-pycs never -", "-");
    assert_program("/usr/bin/python3.13", "3.13.1", "python -i", "python");
    assert_program("/usr/sbin/uwsgi", "3.11.2", "uwsgi --ini app.ini", "uwsgi");
}

static void assert_path(const char *file, enum frame_language language, const char *folder, const char *path,
                        const char *uri)
{
    struct frame frame = {.file = {file, strlen(file)}, .language = language};
    struct buf text = BUF_INIT;
    assert_int_equal(source_path(&text, &frame, folder), path != NULL);
    buf_append_byte(&text, 0);
    assert_string_equal(text.data, path ? path : "");
    buf_clear(&text);
    assert_int_equal(source_uri(&text, &frame, folder), path != NULL);
    buf_append_byte(&text, 0);
    assert_string_equal(text.data, path ? uri : "");
    buf_free(&text);
}

static void test_paths(void **state)
{
    (void)state;
    setenv("GITHUB_WORKSPACE", "/w/repo/", 1);
    assert_path("/w/repo/src/a.c", FRAME_NATIVE, "/w", "src/a.c", "src/a.c");
    assert_path("/w/repo/build/../src/./a b.c", FRAME_NATIVE, NULL, "src/a b.c", "src/a%20b.c");
    assert_path("/w/repository/a.c", FRAME_NATIVE, NULL, "/w/repository/a.c", "file:///w/repository/a.c");
    assert_path("/w/repo/../../x/\xff%:.c", FRAME_NATIVE, NULL, "/x/\xff%:.c", "file:///x/%FF%25%3A.c");
    assert_path("/../../a", FRAME_NATIVE, NULL, "/a", "file:///a");
    assert_path("a.py", FRAME_PYTHON, "/w/repo/sub", "sub/a.py", "sub/a.py");
    assert_path("./a.py", FRAME_PYTHON, NULL, "a.py", "a.py");
    assert_path("a.c", FRAME_NATIVE, "/elsewhere", "a.c", "a.c");
    assert_path("../csu/a.c", FRAME_NATIVE, "/w", NULL, NULL);
    assert_path("<string>", FRAME_PYTHON, "/w", NULL, NULL);
    assert_path("", FRAME_PYTHON, "/w", NULL, NULL);
    assert_path("/", FRAME_PYTHON, "/w", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_settling),      cmocka_unit_test(test_regions),
        cmocka_unit_test(test_matching), cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_program_names), cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
