/*
 * gone_leaks.h - which leaks of a baseline a run has no more.
 *
 * That a leak is not told says little: a run that is shorter, or does more behind it, makes growth look finished. So it
 * is gone only when less than half of its bytes is alive, when the program is done, where it was allocated.
 */
#ifndef HEAPSAKE_REPORT_GONE_LEAKS_H
#define HEAPSAKE_REPORT_GONE_LEAKS_H

#include <stddef.h>

#include "model/baseline.h"
#include "report/measured.h"

/*
 * Counts the leaks of `before`, which is matched with the measured state, that have no match: those that are gone, and those that
 * are still there. Takes a pass over the trace when there is one. 0, or a negative errno and what is wrong in *error.
 */
int gone_leaks_count(const struct baseline *before, struct measured *measured, size_t *gone, size_t *still_there,
                     struct error *error);

#endif
