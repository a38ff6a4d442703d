/*
 * out_diff.h - a comparison of two traces, as text and as JSON.
 */
#ifndef HEAPSAKE_REPORT_OUT_DIFF_H
#define HEAPSAKE_REPORT_OUT_DIFF_H

#include <stddef.h>

#include "report/trace_diff.h"

/* At most `shown` sites, and as many types. */
void out_diff_text(const struct trace_diff *diff, size_t shown);
void out_diff_json(const struct trace_diff *diff, size_t shown);

#endif
