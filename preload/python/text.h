/*
 * text.h - what a str of the interpreter says, as UTF-8.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_TEXT_H
#define HEAPSAKE_PRELOAD_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "offsets.h"

/* Longer texts are cut: what a name tells is in its beginning. */
#define TEXT_MAX_BYTES 8192u

struct text {
    const char *bytes; /* not terminated */
    size_t length;
};

/* Are its own bytes UTF-8 already? True for NULL. */
bool text_is_ascii(const struct python_offsets *layout, const char *string);

/*
 * A str: its own bytes, or converted into `buffer`, which has TEXT_MAX_BYTES and may be NULL for those that
 * text_is_ascii(). "?" for what cannot be read, and for NULL.
 */
struct text text_read(const struct python_offsets *layout, const char *string, char *buffer);

#endif
