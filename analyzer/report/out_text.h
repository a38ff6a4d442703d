/*
 * out_text.h - what reports for people are made of: units, columns, colors, the pager.
 *
 * Everything goes to standard output. Names from a trace are not to be trusted:
 * out_untrusted() shows control characters, and bytes that are no UTF-8, as \xNN.
 */
#ifndef HEAPSAKE_REPORT_OUT_TEXT_H
#define HEAPSAKE_REPORT_OUT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "model/stacks.h"

/* "auto", "always" or "never": the option --color of every command. */
extern const char *out_color_choice;

enum out_color { OUT_PLAIN = 0, OUT_HEADING, OUT_NUMBER, OUT_PLACE, OUT_DIM, OUT_WARNING };

/* Begins a report: decides on colors and, on a terminal when `paged`, starts the pager that git would use. */
void out_begin(bool paged);

/* Ends it: flushes, waits for the pager. An enum exit_code: writing may have failed, which it says. */
int out_end(void);

/* The sequence that switches a color on (OUT_PLAIN: off), "" without colors. */
const char *out_color(enum out_color color);

/* A heading on a line of its own, behind an empty line unless it is the first of the report. */
void out_heading(const char *format, ...) HS_PRINTF(1, 2);

#define OUT_NUMBER_SIZE 40
/* Each fills `text` (OUT_NUMBER_SIZE bytes) and returns it. */
const char *out_bytes(char *text, uint64_t bytes);         /* "1.50 MiB"      */
const char *out_count(char *text, uint64_t count);         /* "1,234,567"     */
const char *out_seconds(char *text, uint64_t nanoseconds); /* "1.234 s", "12.0 ms" */

/* Are we a step of a GitHub workflow, which reads standard output for commands? */
bool out_in_workflow(void);

/* Bytes of a trace, made harmless. */
void out_untrusted(FILE *to, const char *bytes, size_t length);

/* One frame: "function  file:line" or "function  in module". */
void out_frame(FILE *to, const struct frame *frame);

/* The frames of a stack, innermost first, a line each, at most `limit` (0: all). */
void out_stack(const struct stacks *stacks, uint32_t stack, int indent, unsigned limit);

/* The last component of a path. */
struct text out_base_name(struct text path);

/* "malloc" for HSK_DOMAIN_MALLOC; the names of reports and JSON. */
extern const char *const out_domain_names[HSK_DOMAINS];

#endif
