/* leak_report.h - the leaks of a snapshot, for the reports that need them. */
#ifndef HEAPSAKE_REPORT_LEAK_REPORT_H
#define HEAPSAKE_REPORT_LEAK_REPORT_H

#include "model/leak_causes.h"
#include "model/suppressions.h"
#include "report/graph_report.h"

/*
 * Opens the graph of a snapshot (-1: the last whole one) and finds its leaks. Returns an enum exit_code; what is wrong
 * has been printed. The caller closes the graph and frees the leaks in any case.
 */
int leak_report_find(struct leaks *leaks, struct graph_report *graph, struct report *report, int64_t snapshot);

/*
 * Is it one that somebody does not want to see? Without a leak: the `bytes` of a site, whose stack is given. What
 * matches is counted (suppressions.h).
 */
bool leak_report_suppressed(struct suppressions *suppressions, const struct stacks *stacks, const struct leak *leak,
                            uint32_t stack, uint64_t bytes);

#endif
