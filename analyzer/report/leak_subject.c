/* leak_subject.c - see leak_subject.h */
#include "report/leak_subject.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/leak_report.h"
#include "report/report.h"

static char *copy(struct text text)
{
    return text.bytes ? strndup(text.bytes, text.length) : NULL;
}

static void take_place(struct leak_subject *subject, const struct stacks *stacks, uint32_t stack)
{
    for (; stack; stack = stacks_caller(stacks, stack)) {
        struct frame frame = stacks_frame(stacks, stack);
        if (frame.language != FRAME_PYTHON)
            continue;
        subject->file = copy(frame.file);
        subject->line = frame.line;
        return;
    }
}

/* False: there is none of that number. */
static bool take_leak(struct leak_subject *subject, const struct leaks *leaks, const struct stacks *stacks,
                      uint64_t number)
{
    for (size_t i = 0; i < leaks->count; i++) {
        const struct leak *leak = &leaks->list[i];
        if (leak->number != number)
            continue;
        subject->type = leak->type ? strdup(leak->type) : NULL;
        take_place(subject, stacks, leak->stack);
        return true;
    }
    return false;
}

int leak_subject_find(struct leak_subject *subject, const char *trace, uint64_t number)
{
    struct report report;
    struct graph_report graph = {0};
    struct leaks leaks = LEAKS_INIT;
    *subject = (struct leak_subject){0};
    int status = report_open(&report, trace);
    if (status != EXIT_DONE)
        return status;
    report.warned = true; /* by the command that has shown the leak */
    status = leak_report_find(&leaks, &graph, &report, -1);
    if (status == EXIT_DONE && !take_leak(subject, &leaks, report.stacks, number)) {
        message_print("%s: has no leak #%" PRIu64 ": heapsake leaks numbers them from 1 to %zu", trace, number,
                      leaks.count);
        status = EXIT_USAGE;
    }
    leaks_free(&leaks);
    graph_report_close(&graph);
    report_close(&report);
    return status;
}

void leak_subject_free(struct leak_subject *subject)
{
    free(subject->type);
    free(subject->file);
    *subject = (struct leak_subject){0};
}
