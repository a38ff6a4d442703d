/*
 * nodes.h - in the snapshot child: which block is at an address, and which node of the graph it is.
 *
 * The child's own view of the live table: sorted by address, with an index of pages, so that any word of
 * memory can be looked up in some ten nanoseconds. A node is a number; Python objects and blocks get theirs when
 * the walk first comes to them. Objects that lie in no known block (static ones, or allocated before tracing
 * began) are kept aside in a hash table. Single-threaded; memory comes from arena.h.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_NODES_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "internal/compiler.h"
#include "internal/snapshot.h"

#define NODE_NONE UINT32_MAX
#define BLOCK_NONE UINT32_MAX

struct nodes_block {
    uint64_t start, size, ordinal;
};

/* Sorts `count` blocks as the recorder laid them (read once, then never again). False: no memory. */
bool nodes_begin(const struct hs_live_block *blocks, uint64_t count);

uint32_t nodes_block_count(void);
struct nodes_block nodes_block(uint32_t index);
/*
 * Quickly: may the word be an address of a live block or of an object that is known? Most words of memory are not. The
 * range [low, high] spans all of them.
 */
extern struct nodes_range {
    uintptr_t low, high;
} nodes_range __attribute__((visibility("hidden")));
HS_ALWAYS_INLINE bool nodes_maybe(uintptr_t word)
{
    return word - nodes_range.low <= nodes_range.high - nodes_range.low;
}

/* The live block that holds the address, its first byte or any other; BLOCK_NONE: none does. */
uint32_t nodes_find_block(uintptr_t address);

/*
 * The node of the Python object at this address. An object that is new gets the next number and is queued for the walk.
 * The caller vouches that it is an object.
 */
uint32_t nodes_of_object(const void *object);
/* The same, but NODE_NONE when the walk has not come to it. */
uint32_t nodes_known_object(uintptr_t object);
/*
 * The node of a block that is no object's. (When an object is found in it later on, the node becomes the object's, and
 * is queued.)
 */
uint32_t nodes_of_block(uint32_t index);
/* Is an object in this block known to the walk? Its address, or 0. */
uintptr_t nodes_object_in_block(uint32_t index);
/* A number for something that has no address of its own, a root. */
uint32_t nodes_new(void);
uint32_t nodes_count(void);

/* The next object that is queued and its node; false: none left, for now. */
bool nodes_next_object(const void **object, uint32_t *node);

/*
 * While the references of one node are told: which targets have been told already. stamp begins anew with each node.
 * nodes_stamped() is how scan.h tells hidden references from known ones.
 */
void nodes_stamp_begin(uint32_t node);
void nodes_stamp(uint32_t target);
bool nodes_stamped(uint32_t target);
/*
 * A pointer into the midst of the target has been told: such a target is not nodes_stamped() yet, since a pointer to
 * its start says more. nodes_stamped_interior(): anything of it has been told.
 */
void nodes_stamp_interior(uint32_t target);
bool nodes_stamped_interior(uint32_t target);

/* Gives the memory back. Only nodes_count() may be asked afterwards. */
void nodes_end(void);

#endif
