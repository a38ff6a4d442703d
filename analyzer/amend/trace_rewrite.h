/*
 * trace_rewrite.h - a trace once more, with other SYMBOLS.
 */
#ifndef HEAPSAKE_AMEND_TRACE_REWRITE_H
#define HEAPSAKE_AMEND_TRACE_REWRITE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/new_file.h"
#include "trace/trace_reader.h"

/*
 * Writes the trace into `file`, which is new and empty. Every byte is copied, but for the SYMBOLS that are whole, in
 * whose place those of `payloads` stand (or before the end where there were none), and index and footer, which are made
 * anew. Where the number of SYMBOLS chunks is another, the chunks behind them are numbered anew.
 *
 * What is missing stays missing, and is told of the new file as of the old: damaged and cut chunks are copied as they
 * are, and a file without an index gets none. All SYMBOLS must have been loaded before. A negative errno with
 * `error`; what is in the file is of no use then.
 */
int trace_rewrite(struct trace_reader *reader, const struct buf *payloads, size_t payload_count,
                  const struct new_file *file, struct error *error);

/* Writes the trace into `file` as it is. A negative errno with `error`. */
int trace_copy(struct trace_reader *reader, const struct new_file *file, struct error *error);

#endif
