/*
 * trace_diff.h - what is different between two moments of traces: by site, by type, in total.
 *
 *     struct trace_diff diff = TRACE_DIFF_INIT;
 *     diff.sides[DIFF_OLD].path = ...; diff.sides[DIFF_OLD].moment = ...; the same of DIFF_NEW
 *     status = trace_diff_make(&diff);
 *     ...
 *     trace_diff_free(&diff);
 */
#ifndef HEAPSAKE_REPORT_TRACE_DIFF_H
#define HEAPSAKE_REPORT_TRACE_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/site_match.h"
#include "report/report.h"
#include "report/type_totals.h"

enum diff_which { DIFF_OLD = 0, DIFF_NEW = 1 };

struct diff_side {
    char *path; /* from malloc */
    struct trace_moment moment;
    struct report report; /* as of the moment */
    struct sites allocated;
    struct type_totals types;
    char *script; /* whole path of what an interpreter was given; NULL: none, or the path is whole as it was given */
};

/* What was there, and what is there now. */
struct diff_amount {
    uint64_t old_count, old_bytes;
    uint64_t new_count, new_bytes;
};

struct type_difference {
    const char *name; /* belongs to the sides' types */
    struct diff_amount amount;
};

struct trace_diff {
    struct diff_side sides[2];
    bool allocated; /* sites by all that they allocated up to the moment, not by what lives then */

    struct site_pair *sites; /* those that changed, the largest difference first */
    size_t site_count;
    struct type_difference *types; /* the same of types; only if types_known */
    size_t type_count;
    bool types_known;  /* false: of a Python program it is not told which objects lived at one of the moments */
    bool types_births; /* from births and deaths; else from the snapshot that sides[i].types names */
};

#define TRACE_DIFF_INIT ((struct trace_diff){0})

/* Reads the sides and compares them. An enum exit_code; what is wrong, or must be known, is on standard error. */
int trace_diff_make(struct trace_diff *diff);
void trace_diff_free(struct trace_diff *diff);

/* How far two numbers are from each other. */
static inline uint64_t diff_size(uint64_t old_value, uint64_t new_value)
{
    return old_value < new_value ? new_value - old_value : old_value - new_value;
}

struct diff_amount diff_site_amount(const struct site_pair *site);

#endif
