/*
 * type_names.h - what a type is called: "collections", "OrderedDict".
 *
 * Reads memory of a type object that is not being changed (the GIL is held, or this is a copy of the process). No
 * Python function is called, nothing is allocated, nothing is remembered.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_TYPE_NAMES_H
#define HEAPSAKE_PRELOAD_PYTHON_TYPE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "object_offsets.h"
#include "offsets.h"
#include "text.h"

#define PYTHON_NAME_BYTES 512 /* longer names are cut */

struct python_type_name {
    struct text module; /* empty: builtins, or unknown */
    struct text name;   /* qualified in its module: "Outer.Inner" */
    char module_buffer[PYTHON_NAME_BYTES];
    char name_buffer[PYTHON_NAME_BYTES];
};

/*
 * Of a class, its __module__ (where that is a str) and __qualname__; of a type that is not made at run time, tp_name,
 * split at its last dot.
 */
void python_type_name_read(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                           const void *type, struct python_type_name *result);

/* What the trace says of it: enum hsk_type_flag without HSK_TYPE_RECYCLES. */
uint32_t python_type_flags(const void *type);

/* The value (borrowed) under a key of ASCII, looked for one by one; NULL: there is none. */
const void *python_dict_find(const struct python_offsets *offsets, const void *dict, const char *word);

#endif
