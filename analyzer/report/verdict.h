/*
 * verdict.h - which limits a trace violates, and where.
 *
 * A verdict depends on nothing but the trace, the limits and the baseline: neither on the time nor on the machine. It
 * refers to what it was made of, which must stay as long as it.
 */
#ifndef HEAPSAKE_REPORT_VERDICT_H
#define HEAPSAKE_REPORT_VERDICT_H

#include "base/buf.h"
#include "model/baseline.h"
#include "model/limits.h"
#include "model/sites_wanted.h"
#include "report/measured.h"

/* A leak, or a site. */
struct violation_place {
    const struct leak *leak; /* NULL: a site */
    uint32_t stack;
    uint32_t look_at; /* the stack whose innermost frame people would look at; 0: none is known */
    uint64_t count, bytes;
};
#define VIOLATION_PLACES 5u

struct violation {
    const struct limit *limit;
    const char *measure;         /* what was too much: "peak", "live", "leaked", "allocations", "leak" or "growth" */
    const struct region *region; /* the occurrence that was the worst; NULL: of all, or of the whole run */
    bool is_count;               /* most and actual are no bytes */
    uint64_t most, actual;
    struct violation_place places[VIOLATION_PLACES]; /* the most important first */
    unsigned place_count;
    struct buf message; /* one sentence; names in it are not to be trusted; never failed */
};

/* What people would look at first: of the most important place that has a line to look at; 0: none has. */
static inline uint32_t violation_look_at(const struct violation *violation)
{
    for (unsigned i = 0; i < violation->place_count; i++) {
        if (violation->places[i].look_at != 0)
            return violation->places[i].look_at;
    }
    return 0;
}

struct verdict {
    const struct limits *limits;
    struct measured *measured;
    struct violation *list; /* by rule */
    size_t count, capacity;
    bool has_baseline;
    size_t gone;        /* leaks of the baseline that are no more */
    size_t still_there; /* ... that are not told, though as much is alive at their places */
    bool failed;        /* out of memory */
    /* private, until it is reached: the sites that are to be named, found in one pass for all violations */
    struct sites_wanted *wanted;
    struct naming *naming; /* what each of those is for */
    size_t wanted_count, wanted_capacity, naming_capacity;
};

/* `before` is NULL without a baseline, and is matched with the measured state. An enum exit_code: EXIT_DONE also when
 * violated. */
int verdict_reach(struct verdict *verdict, const struct limits *limits, struct measured *measured,
                  struct baseline *before);
void verdict_free(struct verdict *verdict);

/* What was measured for a limit; false: it has no one number. */
bool verdict_actual(const struct verdict *verdict, const struct limit *limit, uint64_t *actual);

/* How many violations are of that limit. */
size_t verdict_violations(const struct verdict *verdict, const struct limit *limit);

#endif
