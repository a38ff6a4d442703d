/*
 * walk.h - in the snapshot child: the walk over Python's objects.
 *
 * The GIL was held by the forking thread, so what is there is consistent. Nothing here allocates from Python or libc
 * (allocators serve from an arena of our own, child.c), and nothing runs Python code. A tp_traverse that faults is left
 * by siglongjmp (child.c's handlers), its object marked OPAQUE.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_WALK_H
#define HEAPSAKE_PRELOAD_PYTHON_WALK_H

#include <stdbool.h>

/*
 * Tells all objects (snapshot/graph.h): those in the collector's generations and everything that they refer to,
 * named as people would name it; then the roots that the interpreter knows: frames with their locals, modules,
 * builtins, sys, thread states. Calls scan_object() for each object. False: this Python is not known well enough,
 * which graph_problem() has said.
 */
bool python_graph_walk(bool record_values);

/* In the program, before a fork: may a snapshot be taken now by this thread (initialized, it holds the GIL)? */
bool python_graph_possible(void);
/* Could there be one at all: is this Python's graph known? */
bool python_graph_known(void);

#endif
