/*
 * frame_roles.h - what a frame is to whoever looks for a culprit: somebody who acts for others, who only counts, or
 * who keeps things.
 *
 * By names alone, of modules and functions, as symbols tell them: what has no name has no role. Thread-safe.
 */
#ifndef HEAPSAKE_MODEL_FRAME_ROLES_H
#define HEAPSAKE_MODEL_FRAME_ROLES_H

#include <stdbool.h>

#include "model/stacks.h"

/* Native code of the interpreter itself, libc, or what loads programs: it does what others ask for. */
bool frame_acts_for_others(const struct frame *frame);

/* A function that does nothing but count references: Py_INCREF, inlined or not, Py_NewRef, g_object_ref ... */
bool frame_only_counts(const struct frame *frame);

/* Whose references a function of the interpreter takes and gives back. */
enum frame_keeper {
    KEEPER_UNKNOWN = 0,
    KEEPER_CALL, /* a frame: its locals, its stack of values */
    KEEPER_DICT,
    KEEPER_LIST,
    KEEPER_TUPLE,
    KEEPER_SET,
    KEEPER_CELL,
    KEEPER_INSTANCE
};
enum frame_keeper frame_keeper(const struct frame *frame);

#endif
