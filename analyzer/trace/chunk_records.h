/*
 * chunk_records.h - goes through the chunks of a trace, each type with a function of its own.
 *
 *     static chunk_reader *const readers[] = {[HSK_CHUNK_NODES] = load_nodes, [HSK_CHUNK_MODULES] = load_modules};
 *     whole = chunk_records_read(reader, readers, HS_COUNT_OF(readers), &tables);
 */
#ifndef HEAPSAKE_TRACE_CHUNK_RECORDS_H
#define HEAPSAKE_TRACE_CHUNK_RECORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "trace/trace_reader.h"

/*
 * Takes the records of one chunk. `cursor` is at the first of them and holds until the function returns, which leaves
 * `cursor->failed` where they cannot be read. False: memory ran out, and nothing more is to be read.
 */
typedef bool chunk_reader(void *context, struct cursor *cursor);

/*
 * Loads the chunks for whose type there is a function, readers[type], in the order of the file, and gives them to it.
 * The damaged ones are remembered by the reader. False when a function gave up.
 */
bool chunk_records_read(struct trace_reader *reader, chunk_reader *const *readers, size_t count, void *context);

#endif
