/*
 * trace_reader.h - opens a trace file and hands out its chunks.
 *
 * The bytes are hostile until checked: every size is bounded before memory is
 * taken for it, every checksum is looked at. A file that was cut off or damaged
 * opens all the same, as long as one whole chunk is left; trace_reader_chunks
 * then lists what was found, and problems say what is missing.
 *
 * Chunks are found through the index, or by walking from header to header when
 * the index is missing or damaged, and by searching for the next header with a
 * valid checksum where the walk is interrupted. A chunk's contents are checked
 * when it is loaded. Not thread-safe.
 */
#ifndef HEAPSAKE_TRACE_TRACE_READER_H
#define HEAPSAKE_TRACE_TRACE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/error.h"
#include "heapsake/trace_format.h"

enum trace_chunk_state {
    TRACE_CHUNK_UNREAD = 0, /* its header is valid               */
    TRACE_CHUNK_WHOLE,      /* ... and its contents were read once */
    TRACE_CHUNK_DAMAGED,
};

struct trace_place {
    uint64_t offset; /* of the chunk's header in the file */
    enum trace_chunk_state state;
    struct hsk_chunk_header header; /* of a damaged header: what the index knows, header_crc 0 */
};

struct trace_reader {
    char *path;
    uint64_t bytes;
    uint32_t format_version;
    struct trace_place *chunks; /* in the order of the file */
    size_t chunk_count;
    bool indexed;           /* index and footer are whole           */
    bool has_end;           /* there is an END chunk                */
    bool truncated;         /* bytes that a header announced, END or INDEX are missing at the end of the file */
    uint64_t damage_offset; /* first place of damage; the file's size when it is only cut off */
    uint64_t known_chunks;  /* how many chunks the file must have had at least */
    struct buf *problems;   /* one text each, terminated; for people */
    size_t problem_count;
    uint64_t problems_left_out;

    /* private */
    int fd;
    const uint8_t *memory;
    size_t chunk_capacity, problem_capacity;
    struct buf stored, raw;
    void *zstd;
};

/*
 * Opens the trace. -EINVAL: not a trace, or nothing left of it; -ENOTSUP: of a newer version or with features that
 * this reader does not know; other negative errno values. The text in `error` begins with the file's name.
 */
int trace_reader_open(const char *path, struct trace_reader **reader, struct error *error);

/* The same for a trace in memory, which must stay as long as the reader; `name` is for messages. */
int trace_reader_open_memory(const void *bytes, size_t length, const char *name, struct trace_reader **reader,
                             struct error *error);

/*
 * Adds the whole chunks that have been written since it was opened, or since the last time; what is being written now
 * comes the next time. Only of a file whose writer appends to it. 0 or a negative errno.
 */
int trace_reader_grow(struct trace_reader *reader);

/*
 * Takes the lock that a file's writer holds (TRACE_FORMAT.md), until the reader is closed. -EBUSY: it is still being
 * written. Where files cannot be locked nobody knows, and it is 0.
 */
int trace_reader_lock(struct trace_reader *reader);

/*
 * Is it being written just now: its writer holds the lock, nothing is wrong with the chunks that are there, and only
 * the end is missing (the last chunk may be there in part)? As far as known by now.
 */
bool trace_reader_growing(const struct trace_reader *reader);

/* fstat() of the open file; a negative errno. */
int trace_reader_status(const struct trace_reader *reader, struct stat *status);

/* Exactly `length` bytes of the file at `offset`, or a negative errno; -ENODATA when it ends before. */
int trace_reader_bytes(struct trace_reader *reader, uint64_t offset, void *out, size_t length);

/* NULL is nothing. */
void trace_reader_close(struct trace_reader *reader);

/*
 * Reads, checks and decompresses chunk `i`. *raw is valid until the next load and has TRACE_PADDING readable bytes
 * behind it. -EBADMSG: the chunk is damaged, which is remembered as a problem; go on with the next one.
 */
int trace_reader_load(struct trace_reader *reader, size_t i, const uint8_t **raw, size_t *length);
#define TRACE_PADDING 32

/* What a decoder found wrong in the contents of chunk `i`: the chunk counts as damaged. */
void trace_reader_damaged(struct trace_reader *reader, size_t i, const char *what);

/* Something else that is wrong with the file. */
void trace_reader_problem(struct trace_reader *reader, const char *format, ...) HS_PRINTF(2, 3);

/* Chunks that are missing or damaged, as far as known by now. */
uint64_t trace_reader_lost_chunks(const struct trace_reader *reader);

/* Nothing is wrong or missing, as far as known by now: all chunks, END, INDEX and footer. */
bool trace_reader_complete(const struct trace_reader *reader);

/* Fills `error` with the one line that says what is missing; false when nothing is. */
bool trace_reader_describe_damage(const struct trace_reader *reader, struct error *error);

/* "EVENTS" for HSK_CHUNK_EVENTS; "type 99" is not its business: NULL for unknown types. */
const char *trace_chunk_name(unsigned type);

#endif
