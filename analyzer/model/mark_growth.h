/*
 * mark_growth.h - how much stays per occurrence of a mark, once the program has warmed up.
 *
 * The first quarter of the occurrences, at least one, is warm-up and does not count: imports, caches, pools. Of the
 * others the slope is the median of the slopes between all pairs (Theil and Sen), so that single steps, or a peak at some
 * of the marks, do not show. Of very many marks, groups of neighbours are represented by their lowest: what stays is under
 * all of them. The same moments always give the same number.
 */
#ifndef HEAPSAKE_MODEL_MARK_GROWTH_H
#define HEAPSAKE_MODEL_MARK_GROWTH_H

#include <stddef.h>
#include <stdint.h>

#include "model/regions.h"

#define MARK_GROWTH_LEAST 3u /* occurrences after warm-up */

enum mark_measure { MARK_BYTES = 0, MARK_BLOCKS, MARK_OBJECTS, MARK_MEASURES };
/* "bytes" ... */
extern const char *const mark_measure_names[MARK_MEASURES];

/* How many of so many occurrences are warm-up. */
size_t mark_growth_warm_up(size_t count);

/* Per occurrence; at least MARK_GROWTH_LEAST moments are behind the warm-up. 0 or -ENOMEM. */
int mark_growth_slope(double *slope, const struct mark_moment *moments, size_t count, enum mark_measure measure);

#endif
