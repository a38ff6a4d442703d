/*
 * earlier.h - what a process had when it was attached to: the first snapshot of such a trace, beside a later one.
 *
 * The births of what lived then are not known. A container that was full replaces its members: all of them are new, and
 * it has not grown. So what an attach calls growth has to be seen in the number of members, too, or in that of all
 * objects of a type.
 *
 * Objects are the same when address and type are, and the later one's block was allocated before the attach. Not
 * thread-safe.
 */
#ifndef HEAPSAKE_MODEL_EARLIER_H
#define HEAPSAKE_MODEL_EARLIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/ref_graph.h"

struct earlier {
    struct ref_graph graph; /* of the first snapshot                        */
    uint32_t *nodes;        /* of its objects, by address                     */
    size_t node_count;
    uint32_t *types;  /* by type of the later graph: that of the first  */
    uint64_t *counts; /* by type of the later graph: objects then       */
};

/* 0 or -ENOMEM. Both snapshots are of the same trace. */
int earlier_load(struct earlier *earlier, struct trace_reader *reader, const struct snapshot_info *first,
                 const struct ref_graph *later, struct error *error);
/* NULL does nothing. */
void earlier_free(struct earlier *earlier);

/*
 * Has it only `born` new members in place of others, so that it has not grown? `container` had members of `type` in the
 * first snapshot already, both of the later graph. `earlier` NULL: the trace is that of the whole run, and the answer
 * is no.
 */
bool earlier_replaced(const struct earlier *earlier, const struct ref_graph *later, uint32_t container, uint32_t type,
                      size_t born);
/* The same of objects of a type anywhere, of which the later snapshot has `now`. */
bool earlier_replaced_type(const struct earlier *earlier, uint32_t type, size_t now, size_t born);

#endif
