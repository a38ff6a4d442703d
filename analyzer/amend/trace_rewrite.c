/* trace_rewrite.c - see trace_rewrite.h */
#include "amend/trace_rewrite.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "trace/chunk_pack.h"

#define COPY_BYTES (1u << 20)

struct rewriting {
    struct trace_reader *reader;
    const struct buf *payloads;
    size_t payload_count;
    const struct new_file *file;
    uint64_t offset; /* the end of what was written */
    uint64_t chunks, last_offset;
    uint64_t renumber; /* what is added to the chunks' numbers, modulo 2^64 */
    struct buf index, copy, stored;
    ZSTD_CCtx *zstd;
    struct error *error;
};

static int append(struct rewriting *to, const void *bytes, size_t length)
{
    for (const uint8_t *at = bytes; length > 0;) {
        ssize_t written = write(to->file->fd, at, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int code = written < 0 ? -errno : -EIO;
            return error_set(to->error, code, "%s: cannot write: %s", to->file->path, strerror(-code));
        }
        at += written;
        length -= (size_t)written;
        to->offset += (uint64_t)written;
    }
    return 0;
}

/* Bytes of the old file as they are. */
static int copy(struct rewriting *to, uint64_t offset, uint64_t length)
{
    while (length > 0) {
        size_t part = length < COPY_BYTES ? (size_t)length : COPY_BYTES;
        int code = trace_reader_bytes(to->reader, offset, to->copy.data, part);
        if (code != 0)
            return error_set(to->error, code, "%s: cannot read: %s", to->reader->path, strerror(-code));
        code = append(to, to->copy.data, part);
        if (code != 0)
            return code;
        offset += part;
        length -= part;
    }
    return 0;
}

static void note_chunk(struct rewriting *to, const struct hsk_chunk_header *header)
{
    chunk_index_append(&to->index, to->offset - to->last_offset, header);
    to->last_offset = to->offset;
    to->chunks++;
}

static uint64_t end_of(const struct trace_place *place)
{
    return place->offset + sizeof place->header + place->header.stored_bytes;
}

/* Did the reader find the header itself? (Of a damaged one it has what the index knows.) */
static bool header_is_whole(const struct trace_place *place)
{
    return place->header.magic == HSK_CHUNK_MAGIC && place->header.header_crc == chunk_header_crc(&place->header);
}

/* Where what lies behind a chunk ends: the next one, or the file. */
static uint64_t limit_of(const struct trace_reader *reader, size_t i)
{
    return i + 1 < reader->chunk_count ? reader->chunks[i + 1].offset : reader->bytes;
}

/* Is all of it there? A chunk that was cut off, or that another one begins in, is not. */
static bool is_there(const struct trace_reader *reader, size_t i)
{
    return end_of(&reader->chunks[i]) <= limit_of(reader, i);
}

static bool is_replaced(const struct trace_place *place)
{
    return place->header.type == HSK_CHUNK_SYMBOLS && place->state == TRACE_CHUNK_WHOLE;
}

/* The chunk's bytes up to `end`. */
static int copy_chunk(struct rewriting *to, const struct trace_place *place, uint64_t end)
{
    struct hsk_chunk_header header = place->header;
    uint64_t from = place->offset;
    int code = 0;
    header.number += to->renumber;
    note_chunk(to, &header);
    if (to->renumber && header_is_whole(place)) {
        header.header_crc = chunk_header_crc(&header);
        code = append(to, &header, sizeof header);
        from += sizeof header;
    }
    return code == 0 ? copy(to, from, end - from) : code;
}

/* The new SYMBOLS, with this number and at this time; the chunks behind are numbered after them. */
static int add_symbols(struct rewriting *to, uint64_t number, uint64_t time_first_ns, uint64_t time_last_ns)
{
    for (size_t i = 0; i < to->payload_count; i++) {
        struct trace_part part = {to->payloads[i].data, to->payloads[i].length};
        struct hsk_chunk_header header = {.type = HSK_CHUNK_SYMBOLS,
                                          .number = number + i,
                                          .time_first_ns = time_first_ns,
                                          .time_last_ns = time_last_ns};
        int code = chunk_pack(&to->stored, &header, &part, 1, to->zstd);
        if (code != 0)
            return error_set(to->error, code, "%s: cannot write the names: %s", to->file->path, strerror(-code));
        note_chunk(to, &header);
        code = append(to, to->stored.data, to->stored.length);
        if (code != 0)
            return code;
    }
    to->renumber += to->payload_count;
    return 0;
}

