/*
 * entry_points.h - Py_IncRef and its kin, where modules call them as functions: the limited API from 3.12 on, Rust, and
 * whoever loads Python by hand.
 */
#ifndef HEAPSAKE_PRELOAD_REFS_ENTRY_POINTS_H
#define HEAPSAKE_PRELOAD_REFS_ENTRY_POINTS_H

#include "../got.h"

enum entry_point {
    ENTRY_INC,         /* Py_IncRef   */
    ENTRY_DEC,         /* Py_DecRef   */
    ENTRY_PRIVATE_INC, /* _Py_IncRef  */
    ENTRY_PRIVATE_DEC, /* _Py_DecRef  */
    ENTRY_NEW_REF,     /* Py_NewRef   */
    ENTRY_X_NEW_REF,   /* Py_XNewRef  */
    ENTRY_POINTS
};

/* Fills patches[ENTRY_POINTS] with what `interpreter` defines; with nothing when it is NULL, or of
 * an unknown layout. */
void entry_points_find(const struct link_map *interpreter, struct got_patch *patches);

#endif
