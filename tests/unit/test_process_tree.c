/* The tree of processes, from traces that hold nothing but fields, honest and other ones. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/process_tree.h"
#include "record/trace_writer.h"

static char folder[64];

struct trace {
    const char *file;
    int pid;
    const char *recording; /* NULL: as traces had none  */
    const char *parent, *before;
    const char *children[4]; /* "pid file"                */
    unsigned start;
    uint64_t allocations, peak, live, done_live; /* done_live 0: not said */
    bool unfinished;
};

static void write_trace(const struct trace *trace)
{
    char path[PATH_MAX];
    struct trace_writer *writer;
    struct error error = {0};
    struct buf fields = BUF_INIT;
    snprintf(path, sizeof path, "%s/%s", folder, trace->file);
    assert_int_equal(trace_writer_open(&writer, path, false, &error), 0);
    trace_field_number(&fields, HSK_FIELD_PID, (uint64_t)trace->pid);
    trace_field_number(&fields, HSK_FIELD_PARENT_PID, 1);
    trace_field_number(&fields, HSK_FIELD_START_TIME, 1000 + trace->start);
    if (trace->recording)
        trace_field_string(&fields, HSK_FIELD_RECORDING, trace->recording);
    if (trace->parent)
        trace_field_string(&fields, HSK_FIELD_PARENT_TRACE, trace->parent);
    if (trace->before)
        trace_field_string(&fields, HSK_FIELD_IMAGE_BEFORE, trace->before);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_PROCESS, &fields, 0, 0, &error), 0);
    buf_clear(&fields);
    if (trace->unfinished) {
        trace_writer_abandon(writer);
        buf_free(&fields);
        return;
    }
    for (size_t i = 0; i < 4 && trace->children[i]; i++)
        trace_field_string(&fields, HSK_FIELD_CHILD, trace->children[i]);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NOTE, &fields, 0, 0, &error), 0);
    buf_clear(&fields);
    trace_field_number(&fields, HSK_FIELD_ALLOCATIONS, trace->allocations);
    trace_field_number(&fields, HSK_FIELD_PEAK_BYTES, trace->peak);
    trace_field_number(&fields, HSK_FIELD_LIVE_BYTES, trace->live);
    if (trace->done_live)
        trace_field_number(&fields, HSK_FIELD_DONE_LIVE_BYTES, trace->done_live);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_END, &fields, 0, 0, &error), 0);
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    buf_free(&fields);
}

static void load(struct process_tree *tree, const char *file)
{
    char path[PATH_MAX];
    struct error error = {0};
    snprintf(path, sizeof path, "%s/%s", folder, file);
    assert_int_equal(process_tree_load(tree, path, &error), 0);
}

/* "t.hsk(t.1.0.hsk) .t.2.hsk ..t.3.hsk": by depth, with images before, what is wrong behind a colon. */
static void assert_tree(const char *file, const char *expected)
{
    struct process_tree tree;
    char text[2048];
    size_t length = 0;
    load(&tree, file);
    for (size_t i = 0; i < tree.count; i++) {
        const struct tree_process *process = &tree.processes[i];
        const struct process_image *last = tree_process_last(process);
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "%s%.*s%s%s%s", i ? " " : "", (int)process->depth,
                             "..........", last->file, last->problem ? ":" : "", last->problem ? last->problem : "");
        for (size_t j = 0; j + 1 < process->image_count; j++)
            length += (size_t)snprintf(text + length, sizeof text - length, "(%s)", process->images[j]->file);
        if (process->parent == PROCESS_NONE)
            assert_int_equal(process->depth, 0);
        else
            assert_int_equal(process->depth, tree.processes[process->parent].depth + 1);
    }
    assert_string_equal(text, expected);
    process_tree_free(&tree);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/heapsake-tree-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static void write_all(const struct trace *traces, size_t count)
{
    for (size_t i = 0; i < count; i++)
        write_trace(&traces[i]);
}
#define WRITE(...)                                                                                                     \
    write_all((const struct trace[]){__VA_ARGS__}, sizeof(const struct trace[]){__VA_ARGS__} / sizeof(struct trace))

