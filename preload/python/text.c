/* text.c - see text.h */
#include "text.h"

#include <stdint.h>

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

struct text text_read(const struct python_offsets *layout, const char *string, char *buffer)
{
    static const struct text unknown = {"?", 1};
    if (!string)
        return unknown;
    size_t length = *(const size_t *)(string + layout->string.length);
    uint32_t state = *(const uint32_t *)(string + layout->string.state) >> layout->string.kind_shift;
    unsigned kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact)
        return unknown;
    if (ascii)
        return (struct text){string + layout->string.ascii_data, length < TEXT_MAX_BYTES ? length : TEXT_MAX_BYTES};
    if (!buffer)
        return unknown;
    const char *data = string + layout->string.compact_data;
    size_t used = 0;
    for (size_t i = 0; i < length && used + UTF8_LONGEST <= TEXT_MAX_BYTES; i++) {
        uint32_t character = kind == 1   ? ((const uint8_t *)data)[i]
                             : kind == 2 ? ((const uint16_t *)data)[i]
                                         : ((const uint32_t *)data)[i];
        used += put_utf8(buffer + used, character);
    }
    return (struct text){buffer, used};
}

bool text_is_ascii(const struct python_offsets *layout, const char *string)
{
    return !string || *(const uint32_t *)(string + layout->string.state) >> (layout->string.kind_shift + 4) & 1;
}
