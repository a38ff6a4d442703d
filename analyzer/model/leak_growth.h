/*
 * leak_growth.h - does a set of blocks keep on growing?
 *
 * Told from the births of those that live: they are spread from the oldest to the end of the run. What is bounded
 * looks the same at a glance (its survivors are the youngest); it is known by the number of blocks of
 * the same sites that lived when the oldest survivor was born: as many as now.
 */
#ifndef HEAPSAKE_MODEL_LEAK_GROWTH_H
#define HEAPSAKE_MODEL_LEAK_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/leak_evidence.h"

struct growth {
    bool grows, steady;
    bool stopped; /* by the clock nothing was born in the second half */
    uint64_t first_ns, last_ns;
    double per_second;
    uint64_t quarters[4]; /* births in each quarter between the first birth and the end */
    uint64_t live_before; /* blocks of the same sites that lived before the first birth  */
    uint64_t live_end;
};

/* Of nodes with births (evidence_is_born()). 0 or -ENOMEM. */
int growth_measure(struct growth *growth, const struct evidence *evidence, const uint32_t *nodes, size_t count);

#endif
