/*
 * error.h - how a failure is told.
 *
 * Functions that can fail return 0 or a negative errno value and leave their
 * outputs untouched on failure. Those that know more than the number fill a
 * struct error with one line: what, where and what to do. Library code never
 * prints; commands print with error_print() and end with one of the exit codes.
 */
#ifndef HEAPSAKE_BASE_ERROR_H
#define HEAPSAKE_BASE_ERROR_H

#include "internal/compiler.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_VIOLATION = 1, /* `check` found one */
    EXIT_USAGE = 2,
    EXIT_UNUSABLE = 3, /* trace or environment */
};

struct error {
    char text[1024]; /* without "heapsake: " and without a newline; "" when there is none */
};

/* Fills `error` (which may be NULL) unless it already holds one, and returns `code`, for `return error_set(...)`. */
int error_set(struct error *error, int code, const char *format, ...) HS_PRINTF(3, 4);
/* One line "heapsake: TEXT" on standard error; control characters are shown as \xNN. */
void error_print(const struct error *error);
/* The same for a line that is not from a struct error. */
void message_print(const char *format, ...) HS_PRINTF(1, 2);

#endif
