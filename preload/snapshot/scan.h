/*
 * scan.h - in the snapshot child: words of memory that look like references.
 *
 * A word is taken for a reference when it points into a live block, or to the start of an object that the walk knows.
 * Words that only repeat what has been told of the node (stamps, nodes.h) are left out.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_SCAN_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Of the object whose record is begun, after its edges have been told: its own words [from, to), and those of
 * blocks that no other object owned before and that hold no object (then they belong to this one: OWNS, and
 * HIDDEN for what they point to; such a block becomes a node when it is owned, and its own edges are told by
 * scan_blocks()). Offsets in the arguments are counted from `from`.
 */
void scan_object(uintptr_t from, uintptr_t to);

/* All blocks that hold no object: a BLOCK record each, with POINTER and INTERIOR edges. After the walk. */
void scan_blocks(void);

/* Roots: data segments of all modules but ours, the stacks of all threads, registers and TLS. After the walk. */
struct scan_threads;
void scan_roots(const struct scan_threads *threads);

#endif
