/*
 * output.h - the trace file of one image: its name, and who may write to it when.
 *
 * A file is written by the thread that drains the session, then by the one that
 * finishes it, and may be renamed meanwhile or later, when the process executes
 * another image (FILE holds the last one). So an output is counted by its users and has a lock.
 */
#ifndef HEAPSAKE_RECORD_OUTPUT_H
#define HEAPSAKE_RECORD_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "record/encode.h"
#include "record/trace_writer.h"

struct output;

/*
 * Creates the file `path`. With `suffixes` a name that is taken gets one: PATH minus .hsk, ".again-N.hsk". The caller
 * owns a reference. 0 or a negative errno with `error`.
 */
int output_open(struct output **output, const char *path, bool force, bool suffixes, struct error *error);
struct output *output_ref(struct output *output);
/* The last reference closes the file as it is. NULL is nothing. */
void output_unref(struct output *output);

/* As in trace_writer.h; -EBADF when it is finished. */
int output_chunk(struct output *output, const struct trace_chunk *chunk, struct error *error);
int output_buf(struct output *output, enum hsk_chunk_type type, const struct buf *raw, uint64_t time_first_ns,
               uint64_t time_last_ns, struct error *error);
int output_flush(struct output *output, struct encoder *encoder, struct error *error);
int output_finish(struct output *output, struct error *error);
/* The writer's first failure, 0 when there is none. */
int output_failure(struct output *output);
/* Bytes in the file now. */
uint64_t output_bytes(struct output *output);

/* Renames it to PATH, or with a suffix as above. A failure leaves the name as it is. */
int output_rename(struct output *output, const char *path);
/* Deletes a file in which nothing has been recorded. */
void output_delete(struct output *output);

/* A copy of its name now; NULL when memory runs out. */
char *output_path(struct output *output);
/* The same without its folder: as traces name each other. */
char *output_name(struct output *output);

/* PATH without ".hsk" + ".PID" or ".PID.IMAGE" (image >= 0) + ".hsk"; NULL when memory runs out. The
 * caller frees it. */
char *output_child_path(const char *path, int pid, int image);

#endif
