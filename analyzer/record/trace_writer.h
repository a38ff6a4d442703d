/*
 * trace_writer.h - writes a trace file: chunks, index and footer (trace_format.h).
 *
 * A writer owns the open file. Every chunk is one write() behind the last whole
 * chunk; when a write fails the file is cut back to its last whole chunk, so that
 * whatever happens the file is readable. After such a failure only small closing
 * chunks (NOTE, END, INDEX) are still tried: 64 KiB are held reserved for them.
 * The file is locked (flock) as long as it is written, where the file system can do that.
 *
 * Failures are negative errno values and one line in `error`. The caller ignores
 * SIGXFSZ if it wants EFBIG instead of a signal. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_TRACE_WRITER_H
#define HEAPSAKE_RECORD_TRACE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "heapsake/trace_format.h"
#include "trace/chunk_pack.h"

struct trace_writer;

struct trace_chunk {
    enum hsk_chunk_type type;
    uint64_t time_first_ns, time_last_ns; /* since the start of the session             */
    uint64_t ordinal_first;               /* EVENTS only, like the two behind; 0 else    */
    uint32_t ordinal_count, event_count;
    const struct trace_part *parts; /* concatenated they are the raw bytes; each becomes a zstd frame */
    size_t part_count;
};

/*
 * Creates the file, mode 0600, and writes the file header. An existing name is
 * -EEXIST, unless `force`: then a new file takes the place of the old one, which
 * must be a regular file (a symbolic link is never followed: -ELOOP).
 * *writer belongs to the caller: trace_writer_finish() or trace_writer_abandon().
 */
int trace_writer_open(struct trace_writer **writer, const char *path, bool force, struct error *error);

/*
 * Compresses and appends one chunk. -EFBIG: raw or stored bytes exceed the format's
 * bounds (nothing is written, the writer goes on). After any other failure the
 * writer refuses all but NOTE and END chunks, with the first failure's code.
 */
int trace_writer_chunk(struct trace_writer *writer, const struct trace_chunk *chunk, struct error *error);

/* The same for a chunk of one part; an empty buf writes nothing and gives 0, a failed one gives -ENOMEM. */
int trace_writer_buf(struct trace_writer *writer, enum hsk_chunk_type type, const struct buf *raw,
                     uint64_t time_first_ns, uint64_t time_last_ns, struct error *error);

/* Writes INDEX and footer, closes the file and frees the writer, also when it fails. */
int trace_writer_finish(struct trace_writer *writer, struct error *error);

/* Closes the file as it is, without index, and frees the writer. NULL is nothing. */
void trace_writer_abandon(struct trace_writer *writer);

/* Gives the file another name, never one that exists (-EEXIST, and no text in `error`, so that the caller may try
 * others). */
int trace_writer_rename(struct trace_writer *writer, const char *path, struct error *error);

/* Bytes in the file up to now. */
uint64_t trace_writer_bytes(const struct trace_writer *writer);

/* The file's name, as given to open or rename; valid until the next rename or the end of the writer. */
const char *trace_writer_path(const struct trace_writer *writer);

/* 0, or the failure that stopped the writer. */
int trace_writer_failure(const struct trace_writer *writer);

/* Fields of PROCESS, NOTE and END. Values longer than HSK_MAX_STRING are cut. */
void trace_field_bytes(struct buf *buf, enum hsk_field tag, const void *value, size_t length);
void trace_field_string(struct buf *buf, enum hsk_field tag, const char *value);
void trace_field_number(struct buf *buf, enum hsk_field tag, uint64_t value);

#endif
