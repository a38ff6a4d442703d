/* mark_moment.h - where among the events the marks of one name are. */
#ifndef HEAPSAKE_MODEL_MARK_MOMENT_H
#define HEAPSAKE_MODEL_MARK_MOMENT_H

#include <stdint.h>

#include "base/error.h"
#include "trace/trace_reader.h"

struct mark_place {
    uint64_t event; /* allocations and frees before it */
    uint64_t time_ns;
};

/*
 * Finds a mark by what people write: NAME is the last one of that name, NAME#2 the second; a mark that is called NAME#2
 * goes first. -ENOENT: there is none, and `error` says what there is instead. -ENOMEM. Damaged chunks are the reader's
 * to tell.
 */
int mark_place_find(struct mark_place *place, struct trace_reader *reader, const char *text, struct error *error);

#endif
