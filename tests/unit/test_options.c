/* test_options.c - how a command line becomes values, and what is said when it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "internal/compiler.h"
#include "options.h"

static bool flag, verbose;
static const char *output, *mode;
static int64_t limit;
static double seconds, share;
static uint64_t size;
static int signal_number;
static struct option_strings names, optional;

static const struct option options[] = {
    {.letter = 'f', .name = "flag", .kind = OPTION_FLAG, .value = &flag, .help = "a flag"},
    {.letter = 'v', .name = "verbose", .kind = OPTION_FLAG, .value = &verbose, .help = "another"},
    {.letter = 'o', .name = "output", .kind = OPTION_STRING, .value_name = "FILE", .value = &output, .help = "a file"},
    {.letter = 'n', .name = "limit", .kind = OPTION_INTEGER, .value_name = "N", .value = &limit, .help = "a number"},
    {.name = "at", .kind = OPTION_SECONDS, .value_name = "T", .value = &seconds, .help = "a time"},
    {.name = "share", .kind = OPTION_FRACTION, .value_name = "X", .value = &share, .help = "a part"},
    {.name = "mode", .kind = OPTION_CHOICE, .value_name = "wait|drop", .value = &mode, .help = "a choice"},
    {.name = "size", .kind = OPTION_SIZE, .value_name = "SIZE", .value = &size, .help = "a size"},
    {.name = "signal", .kind = OPTION_SIGNAL, .value_name = "SIGNAL", .value = &signal_number, .help = "a signal"},
    {.name = "name", .kind = OPTION_STRINGS, .value_name = "NAME", .value = &names, .help = "names"},
    {.name = "none", .kind = OPTION_OPTIONAL, .value_name = "OF", .value = &optional, .help = "perhaps of some"},
    {0},
};

static struct command command = {.name = "test",
                                 .synopsis = "[OPTION...] FILE",
                                 .summary = "tests",
                                 .description = "One.\n\nTwo.",
                                 .examples = "$ heapsake test\nit",
                                 .options = options};

/* main.c's table is not linked in. */
const struct command *const commands[] = {&command, NULL};

static char *arguments[16];
static char said[1024];

/* Parses up to NULL; standard error goes into `said`, standard output nowhere. */
static int parse(const char *first, ...)
{
    flag = verbose = false;
    output = NULL;
    mode = "wait";
    limit = -1;
    seconds = share = -1;
    free(names.values);
    free(optional.values);
    names = optional = (struct option_strings){0};
    memset(arguments, 0, sizeof arguments);
    int count = 0;
    va_list list;
    va_start(list, first);
    for (const char *argument = first; argument; argument = va_arg(list, const char *))
        arguments[count++] = (char *)(uintptr_t)argument;
    va_end(list);

    fflush(stdout);
    FILE *errors = tmpfile(), *nowhere = tmpfile();
    int old_error = dup(STDERR_FILENO), old_output = dup(STDOUT_FILENO);
    dup2(fileno(errors), STDERR_FILENO);
    dup2(fileno(nowhere), STDOUT_FILENO);
    int result = options_parse(&command, count, arguments);
    fflush(stdout);
    dup2(old_error, STDERR_FILENO);
    dup2(old_output, STDOUT_FILENO);
    close(old_error);
    close(old_output);
    rewind(errors);
    said[fread(said, 1, sizeof said - 1, errors)] = '\0';
    fclose(errors);
    fclose(nowhere);
    return result;
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(parse("a", "--output=x y", "b", "--limit", "12", "-f", NULL), 2);
    assert_string_equal(arguments[0], "a");
    assert_string_equal(arguments[1], "b");
    assert_null(arguments[2]);
    assert_string_equal(output, "x y");
    assert_int_equal(limit, 12);
    assert_true(flag);
    assert_false(verbose);

    assert_int_equal(parse("-fvn5", "-o", "-", "-", NULL), 1);
    assert_true(flag && verbose);
    assert_int_equal(limit, 5);
    assert_string_equal(output, "-");
    assert_string_equal(arguments[0], "-");

    assert_int_equal(parse("-ofile", "--at", "2.5", "--mode=drop", "--name=a", "--name", "b", "--output=", NULL), 0);
    assert_string_equal(output, "");
    assert_true(seconds == 2.5);
    assert_string_equal(mode, "drop");
    assert_int_equal(names.count, 2);
    assert_string_equal(names.values[1], "b");

    /* a value that may be left out is never the next word */
    assert_int_equal(parse("--none", "of", "--none=x,y", "--none=", NULL), 1);
    assert_string_equal(arguments[0], "of");
    assert_int_equal(optional.count, 3);
    assert_string_equal(optional.values[0], "");
    assert_string_equal(optional.values[1], "x,y");
    assert_string_equal(optional.values[2], "");

    assert_int_equal(parse("--", "--flag", "-x", "--", NULL), 3);
    assert_string_equal(arguments[2], "--");
    assert_false(flag);
    assert_int_equal(parse("a", "--", "-f", NULL), 2);
    assert_string_equal(arguments[1], "-f");
    assert_int_equal(parse(NULL), 0);
    assert_string_equal(said, "");
}

