/* mark_growth.c - see mark_growth.h */
#include "model/mark_growth.h"

#include <errno.h>
#include <stdlib.h>

#include "internal/compiler.h"

#define PARTS 8u

const char *const mark_measure_names[MARK_MEASURES] = {"bytes", "blocks", "objects"};

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

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

int mark_growth_slope(double *slope, const struct mark_moment *moments, size_t count, enum mark_measure measure)
{
    size_t first = mark_growth_warm_up(count), steps = count - first - 1, parts = steps < PARTS ? steps : PARTS;
    uint64_t *stays = calloc(count, sizeof *stays), least = UINT64_MAX;
    double slopes[PARTS] = {0};
    if (!stays)
        return -ENOMEM;
    for (size_t i = count; i-- > first;) {
        uint64_t value = value_of(&moments[i], measure);
        stays[i] = least = value < least ? value : least;
    }
    for (size_t part = 0; part < parts; part++) {
        size_t from = first + part * steps / parts, to = first + (part + 1) * steps / parts;
        slopes[part] = (double)(stays[to] - stays[from]) / (double)(to - from);
    }
    qsort(slopes, parts, sizeof *slopes, ascending);
    *slope = parts ? slopes[(parts - 1) / 2] : 0;
    free(stays);
    return 0;
}
