/*
 * type_names.h - what a type is called: "collections", "OrderedDict".
 *
 * Reads memory of a type object that is not being changed (the GIL is held). No Python function is called, nothing is
 * allocated, nothing is remembered.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_TYPE_NAMES_H
#define HEAPSAKE_PRELOAD_PYTHON_TYPE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "object_offsets.h"
#include "offsets.h"

/* UTF-8, not ended by a zero; inside Python's own objects, or in a buffer of the struct. */
struct python_text {
    const char *bytes;
    size_t length;
};

#define PYTHON_NAME_BYTES 512 /* of a name that is not ASCII; it is cut there */

struct python_type_name {
    struct python_text module; /* empty: builtins, or unknown */
    struct python_text name;   /* qualified in its module: "Outer.Inner" */
    char module_buffer[PYTHON_NAME_BYTES];
    char name_buffer[PYTHON_NAME_BYTES];
};

/*
 * Of a class, its __module__ (where that is a str) and __qualname__; of a type that is not made at run time, tp_name,
 * split at its last dot.
 */
void python_type_name_read(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                           const void *type, struct python_type_name *result);

/*
 * A str as UTF-8: its own bytes when it is ASCII, else converted into `buffer` and cut at `size`. No bytes (NULL) for
 * what is no compact string. The caller has looked that it is a str.
 */
struct python_text python_text_read(const struct python_offsets *offsets, const void *string, char *buffer,
                                    size_t size);

/* The value (borrowed) under a key of ASCII, looked for one by one; NULL: there is none, or the dict shares its keys.
 */
const void *python_dict_find(const struct python_offsets *offsets, const void *dict, const char *word);

#endif
