/*
 * buf.h - a growable run of bytes, and the varints of the trace format.
 *
 * Ownership: a buf owns its bytes; buf_free() gives them back and leaves an
 * empty buf that can be used again. A buf never grows beyond its ceiling: then,
 * and when memory runs out, it turns `failed`, keeps what it has, and ignores
 * further appends, so that a caller may append many times and look once.
 * Not thread-safe; no global state.
 */
#ifndef HEAPSAKE_BASE_BUF_H
#define HEAPSAKE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "internal/compiler.h"

struct buf {
    uint8_t *data;
    size_t length;
    size_t capacity;
    size_t ceiling; /* 0: SIZE_MAX / 2 */
    bool failed;
};

#define BUF_INIT ((struct buf){0})

void buf_free(struct buf *buf);
/* Forgets the contents and a failure, keeps the memory. */
void buf_clear(struct buf *buf);
/* Room for `more` bytes behind length; false when that cannot be (and the buf is failed). */
bool buf_reserve(struct buf *buf, size_t more);
void buf_append(struct buf *buf, const void *bytes, size_t length);
void buf_append_byte(struct buf *buf, uint8_t byte);
void buf_append_varint(struct buf *buf, uint64_t value);
void buf_append_signed(struct buf *buf, int64_t value);
/* varint length, then the bytes: the trace format's string */
void buf_append_string(struct buf *buf, const void *bytes, size_t length);
void buf_printf(struct buf *buf, const char *format, ...) HS_PRINTF(2, 3);

static inline uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}
static inline int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#define VARINT_MAX 10

/* Writes at most VARINT_MAX bytes to `out` and returns the end. */
static inline uint8_t *varint_put(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* A place in bytes that others wrote. Every read is checked; after the first failure all reads give 0. */
struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline uint64_t cursor_varint(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at < cursor->end && shift < 64; shift += 7) {
        uint8_t byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    cursor->failed = true;
    cursor->at = cursor->end;
    return 0;
}

static inline int64_t cursor_signed(struct cursor *cursor)
{
    return unzigzag(cursor_varint(cursor));
}

/* A string inside the cursor's bytes (not terminated), NULL and length 0 when it would not fit. */
const char *cursor_string(struct cursor *cursor, size_t *length);

#endif
