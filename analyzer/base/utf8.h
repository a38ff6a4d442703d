/*
 * utf8.h - where one character ends, in bytes that may be anything.
 */
#ifndef HEAPSAKE_BASE_UTF8_H
#define HEAPSAKE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The length of the character at `bytes` (in its shortest form, no surrogate), of which `left` bytes are there; 0: no
 * character begins here.
 */
static inline size_t utf8_length(const char *bytes, size_t left)
{
    const unsigned char *at = (const unsigned char *)bytes;
    if (left == 0)
        return 0;
    size_t length = at[0] < 0x80                    ? 1
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                    : (at[0] & 0xf0) == 0xe0        ? 3
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                    : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) || (at[0] == 0xf0 && at[1] < 0x90) ||
        (at[0] == 0xf4 && at[1] >= 0x90))
        return 0;
    return length;
}

/* Is the character of that length a control character, one of C0, DEL or C1? */
static inline bool utf8_is_control(const char *bytes, size_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    return length == 1 ? at[0] < 0x20 || at[0] == 0x7f : length == 2 && at[0] == 0xc2 && at[1] < 0xa0;
}

#endif
