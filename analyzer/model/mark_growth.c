/* mark_growth.c - see mark_growth.h */
#include "model/mark_growth.h"

#include <errno.h>
#include <stdlib.h>

#include "internal/compiler.h"

#define POINTS 512u /* 131 thousand pairs */

const char *const mark_measure_names[MARK_MEASURES] = {"bytes", "blocks", "objects"};

struct point {
    uint64_t at, value;
};

size_t mark_growth_warm_up(size_t count)
{
    return (count + 3) / 4;
}

static uint64_t value_of(const struct mark_moment *moment, enum mark_measure measure)
{
    return measure == MARK_BYTES    ? moment->live_bytes
           : measure == MARK_BLOCKS ? moment->live_blocks
                                    : moment->live_objects;
}

/* The lowest of each group of neighbours. */
static size_t take_points(struct point *points, const struct mark_moment *moments, size_t count,
                          enum mark_measure measure)
{
    size_t groups = count < POINTS ? count : POINTS;
    for (size_t group = 0; group < groups; group++) {
        size_t from = group * count / groups, to = (group + 1) * count / groups;
        points[group] = (struct point){.at = from, .value = value_of(&moments[from], measure)};
        for (size_t i = from + 1; i < to; i++)
            if (value_of(&moments[i], measure) < points[group].value)
                points[group] = (struct point){.at = i, .value = value_of(&moments[i], measure)};
    }
    return groups;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

int mark_growth_slope(double *slope, const struct mark_moment *moments, size_t count, enum mark_measure measure)
{
    struct point points[POINTS];
    size_t warm_up = mark_growth_warm_up(count), pairs = 0;
    size_t used = take_points(points, moments + warm_up, count - warm_up, measure);
    double *slopes = calloc(used * (used - 1) / 2 + 1, sizeof *slopes);
    if (!slopes)
        return -ENOMEM;
    for (size_t i = 0; i < used; i++)
        for (size_t k = i + 1; k < used; k++)
            slopes[pairs++] =
                (double)(int64_t)(points[k].value - points[i].value) / (double)(points[k].at - points[i].at);
    qsort(slopes, pairs, sizeof *slopes, ascending);
    /* of an even number the lower one in the midst: what half of the pairs do not show is not growth */
    *slope = pairs ? slopes[(pairs - 1) / 2] : 0;
    free(slopes);
    return 0;
}
