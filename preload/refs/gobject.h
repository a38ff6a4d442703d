/*
 * gobject.h - GObject's references: g_object_ref, g_object_unref, g_object_ref_sink, where modules call them.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_GOBJECT_H
#define HEAPSAKE_PRELOAD_REFS_GOBJECT_H

#include <stdbool.h>

#include "../got.h"

#define GOBJECT_FUNCTIONS 3u

/* Fills patches[GOBJECT_FUNCTIONS] when `module` is the library that defines them; false: it is not. */
bool gobject_find(const struct link_map *module, struct got_patch *patches);

/* In a forked child, which has one thread. */
void gobject_after_fork(void);

#endif
