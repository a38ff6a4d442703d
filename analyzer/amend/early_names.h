/*
 * early_names.h - names for native frames of a trace that has none yet, because its end is not written: it grows still,
 * or its recorder was killed.
 *
 * They are found as `heapsake symbolize` finds them, in the files that the trace lists and that are still of the same
 * build (module_search.h; no server is asked), and stay in memory: the trace is not touched. Not thread-safe.
 */
#ifndef HEAPSAKE_AMEND_EARLY_NAMES_H
#define HEAPSAKE_AMEND_EARLY_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "trace/trace_reader.h"

struct early_names;

/* 0 or a negative errno. The caller owns *early. */
int early_names_open(struct early_names **early, struct error *error);
/* NULL is nothing. */
void early_names_close(struct early_names *early);

/* Reads which modules there are, in place of those of the last time. What was found stays. 0 or -ENOMEM. */
int early_names_read_modules(struct early_names *early, struct trace_reader *reader, struct error *error);

/*
 * Names the frames, for which nobody has asked before; they may be given twice. Each file is opened once for all of
 * them, so give many. The trace is not read. 0 or -ENOMEM.
 */
int early_names_find(struct early_names *early, const uint64_t *frames, size_t count);

/*
 * What was found, piece by piece: the payload of a SYMBOLS chunk with frames that early_names_find() was asked for.
 * NULL: there are no more than `number`. Valid until more is found.
 */
const struct buf *early_names_found(const struct early_names *early, size_t number);

#endif
