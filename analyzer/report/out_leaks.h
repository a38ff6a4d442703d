/*
 * out_leaks.h - a leak with its cause, as text and as JSON.
 */
#ifndef HEAPSAKE_REPORT_OUT_LEAKS_H
#define HEAPSAKE_REPORT_OUT_LEAKS_H

#include "model/leak_causes.h"
#include "model/stacks.h"
#include "report/out_json.h"

/* One element of "leaks". */
void put_leak(struct json *json, const struct leak *leak, const struct stacks *stacks);

/* One line: the cause, how much of what, and the line to suspect. */
void out_leak_line(const struct leak *leak, const struct stacks *stacks);

/* A paragraph, with at most `frames` frames of the stack. */
void out_leak(const struct leak *leak, const struct stacks *stacks, unsigned frames);

#endif
