/*
 * known_names.h - what addresses of one native file are called, once somebody has found it out.
 *
 * The processes of `heapsake run make` call malloc from the same few places of the same few files, whose debug
 * information takes far longer to unpack than such a process lives. Each open file (module_file.h) remembers the
 * answers, up to a limit. Thread-safe.
 */
#ifndef HEAPSAKE_SYMBOLS_KNOWN_NAMES_H
#define HEAPSAKE_SYMBOLS_KNOWN_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "symbols/native_answers.h"

struct known_names;

/* NULL when memory runs out: then nothing is known, ever. */
struct known_names *known_names_new(void);
void known_names_free(struct known_names *known);

/*
 * Answers the query from memory, as native_symbolize() would; false when it does not know, or memory runs out. `known`
 * may be NULL.
 */
bool known_names_get(struct known_names *known, struct native_query *query, struct name_table *names,
                     struct native_functions *functions);

/* Remembers an answer of native_symbolize() as far as there is room. */
void known_names_put(struct known_names *known, const struct native_query *query, const struct name_table *names,
                     const struct native_functions *functions);

#endif
