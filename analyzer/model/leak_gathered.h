/*
 * leak_gathered.h - the entry for what is reachable and only grows, whatever it was found in: containers
 * (leak_containers.c), chains and trees (leak_spread.c).
 *
 * Where the path to what holds it goes through something that people forget (leak_paths.h), the cause is `held`.
 */
#ifndef HEAPSAKE_MODEL_LEAK_GATHERED_H
#define HEAPSAKE_MODEL_LEAK_GATHERED_H

#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_growth.h"

struct gathered {
    uint32_t holder; /* UINT32_MAX: no single one */
    size_t holders;
    const uint32_t *members; /* not empty */
    size_t count;
    uint64_t retained;
    struct growth growth;
    double confidence, most; /* to begin with, and never more than this */
};

/* Adds the entry, and marks the members as explained. 0 or -ENOMEM. */
int gathered_report(struct leaks *leaks, struct evidence *evidence, const struct gathered *found);

/* Can the object have members that come and go? It is in use, and no namespace, code, frame or tuple. */
bool gathered_can_hold(const struct evidence *evidence, uint32_t node);
/* Does the edge lead from a container to a member? */
bool gathered_leads(struct ref_edge edge);

#endif
