/* Names of frames from two sources: nothing that is known is lost, and twice the same changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "amend/native_names.h"

#define MAX 4

/* Innermost first; NULL and 0: unknown. Ends with nothing at all. */
struct shown {
    const char *function, *file;
    uint32_t line;
};

static size_t add_run(struct native_names *names, const struct shown *run, uint32_t *count)
{
    size_t first = names->functions.count;
    for (*count = 0; *count < MAX && (run[*count].function || run[*count].file || run[*count].line); (*count)++) {
        struct native_function function = {.function = name_table_add(&names->strings, run[*count].function),
                                           .file = name_table_add(&names->strings, run[*count].file),
                                           .line = run[*count].line};
        assert_true(native_functions_add(&names->functions, &function));
    }
    return first;
}

static void check_text(const struct native_names *names, uint32_t number, const char *wanted)
{
    assert_string_equal(intern_get(&names->strings.strings, number, NULL), wanted ? wanted : "");
}

static void check(const struct shown *old, const struct shown *new, const struct shown *wanted, bool better)
{
    struct native_names names = {.strings = {.strings = INTERN_INIT, .ceiling = 1 << 20}};
    struct native_frame frame = {.frame = 1};
    uint32_t count;
    frame.first = add_run(&names, old, &frame.count);
    size_t first = add_run(&names, new, &count);
    assert_int_equal(native_frame_improve(&names, &frame, first, count), better);
    for (uint32_t i = 0; i < frame.count; i++) {
        const struct native_function *function = &names.functions.items[frame.first + i];
        check_text(&names, function->function, wanted[i].function);
        check_text(&names, function->file, wanted[i].file);
        assert_int_equal(function->line, wanted[i].line);
    }
    assert_true(frame.count == MAX || (!wanted[frame.count].function && !wanted[frame.count].line));
    first = add_run(&names, new, &count);
    assert_false(native_frame_improve(&names, &frame, first, count));
    native_names_free(&names);
}

#define RUN(...) ((const struct shown[MAX + 1]){__VA_ARGS__})
#define NOTHING RUN({0})

static void nothing_and_something(void **state)
{
    (void)state;
    check(NOTHING, NOTHING, NOTHING, false);
    check(NOTHING, RUN({"f", "f.c", 3}), RUN({"f", "f.c", 3}), true);
    check(RUN({"f", "f.c", 3}), NOTHING, RUN({"f", "f.c", 3}), false);
    check(RUN({"f", NULL, 0}), RUN({"f", "f.c", 3}), RUN({"f", "f.c", 3}), true);
    check(RUN({"f", "f.c", 3}), RUN({"f", NULL, 0}), RUN({"f", "f.c", 3}), false);
    check(RUN({"old", NULL, 0}), RUN({"new", "f.c", 3}), RUN({"old", "f.c", 3}), true);
}

/* Each has what the other lacks. */
static void halves(void **state)
{
    (void)state;
    check(RUN({"f", NULL, 0}), RUN({NULL, "f.c", 3}), RUN({"f", "f.c", 3}), true);
    check(RUN({NULL, "f.c", 3}), RUN({"f", NULL, 0}), RUN({"f", "f.c", 3}), true);
    check(RUN({NULL, "i.h", 1}, {"f", "f.c", 2}), RUN({"i", "i.h", 1}, {"f", "f.c", 2}),
          RUN({"i", "i.h", 1}, {"f", "f.c", 2}), true);
}

static void inlined_calls(void **state)
{
    (void)state;
    const struct shown *const whole = RUN({"i", "i.h", 1}, {"f", "f.c", 2});
    check(RUN({"f", NULL, 0}), whole, whole, true);
    check(RUN({"f", "i.h", 1}), whole, whole, true);
    check(whole, RUN({"f", NULL, 0}), whole, false);
    check(whole, RUN({"f", "i.h", 1}), whole, false);
    /* a symbol table knows the function that debug information has no name for, and the other way round */
    check(RUN({"i", "i.h", 1}, {NULL, "f.c", 2}), RUN({"f", NULL, 0}), whole, true);
    check(RUN({"f", NULL, 0}), RUN({"i", "i.h", 1}, {NULL, "f.c", 2}), whole, true);
    /* more calls and fewer names: the names are worth more */
    check(whole, RUN({NULL, "i.h", 1}, {NULL, "j.h", 5}, {NULL, "f.c", 2}), whole, false);
    /* the place's line is the innermost's, whatever is inlined there */
    check(RUN({"f", "i.h", 1}), RUN({"i", NULL, 0}, {"f", NULL, 0}), RUN({"i", "i.h", 1}, {"f", NULL, 0}), true);
}

/* Chunks of bounded size that have all frames. */
static void written(void **state)
{
    (void)state;
    struct native_names names = {.strings = {.strings = INTERN_INIT, .ceiling = 1 << 20}};
    struct buf *payloads;
    size_t count;
    enum { FRAMES = 600000 };
    assert_int_equal(native_names_write(&names, &payloads, &count), 0);
    assert_int_equal(count, 0);
    free(payloads);
    names.frames = calloc(FRAMES, sizeof *names.frames);
    names.frame_count = FRAMES;
    uint32_t functions;
    size_t first = add_run(&names, RUN({"f", "f.c", 3}), &functions);
    for (size_t i = 0; i < FRAMES; i++)
        names.frames[i] = (struct native_frame){.frame = i, .first = first, .count = functions};
    assert_int_equal(native_names_write(&names, &payloads, &count), 0);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        buf_free(&payloads[i]);
    free(payloads);
    native_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_and_something),
        cmocka_unit_test(halves),
        cmocka_unit_test(inlined_calls),
        cmocka_unit_test(written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
