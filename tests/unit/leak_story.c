/* leak_story.c - see leak_story.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leak_story.h"
#include "make_graph.h"
#include "model/leak_evidence.h"
#include "temporary_file.h"

struct analysis *analyse(struct buf *text, bool python)
{
    struct analysis *a = calloc(1, sizeof *a);
    struct error error = {0};
    buf_printf(text, "snapshot exit\n");
    buf_append_byte(text, 0);
    assert_false(text->failed);
    assert_int_equal(made_graph_write(temporary_file, (const char *)text->data), 0);
    buf_free(text);
    assert_int_equal(report_open(&a->report, temporary_file), EXIT_DONE);
    assert_int_equal(report_replay(&a->report, true), EXIT_DONE);
    assert_int_equal(graph_report_open_history(&a->graph, &a->report, -1), EXIT_DONE);
    assert_int_equal(graph_report_dominators(&a->graph), EXIT_DONE);
    assert_int_equal(graph_report_components(&a->graph), EXIT_DONE);
    struct evidence evidence = {.graph = &a->graph.graph,
                                .reach = &a->graph.reach,
                                .snapshot = a->graph.snapshot,
                                .lifetimes = a->graph.lifetimes,
                                .stacks = a->report.stacks,
                                .history = a->graph.history,
                                .python = python,
                                .components = a->graph.components,
                                .dominators = a->graph.dominators,
                                .own = a->graph.own};
    assert_int_equal(evidence_prepare(&evidence, &error), 0);
    assert_int_equal(leaks_find(&a->leaks, &evidence, &error), 0);
    evidence_free(&evidence);
    return a;
}

void done(struct analysis *a)
{
    leaks_free(&a->leaks);
    graph_report_close(&a->graph);
    report_close(&a->report);
    free(a);
}

const struct leak *only(struct analysis *a, enum leak_cause cause, const char *type, uint64_t count)
{
    for (size_t i = 0; i < a->leaks.count && a->leaks.count != 1; i++)
        print_error("%s %s: %s\n", leak_cause_names[a->leaks.list[i].cause], a->leaks.list[i].type,
                    a->leaks.list[i].explanation);
    assert_int_equal(a->leaks.count, 1);
    const struct leak *leak = &a->leaks.list[0];
    assert_string_equal(leak_cause_names[leak->cause], leak_cause_names[cause]);
    if (type)
        assert_string_equal(leak->type, type);
    else
        assert_null(leak->type);
    assert_int_equal(leak->count, count);
    assert_non_null(leak->explanation);
    return leak;
}

void silent(struct buf *text)
{
    struct analysis *a = analyse(text, true);
    for (size_t i = 0; i < a->leaks.count; i++)
        print_error("%s %s: %s\n", leak_cause_names[a->leaks.list[i].cause], a->leaks.list[i].type,
                    a->leaks.list[i].explanation);
    assert_int_equal(a->leaks.count, 0);
    done(a);
}

const char *fact(const struct leak *leak, const char *key)
{
    for (unsigned i = 0; i < leak->fact_count; i++)
        if (strcmp(leak->facts[i].key, key) == 0)
            return leak->facts[i].text;
    return NULL;
}

const char *innermost(struct analysis *a, uint32_t stack)
{
    static char name[64];
    assert_int_not_equal(stack, 0);
    struct frame frame = stacks_frame(a->report.stacks, stack);
    snprintf(name, sizeof name, "%.*s", (int)frame.function.length, frame.function.bytes);
    return name;
}

void churn(struct buf *text, const char *name, int from, int to)
{
    for (int i = from; i < to; i++)
        buf_printf(text, "object %s%d list stack=other\nfree %s%d\n", name, i, name, i);
}
