/*
 * type_names.h - what the types of a trace are called.
 *
 * A type is known by a number; people know it by its name, "module.qualname", or bare if it is a builtin. Types with
 * the same name (a class statement that was run twice) are one here. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_TYPE_NAMES_H
#define HEAPSAKE_MODEL_TYPE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/intern.h"
#include "base/map64.h"
#include "trace/trace_reader.h"

struct type_names {
    struct intern names;  /* counts from 1; 0 is the name of what is not described */
    struct map64 by_type; /* number of the type: number of the name                */
    bool any;             /* there is a TYPES chunk, whole or not                   */
};

#define TYPE_NAMES_INIT ((struct type_names){0})

/* Reads the TYPES chunks; the reader knows damaged ones then. 0 or -ENOMEM, with `names` freed. */
int type_names_load(struct type_names *names, struct trace_reader *reader, struct error *error);
void type_names_free(struct type_names *names);

/* The number of a type's name; 0 when the type is not described. */
uint32_t type_names_find(const struct type_names *names, uint32_t type);

/* The text of a name, terminated; valid as long as `names`. */
const char *type_names_text(const struct type_names *names, uint32_t name);

#endif