static int add_index(struct rewriting *to)
{
    struct trace_part part = {to->index.data, to->index.length};
    struct hsk_chunk_header header = {.type = HSK_CHUNK_INDEX, .number = to->chunks};
    struct hsk_footer footer = chunk_footer(to->offset, to->chunks + 1);
    int code = to->index.failed ? -ENOMEM : chunk_pack(&to->stored, &header, &part, 1, to->zstd);
    if (code != 0)
        return error_set(to->error, code, "%s: cannot write the index: %s", to->file->path, strerror(-code));
    code = append(to, to->stored.data, to->stored.length);
    return code == 0 ? append(to, &footer, sizeof footer) : code;
}

/*
 * Which chunk the new SYMBOLS stand before: the first of the old ones, the end of the recording, or, where both are
 * missing, what is left of the chunk that was cut off.
 */
static size_t place_for_symbols(const struct trace_reader *reader)
{
    for (size_t i = 0; i < reader->chunk_count; i++)
        if (is_replaced(&reader->chunks[i]))
            return i;
    for (size_t i = 0; i < reader->chunk_count; i++)
        if (reader->chunks[i].header.type == HSK_CHUNK_END)
            return i;
    size_t at = reader->chunk_count;
    while (at > 0 && !is_there(reader, at - 1))
        at--;
    return at;
}

/* Chunk `i`, without what lies behind it. */
static int write_chunk(struct rewriting *to, size_t i)
{
    const struct trace_reader *reader = to->reader;
    const struct trace_place *place = &reader->chunks[i];
    if (is_replaced(place)) {
        to->renumber--;
        return 0;
    }
    if (reader->indexed && place->header.type == HSK_CHUNK_INDEX)
        return 0; /* made anew */
    return copy_chunk(to, place, is_there(reader, i) ? end_of(place) : limit_of(reader, i));
}

/* Bytes behind chunk `i` that are no chunk: they, too, say that something is missing. */
static int write_rest(struct rewriting *to, size_t i)
{
    const struct trace_reader *reader = to->reader;
    bool is_footer = reader->indexed && i + 1 == reader->chunk_count;
    uint64_t end = end_of(&reader->chunks[i]);
    return is_footer || !is_there(reader, i) ? 0 : copy(to, end, limit_of(reader, i) - end);
}

static int write_chunks(struct rewriting *to)
{
    const struct trace_reader *reader = to->reader;
    size_t symbols_at = place_for_symbols(reader);
    uint64_t last_ns = 0, next = 0; /* of the chunks that were met */
    int code = 0;
    for (size_t i = 0; i < reader->chunk_count && code == 0; i++) {
        const struct hsk_chunk_header *header = &reader->chunks[i].header;
        if (i == symbols_at)
            code = add_symbols(to, header->number, header->time_first_ns, header->time_last_ns);
        if (code == 0)
            code = write_chunk(to, i);
        if (header->number >= next)
            next = header->number + 1;
        if (header->time_last_ns > last_ns)
            last_ns = header->time_last_ns;
        /* before the bytes of a header that was cut off */
        if (code == 0 && i + 1 == reader->chunk_count && symbols_at > i)
            code = add_symbols(to, next, last_ns, last_ns);
        if (code == 0)
            code = write_rest(to, i);
    }
    return code;
}

int trace_copy(struct trace_reader *reader, const struct new_file *file, struct error *error)
{
    struct rewriting to = {.reader = reader, .file = file, .error = error};
    int code =
        buf_reserve(&to.copy, COPY_BYTES) ? copy(&to, 0, reader->bytes) : error_set(error, -ENOMEM, "out of memory");
    buf_free(&to.copy);
    return code;
}

int trace_rewrite(struct trace_reader *reader, const struct buf *payloads, size_t payload_count,
                  const struct new_file *file, struct error *error)
{
    struct rewriting to = {.reader = reader,
                           .payloads = payloads,
                           .payload_count = payload_count,
                           .file = file,
                           .last_offset = sizeof(struct hsk_file_header),
                           .zstd = chunk_compressor(),
                           .error = error};
    int code = 0;
    if (!to.zstd || !buf_reserve(&to.copy, COPY_BYTES))
        code = error_set(error, -ENOMEM, "out of memory");
    if (code == 0)
        code = copy(&to, 0, reader->chunks[0].offset);
    if (code == 0)
        code = write_chunks(&to);
    if (code == 0 && reader->indexed)
        code = add_index(&to);
    ZSTD_freeCCtx(to.zstd);
    buf_free(&to.index);
    buf_free(&to.copy);
    buf_free(&to.stored);
    return code;
}
