/*
 * session_nodes.h - the nodes of a session's stacks: out of the shared memory, where the program writes them, into the
 * trace. The memory is the program's, so that any value is possible. Drain thread, and whoever has the session later.
 */
#ifndef HEAPSAKE_RECORD_SESSION_NODES_H
#define HEAPSAKE_RECORD_SESSION_NODES_H

#include "record/session.h"

/* The node of a number, NULL when it is not there. */
const struct hs_node *session_node(struct session *session, uint32_t number);

/* Before an event refers to them: nodes below `count` are in the file, or about to be. */
void session_write_nodes(struct session *session, uint32_t count);

/* Writes those that wait, and those that the program had not written yet when their turn came. A failure stops the
 * session. */
void session_flush_nodes(struct session *session);

/* For session_free(). */
void session_free_nodes(struct session *session);

#endif
