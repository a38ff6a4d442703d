/*
 * chunk_pack.h - chunks, index and footer as the bytes that lie in a trace file: for whoever writes one.
 */
#ifndef HEAPSAKE_TRACE_CHUNK_PACK_H
#define HEAPSAKE_TRACE_CHUNK_PACK_H

#include <stddef.h>
#include <stdint.h>

#include <zstd.h>

#include "base/buf.h"
#include "heapsake/trace_format.h"

/* Part of a chunk's raw bytes; it is only read. */
struct trace_part {
    const void *data;
    size_t length;
};

/* A context that compresses as all traces are; NULL when memory runs out. ZSTD_freeCCtx() gives it back. */
ZSTD_CCtx *chunk_compressor(void);

/*
 * Makes a chunk in `stored`, which is cleared first: header and frames. The raw bytes are the parts one behind the
 * other; each becomes a frame. `header` holds type, number, times and counts; the rest is filled in. 0, -EFBIG: more
 * than the format allows; -ENOMEM.
 */
int chunk_pack(struct buf *stored, struct hsk_chunk_header *header, const struct trace_part *parts, size_t part_count,
               ZSTD_CCtx *zstd);

/* The checksum of a header whose other fields are filled in. */
uint32_t chunk_header_crc(const struct hsk_chunk_header *header);

/* Appends the index's record of a chunk that lies `distance` bytes behind the one before. */
void chunk_index_append(struct buf *index, uint64_t distance, const struct hsk_chunk_header *header);
#define CHUNK_INDEX_MAX ((size_t)8 * VARINT_MAX) /* bytes of one record */

/* The footer of a file with that many chunks, INDEX included. */
struct hsk_footer chunk_footer(uint64_t index_offset, uint64_t chunk_count);

#endif
