/*
 * told_note.h - instrumented code that is linked into the executable.
 *
 * There the linker has decided that nobody defines the function of told.c, and the variable that would hold its address
 * is NULL. A note of the executable (include/heapsake/python/Python.h) says where the variable is.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_TOLD_NOTE_H
#define HEAPSAKE_PRELOAD_REFS_TOLD_NOTE_H

#include <stdbool.h>

/* Sets the executable's variable to `function`, unless it is set; false: there is none. */
bool told_note_fill(const void *function);

#endif
