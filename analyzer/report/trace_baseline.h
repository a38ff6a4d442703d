/*
 * trace_baseline.h - the baseline that a trace would make, measured by a child of this process.
 *
 * Beside it the caller measures another trace: that are two equal amounts of work that have nothing to do with each
 * other, and machines have more than one processor. The child dies with its parent. Not thread-safe.
 */
#ifndef HEAPSAKE_REPORT_TRACE_BASELINE_H
#define HEAPSAKE_REPORT_TRACE_BASELINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/baseline.h"
#include "model/suppressions.h"

struct trace_baseline {
    pid_t child;  /* 0: none */
    int text;     /* what it writes: the baseline's text ... */
    int messages; /* ... and what is wrong with the trace    */
};
#define TRACE_BASELINE_INIT ((struct trace_baseline){.text = -1, .messages = -1})

/*
 * Begins to measure the trace at `path`, with its leaks if `leaks`. EXIT_DONE, or EXIT_UNUSABLE after saying why. The
 * caller calls trace_baseline_end() or trace_baseline_drop().
 */
int trace_baseline_begin(struct trace_baseline *other, const char *path, bool leaks, struct suppressions *suppressions);

/* Waits for it. An enum exit_code; what is wrong has been printed. */
int trace_baseline_end(struct trace_baseline *other, const char *path, struct baseline *baseline);

/* Ends it, when nobody wants it any more; nothing when there is none. */
void trace_baseline_drop(struct trace_baseline *other);

#endif
