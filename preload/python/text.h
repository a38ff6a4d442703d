/*
 * text.h - what a str of the interpreter says, as UTF-8.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_TEXT_H
#define HEAPSAKE_PRELOAD_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "offsets.h"

/* Not terminated; inside Python's own objects, or in a buffer of the caller's. */
struct text {
    const char *bytes;
    size_t length;
};

/* Are its own bytes UTF-8 already? True for NULL. */
bool text_is_ascii(const struct python_offsets *layout, const void *string);

/*
 * A str, which it must be: its own bytes when it is ASCII, else converted into `buffer`; cut at `size` in any case:
 * what a name tells is in its beginning. No bytes (NULL) for NULL, for what is no compact string, and for what is not
 * ASCII when `buffer` is NULL. A lone surrogate is written out as \udcXX.
 */
struct text text_read(const struct python_offsets *layout, const void *string, char *buffer, size_t size);

#endif
