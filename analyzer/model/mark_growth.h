/*
 * mark_growth.h - how much stays per occurrence of a mark, once the program has warmed up.
 *
 * The first quarter of the occurrences, at least one, is warm-up and does not count: imports, caches, pools. What stays
 * at one of the others is the least that lives at it or at any later one, so that what is freed later on (peaks,
 * garbage that waits for the collector) is no growth. The others are cut into eight parts of equal length, or as many
 * as there are; the growth per occurrence is the median of theirs (of an even number the lower one in the midst): a
 * step here or there, when a table is enlarged, is none. The same moments always give the same number.
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
