/* text.c - see text.h */
#include "text.h"

#include <stdint.h>

#include "object_read.h"

#define UTF8_LONGEST 6u /* \udcXX */

/* Encodes one character at `to`, which has room for UTF8_LONGEST bytes; returns how many it took. */
static size_t put_utf8(char *to, uint32_t character)
{
    static const char hex[] = "0123456789abcdef";
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (char)(0xc0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character >= 0xd800 && character < 0xe000) {
        /* a lone surrogate, as os.fsdecode makes it: written out, for UTF-8 has no bytes for it */
        to[0] = '\\';
        to[1] = 'u';
        for (unsigned i = 0; i < 4; i++)
            to[2 + i] = hex[character >> (12 - 4 * i) & 0xf];
        return 6;
    }
    if (character < 0x10000) {
        to[0] = (char)(0xe0 | character >> 12);
        to[1] = (char)(0x80 | (character >> 6 & 0x3f));
        to[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (character >> 18 & 7));
    to[1] = (char)(0x80 | (character >> 12 & 0x3f));
    to[2] = (char)(0x80 | (character >> 6 & 0x3f));
    to[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

/* PyASCIIObject.state from `kind` on: three bits of it, then compact, then ascii. */
static uint32_t state_of(const struct python_offsets *layout, const void *string)
{
    return (uint32_t)int_at(string, layout->string.state) >> layout->string.kind_shift;
}

struct text text_read(const struct python_offsets *layout, const void *string, char *buffer, size_t size)
{
    struct text text = {NULL, 0};
    if (!string)
        return text;
    size_t length = word_at(string, layout->string.length);
    uint32_t state = state_of(layout, string);
    unsigned kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact)
        return text;
    if (ascii)
        return (struct text){(const char *)string + layout->string.ascii_data, length < size ? length : size};
    if (!buffer)
        return text;
    const char *data = (const char *)string + layout->string.compact_data;
    for (size_t i = 0; i < length && text.length + UTF8_LONGEST <= size; i++) {
        uint32_t character = kind == 1   ? ((const uint8_t *)data)[i]
                             : kind == 2 ? ((const uint16_t *)data)[i]
                                         : ((const uint32_t *)data)[i];
        text.length += put_utf8(buffer + text.length, character);
    }
    text.bytes = buffer;
    return text;
}

bool text_is_ascii(const struct python_offsets *layout, const void *string)
{
    return !string || state_of(layout, string) >> 4 & 1;
}