static void test_alone(void **state)
{
    (void)state;
    WRITE({.file = "t.hsk", .pid = 1, .recording = "r"});
    assert_tree("t.hsk", "t.hsk");
}

static void test_family(void **state)
{
    (void)state;
    WRITE({.file = "t.hsk",
           .pid = 1,
           .recording = "r",
           .before = "t.1.0.hsk",
           .children = {"3 t.3.hsk"},
           .peak = 50,
           .live = 5,
           .done_live = 7,
           .allocations = 10},
          {.file = "t.1.0.hsk",
           .pid = 1,
           .recording = "r",
           .children = {"2 t.2.hsk", "2 t.2.hsk"},
           .peak = 900,
           .live = 800,
           .allocations = 1},
          {.file = "t.2.hsk",
           .pid = 2,
           .recording = "r",
           .parent = "t.hsk",
           .before = "t.2.0.hsk",
           .start = 30,
           .peak = 20,
           .live = 2,
           .allocations = 100},
          {.file = "t.2.0.hsk",
           .pid = 2,
           .recording = "r",
           .parent = "t.hsk",
           .start = 20,
           .children = {"4 t.4.hsk"},
           .allocations = 1000},
          {.file = "t.3.hsk", .pid = 3, .recording = "r", .parent = "t.hsk", .start = 25, .peak = 3, .live = 3},
          {.file = "t.4.hsk", .pid = 4, .recording = "r", .parent = "t.2.hsk", .start = 40});
    assert_tree("t.hsk", "t.hsk(t.1.0.hsk) .t.2.hsk(t.2.0.hsk) ..t.4.hsk .t.3.hsk");
    assert_tree("t.2.hsk", "t.2.hsk(t.2.0.hsk) .t.4.hsk");
    assert_tree("t.3.hsk", "t.3.hsk");

    struct process_tree tree;
    struct process_sums sums;
    load(&tree, "t.hsk");
    process_tree_sum(&tree, &sums);
    assert_int_equal(sums.processes, 4);
    assert_int_equal(sums.traces, 6);
    assert_int_equal(sums.missing, 0);
    assert_int_equal(sums.unfinished, 0);
    assert_int_equal(sums.allocations, 1111);
    assert_int_equal(sums.live_bytes, 7 + 2 + 3);    /* what an exec replaced is gone */
    assert_int_equal(sums.peak_bytes, 900 + 20 + 3); /* images of a process follow each other */
    process_tree_free(&tree);
}

/* The parent had ended, or the recorder was killed: only the children tell. */
static void test_told_by_children_alone(void **state)
{
    (void)state;
    WRITE({.file = "t.hsk", .pid = 1, .recording = "r", .unfinished = true},
          {.file = "t.2.hsk", .pid = 2, .recording = "r", .parent = "t.hsk", .start = 1, .unfinished = true},
          {.file = "t.3.hsk", .pid = 3, .recording = "r", .parent = "t.2.hsk", .start = 2},
          {.file = "t.4.hsk", .pid = 4, .recording = "r", .start = 3},            /* whose parent nobody knows */
          {.file = "t.5.hsk", .pid = 5, .recording = "r", .parent = "t.99.hsk"},  /* ... or is not there */
          {.file = "t.6.hsk", .pid = 6, .recording = "other", .parent = "t.hsk"}, /* of an earlier run */
          {.file = "t.7.hsk", .pid = 7, .parent = "t.hsk"}, {.file = "tt.8.hsk", .pid = 8, .recording = "r"});
    assert_tree("t.hsk", "t.hsk .t.2.hsk ..t.3.hsk t.5.hsk t.4.hsk");
}

