/* early_stacks.h - stacks of a trace that has no end yet, with names from the files that are here now. */
#ifndef HEAPSAKE_REPORT_EARLY_STACKS_H
#define HEAPSAKE_REPORT_EARLY_STACKS_H

#include "amend/early_names.h"
#include "model/stacks.h"

/*
 * Makes early names the source of the stacks, which were just loaded from the reader. `*early` is NULL at first, and
 * the caller's; given for the stacks of the same trace again, what it has found need not be looked for. 0 or a negative
 * errno.
 */
int early_stacks(struct stacks *stacks, struct trace_reader *reader, struct early_names **early, struct error *error);

#endif
