/*
 * stack_table.h - stacks as nodes of a prefix tree.
 *
 * The nodes lie in the session's shared memory, where the recorder reads them
 * (session.h: struct hs_node); the hash index over them is private memory of the process and
 * grows as needed. Lock-free and async-signal-safe: two threads that add the
 * same stack at once may make two equal nodes, which is allowed.
 */
#ifndef HEAPSAKE_PRELOAD_STACK_TABLE_H
#define HEAPSAKE_PRELOAD_STACK_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "internal/session.h"

/* The node of `frame` called from `parent` (0: nobody); 0 when there is no room, which is counted. */
uint32_t stack_node(uint32_t parent, enum hs_node_kind kind, uint64_t frame);

/* Maps the segment of node `number`, if need be; false when there is no room. */
bool stack_table_room(uint32_t number);

/* Another session begins, and no thread is in here: no node is known. */
void stack_table_forget(void);

/* In a forked child: the nodes that the index knows are copied from the parent's segments into the new session's. */
bool stack_table_copy(struct hs_node *const *parent_segments, uint32_t count);

#endif
