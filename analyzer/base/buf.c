/* buf.c - see buf.h */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.ceiling = buf->ceiling};
}

void buf_clear(struct buf *buf)
{
    buf->length = 0;
    buf->failed = false;
}

bool buf_reserve(struct buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more <= buf->capacity - buf->length)
        return true;
    size_t ceiling = buf->ceiling ? buf->ceiling : SIZE_MAX / 2;
    if (more > ceiling || buf->length > ceiling - more) {
        buf->failed = true;
        return false;
    }
    size_t wanted = buf->length + more;
    size_t capacity = buf->capacity < 256 ? 256 : buf->capacity;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity > ceiling)
        capacity = ceiling; /* so that the ceiling is found here, and not missed within the capacity */
    uint8_t *data = realloc(buf->data, capacity);
    if (!data) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void buf_append(struct buf *buf, const void *bytes, size_t length)
{
    if (length == 0 || !buf_reserve(buf, length))
        return;
    memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
}

void buf_append_byte(struct buf *buf, uint8_t byte)
{
    if (!buf_reserve(buf, 1))
        return;
    buf->data[buf->length++] = byte;
}

void buf_append_varint(struct buf *buf, uint64_t value)
{
    if (!buf_reserve(buf, VARINT_MAX))
        return;
    buf->length = (size_t)(varint_put(buf->data + buf->length, value) - buf->data);
}

void buf_append_signed(struct buf *buf, int64_t value)
{
    buf_append_varint(buf, zigzag(value));
}

void buf_append_string(struct buf *buf, const void *bytes, size_t length)
{
    buf_append_varint(buf, length);
    buf_append(buf, bytes, length);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        buf->failed = true;
    else if (buf_reserve(buf, (size_t)length + 1)) {
        vsnprintf((char *)buf->data + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
}

const char *cursor_string(struct cursor *cursor, size_t *length)
{
    uint64_t wanted = cursor_varint(cursor);
    if (cursor->failed || wanted > (uint64_t)(cursor->end - cursor->at)) {
        cursor->failed = true;
        cursor->at = cursor->end;
        *length = 0;
        return NULL;
    }
    const char *string = (const char *)cursor->at;
    cursor->at += wanted;
    *length = (size_t)wanted;
    return string;
}
