/* test_trace_moment.c - how moments are named, which part of a name is the file, and where the peak is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/compiler.h"
#include "make_trace.h"
#include "model/trace_moment.h"

static char folder[] = "/tmp/heapsake-test-XXXXXX";
static const char *const files[] = {"t.hsk", "t.hsk@peak", "a@b@c", "@peak"};

static int make_files(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    for (size_t i = 0; i < HS_COUNT_OF(files); i++)
        close(open(files[i], O_CREAT | O_WRONLY, 0600));
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < HS_COUNT_OF(files); i++)
        unlink(files[i]);
    unlink("made.hsk");
    return chdir("/") != 0 || rmdir(folder) != 0;
}

/* `moment`: as trace_moment_text() has it; NULL: refused. */
static void expect(const char *operand, const char *file, const char *moment)
{
    struct trace_moment found;
    struct error error = {0};
    char *path, text[TRACE_MOMENT_TEXT_SIZE];
    int code = trace_moment_parse(operand, &path, &found, &error);
    if (!moment) {
        assert_int_equal(code, -EINVAL);
        assert_true(strncmp(error.text, operand, strlen(operand)) == 0);
        return;
    }
    assert_int_equal(code, 0);
    assert_string_equal(path, file);
    assert_string_equal(trace_moment_text(&found, text), moment);
    free(path);
}

static void test_names(void **state)
{
    (void)state;
    expect("t.hsk", "t.hsk", "end");
    expect("t.hsk@end", "t.hsk", "end");
    expect("t.hsk@12.5s", "t.hsk", "12.5s");
    expect("t.hsk@12", "t.hsk", "12s");
    expect("t.hsk@250ms", "t.hsk", "0.25s");
    expect("t.hsk@0.000000001s", "t.hsk", "1e-09s");
    expect("t.hsk@snapshot:12", "t.hsk", "snapshot:12");
    expect("t.hsk@mark:load", "t.hsk", "mark:load");
    expect("t.hsk@mark:a@b#2", "t.hsk", "mark:a@b#2");
    expect("t.hsk@mark:x@peak", "t.hsk", "mark:x@peak");
    /* an existing file of the whole name wins, and can have a moment of its own */
    expect("t.hsk@peak", "t.hsk@peak", "end");
    expect("t.hsk@peak@peak", "t.hsk@peak", "peak");
    expect("a@b@c", "a@b@c", "end");
    expect("a@b@c@1s", "a@b@c", "1s");
    expect("@peak", "@peak", "end");
    expect("@peak@peak", "@peak", "peak");
    /* no such file: whoever opens it says so, without what is a moment */
    expect("b.hsk@peak", "b.hsk", "peak");
    expect("b.hsk@what", "b.hsk@what", "end");
    expect("@1s", "@1s", "end");
    expect("", "", "end");
    expect("b@", "b@", "end");
    static const char *const wrong[] = {"",
                                        "x",
                                        "mark:",
                                        "mark",
                                        "snapshot:",
                                        "snapshot:x",
                                        "1x",
                                        "-1s",
                                        ".5",
                                        "1.2.3",
                                        "1e3",
                                        "0x10",
                                        "inf",
                                        "nan",
                                        " 1",
                                        "peak ",
                                        "snapshot:-1",
                                        "Peak",
                                        "snapshot",
                                        "1 s",
                                        "end@1",
                                        "snapshot:99999999999999999999"};
    for (size_t i = 0; i < HS_COUNT_OF(wrong); i++) {
        char operand[100];
        snprintf(operand, sizeof operand, "t.hsk@%s", wrong[i]);
        expect(operand, NULL, NULL);
    }
    assert_true(trace_moment_at(1e30).time_ns > UINT64_MAX - 10);
}

static void test_places(void **state)
{
    (void)state;
    struct made_trace_plan plan = {.events = 20000, .seed = 9, .threads = 2, .nodes = 20, .event_ns = 1000};
    struct made_trace_truth truth;
    struct error error = {0};
    struct trace_reader *reader;
    struct trace_info info;
    struct moment_point point;
    assert_int_equal(made_trace_synthetic("made.hsk", &plan, &truth), 0);
    assert_int_equal(trace_reader_open("made.hsk", &reader, &error), 0);
    assert_int_equal(trace_info_read(&info, reader, &error), 0);
    struct trace_moment moment = {.kind = MOMENT_PEAK};
    for (int trust = 0; trust < 2; trust++) {
        assert_int_equal(trace_moment_resolve(&moment, reader, &info, trust, &point, &error), 0);
        assert_int_equal(point.until_event, truth.peak_event);
        assert_int_equal(point.told, trust);
    }
    moment = trace_moment_at(0.005);
    assert_int_equal(trace_moment_resolve(&moment, reader, &info, true, &point, &error), 0);
    assert_int_equal(point.until_ns, 5000000);
    assert_int_equal(point.time_ns, 5000000);
    moment = trace_moment_at(1000);
    assert_int_equal(trace_moment_resolve(&moment, reader, &info, true, &point, &error), 0);
    assert_int_equal(point.time_ns, info.duration_ns);
    moment = (struct trace_moment){.kind = MOMENT_END};
    assert_int_equal(trace_moment_resolve(&moment, reader, &info, true, &point, &error), 0);
    assert_true(point.until_ns == UINT64_MAX && point.until_event == UINT64_MAX);
    moment = (struct trace_moment){.kind = MOMENT_SNAPSHOT, .snapshot = 1};
    assert_int_equal(trace_moment_resolve(&moment, reader, &info, true, &point, &error), -ENOENT);
    assert_non_null(strstr(error.text, "has no snapshot 1"));
    trace_info_free(&info);
    trace_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