static void test_bad_files(void **state)
{
    char path[PATH_MAX];
    (void)state;
    WRITE({.file = "t.hsk",
           .pid = 1,
           .recording = "r",
           .children = {"2 t.2.hsk", "3 t.3.hsk", "4 ../secret.hsk", "5 t.5.hsk"}},
          {.file = "t.3.hsk", .pid = 33, .recording = "other", .peak = 1000000});
    snprintf(path, sizeof path, "%s/t.5.hsk", folder);
    FILE *file = fopen(path, "w");
    fputs("no trace", file);
    fclose(file);
    assert_tree("t.hsk", "t.hsk .t.2.hsk:missing .t.3.hsk:of another recording "
                         ".../secret.hsk:its name is no file's beside this one .t.5.hsk:unreadable");
    struct process_tree tree;
    struct process_sums sums;
    load(&tree, "t.hsk");
    process_tree_sum(&tree, &sums);
    assert_int_equal(sums.missing, 4);
    assert_int_equal(sums.peak_bytes, 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(tree.processes[1 + i].pid, 2 + i); /* as the parent said */
    process_tree_free(&tree);
}

/* Traces of a heapsake that wrote no RECORDING name each other all the same. */
static void test_without_recording(void **state)
{
    (void)state;
    WRITE({.file = "t.hsk", .pid = 1, .children = {"2 t.2.hsk"}}, {.file = "t.2.hsk", .pid = 2, .parent = "t.hsk"},
          {.file = "t.3.hsk", .pid = 3, .parent = "t.hsk"});
    assert_tree("t.hsk", "t.hsk .t.2.hsk");
}

static void test_circles(void **state)
{
    (void)state;
    WRITE({.file = "t.hsk",
           .pid = 1,
           .recording = "r",
           .parent = "t.2.hsk",
           .before = "t.hsk",
           .children = {"1 t.hsk", "2 t.2.hsk"}},
          {.file = "t.2.hsk", .pid = 2, .recording = "r", .children = {"1 t.hsk"}, .start = 1},
          /* each the other's parent, each the other's former image, and its own */
          {.file = "t.3.hsk", .pid = 3, .recording = "r", .parent = "t.4.hsk", .start = 2},
          {.file = "t.4.hsk", .pid = 4, .recording = "r", .parent = "t.3.hsk", .start = 3},
          {.file = "t.5.hsk", .pid = 5, .recording = "r", .before = "t.6.hsk", .start = 4},
          {.file = "t.6.hsk", .pid = 6, .recording = "r", .before = "t.5.hsk", .start = 5},
          {.file = "t.7.hsk", .pid = 7, .recording = "r", .parent = "t.7.hsk", .before = "t.7.hsk", .start = 6});
    struct process_tree tree;
    load(&tree, "t.hsk");
    assert_int_equal(tree.image_count, 7);
    assert_int_equal(tree.count, 6);
    size_t images = 0;
    for (size_t i = 0; i < tree.count; i++)
        images += tree.processes[i].image_count;
    assert_int_equal(images, 7);
    assert_string_equal(tree_process_last(&tree.processes[0])->file, "t.hsk");
    assert_string_equal(tree_process_last(&tree.processes[1])->file, "t.2.hsk");
    assert_int_equal(tree.processes[1].parent, 0);
    process_tree_free(&tree);
    assert_tree("t.3.hsk", "t.3.hsk");
}

/* A chain of a thousand generations needs no deep stack. */
static void test_deep(void **state)
{
    (void)state;
    enum { GENERATIONS = 1000 };
    char file[32], parent[32], child[32];
    for (int i = 0; i < GENERATIONS; i++) {
        snprintf(file, sizeof file, i ? "t.%d.hsk" : "t.hsk", i);
        snprintf(parent, sizeof parent, i > 1 ? "t.%d.hsk" : "t.hsk", i - 1);
        snprintf(child, sizeof child, "%d t.%d.hsk", i + 1, i + 1);
        struct trace trace = {.file = file, .pid = i, .recording = "r", .parent = i ? parent : NULL};
        if (i + 1 < GENERATIONS)
            trace.children[0] = child;
        write_trace(&trace);
    }
    struct process_tree tree;
    load(&tree, "t.hsk");
    assert_int_equal(tree.count, GENERATIONS);
    for (size_t i = 0; i < GENERATIONS; i++)
        assert_int_equal(tree.processes[i].depth, i);
    process_tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(test_alone),
        CASE(test_family),
        CASE(test_told_by_children_alone),
        CASE(test_bad_files),
        CASE(test_without_recording),
        CASE(test_circles),
        CASE(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
