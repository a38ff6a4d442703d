/*
 * out_check.h - a verdict for people, for scripts, for CI systems.
 *
 * All of them say the same, in the same order, and are valid whatever the names in the trace are. Those that write to a
 * stream do not look at its errors.
 */
#ifndef HEAPSAKE_REPORT_OUT_CHECK_H
#define HEAPSAKE_REPORT_OUT_CHECK_H

#include <stdio.h>

#include "report/verdict.h"

/* On standard output (out_text.h). */
void out_check_text(const struct verdict *verdict);
/* One JSON document. */
void out_check_json(const struct verdict *verdict, FILE *to);
/* JUnit's XML: a test case for each limit. `verdict` NULL: it could not be checked. */
void out_check_junit(const struct verdict *verdict, const char *trace, FILE *to);
/* SARIF 2.1.0: a result for each violation. The same. */
void out_check_sarif(const struct verdict *verdict, const char *trace, FILE *to);
/* Commands to the runner of a GitHub workflow, a line each: the violations, at their lines. */
void out_check_annotations(const struct verdict *verdict, FILE *to);

/* What more is known of a violation than its message, as lines of plain text: for formats that have room for a text. */
void out_check_details(const struct verdict *verdict, const struct violation *violation, FILE *to);

/* "max-peak 20 MB", "parse:no-leaks of cause lost, cycle", "max-growth-per request:1 kB"; names are made harmless. */
void out_check_limit(const struct limit *limit, FILE *to);

#endif