static void test_sizes_and_signals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } sizes[] = {{"1", 1},       {"64M", 64 << 20}, {"64m", 64 << 20},  {"64MiB", 64 << 20},
                 {"1.5K", 1536}, {"100B", 100},     {"2G", 2ull << 30}, {"1T", 1ull << 40},
                 {"0", 0},       {"", 0},           {"-1", 0},          {"64X", 0},
                 {"M", 0},       {"64MB", 0},       {"0.1", 0},         {"inf", 0},
                 {"nan", 0},     {"1e30", 0},       {"64M ", 0},        {" 64M", 0}};
    for (size_t i = 0; i < HS_COUNT_OF(sizes); i++) {
        assert_int_equal(parse("--size", sizes[i].text, NULL), sizes[i].bytes ? 0 : -EINVAL);
        if (sizes[i].bytes)
            assert_int_equal(size, sizes[i].bytes);
    }
    static const struct {
        const char *text;
        int number; /* 0: refused */
    } signals[] = {{"USR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"10", 10}, {"HUP", SIGHUP}, {"64", 64},
                   {"KILL", 0},       {"SEGV", 0},          {"9", 0},   {"0", 0},        {"65", 0},
                   {"32", 0},         {"NONSENSE", 0},      {"", 0},    {"-1", 0},       {"usr1", 0}};
    for (size_t i = 0; i < HS_COUNT_OF(signals); i++) {
        assert_int_equal(parse("--signal", signals[i].text, NULL), signals[i].number ? 0 : -EINVAL);
        if (signals[i].number)
            assert_int_equal(signal_number, signals[i].number);
    }
}

static void test_fractions(void **state)
{
    (void)state;
    assert_int_equal(parse("--share=0", NULL), 0);
    assert_true(share >= 0 && share <= 0);
    assert_int_equal(parse("--share", "0.25", NULL), 0);
    assert_true(share >= 0.25 && share <= 0.25);
    assert_int_equal(parse("--share=1", NULL), 0);
    assert_true(share >= 1 && share <= 1);
}

static void test_stop_at_operand(void **state)
{
    (void)state;
    command.stop_at_operand = true;
    assert_int_equal(parse("-f", "program", "--flag", "-v", "--", "--nonsense", NULL), 5);
    assert_string_equal(arguments[0], "program");
    assert_string_equal(arguments[1], "--flag");
    assert_string_equal(arguments[3], "--");
    assert_true(flag);
    assert_false(verbose);
    assert_int_equal(parse("--", "program", "--", "x", NULL), 3);
    assert_string_equal(arguments[1], "--");
    command.stop_at_operand = false;
}

#define FAILS(text, ...)                                                                                               \
    do {                                                                                                               \
        assert_int_equal(parse(__VA_ARGS__, NULL), -EINVAL);                                                           \
        assert_string_equal(said, "heapsake: test: " text " (see heapsake test --help)\n");                            \
    } while (0)

static void test_mistakes(void **state)
{
    (void)state;
    FAILS("unknown option --foo", "--foo");
    FAILS("unknown option --foo", "--foo=bar");
    FAILS("unknown option --outp", "--outp=x");
    FAILS("unknown option -x", "-fx");
    FAILS("option --flag takes no value", "--flag=1");
    FAILS("option --output needs a value", "--output");
    FAILS("option -n needs a value", "a", "-n");
    FAILS("option --limit: 5x is not a whole number from 0 on", "--limit=5x");
    FAILS("option --limit: -5 is not a whole number from 0 on", "--limit", "-5");
    FAILS("option -n: 99999999999999999999 is not a whole number from 0 on", "-n99999999999999999999");
    FAILS("option --limit:  is not a whole number from 0 on", "--limit=");
    FAILS("option --at: -1 is not a number of seconds from 0 on", "--at=-1");
    FAILS("option --at: nan is not a number of seconds from 0 on", "--at=nan");
    FAILS("option --at: 1e999 is not a number of seconds from 0 on", "--at=1e999");
    FAILS("option --share: 1.5 is not a number from 0 to 1", "--share=1.5");
    FAILS("option --share: nan is not a number from 0 to 1", "--share=nan");
    assert_true(share < 0); /* it stays what it was */
    FAILS("option --size: 5X is not a size such as 64M", "--size=5X");
    FAILS("option --signal: KILL is not a signal that can be used, such as USR2", "--signal=KILL");
    FAILS("option --mode: wai is not one of wait|drop", "--mode=wai");
    FAILS("option --mode:  is not one of wait|drop", "--mode=");
    FAILS("option --mode: wait|drop is not one of wait|drop", "--mode=wait|drop");
    FAILS("option --color: blue is not one of auto|always|never", "--color=blue");
}

static void test_help(void **state)
{
    (void)state;
    assert_int_equal(parse("--help", NULL), -ECANCELED);
    assert_int_equal(parse("-fh", "--nonsense", NULL), -ECANCELED);
    char label[64];
    options_label(&options[2], label, sizeof label);
    assert_string_equal(label, "-o, --output=FILE");
    options_label(&options[4], label, sizeof label);
    assert_string_equal(label, "--at=T");

    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    options_print_wrapped(memory, "one two three\n\nfour", 2, 0, 9);
    fclose(memory);
    assert_string_equal(text, "  one two\n  three\n\n  four\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_sizes_and_signals),
        cmocka_unit_test(test_fractions), cmocka_unit_test(test_stop_at_operand),
        cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
