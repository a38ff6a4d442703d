/*
 * pairs.h - functions that count a program's own references, named by --ref-functions.
 *
 * Nothing is known of them but the argument that is the object. So they are not called from here: a call is recorded
 * just before it is made, and then goes on as it came.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_PAIRS_H
#define HEAPSAKE_PRELOAD_REFS_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "../got.h"
#include "internal/session.h"

#define PAIR_FUNCTIONS (2 * HS_MOST_PAIRS)

/* What the session says, `size` bytes: a line for each pair. True: there are some. Constructor only. */
bool pairs_read(const char *text, size_t size);

/* Fills in those of patches[PAIR_FUNCTIONS] that `module` defines and no other did; true: there were some. */
bool pairs_find(const struct link_map *module, struct got_patch *patches);

#endif
