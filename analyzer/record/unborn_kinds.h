/*
 * unborn_kinds.h - SPECs of --watch for whose objects no birth was seen: perhaps a name is not spelt right.
 *
 * A SPEC is for all processes of a recording, of which one alone may make such objects: none of the others' traces says
 * anything then. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_UNBORN_KINDS_H
#define HEAPSAKE_RECORD_UNBORN_KINDS_H

#include "record/session.h"

/* Of all sessions of a recording so far; zero at first. */
struct births_known {
    uint32_t seen; /* SPECs, a bit each       */
    bool python;   /* some session had Python */
};

/* Takes what a session has seen so far. Again is harmless. */
void births_known_take(struct births_known *known, const struct session *session);
/* The session ends: its trace says of which of its SPECs no birth was seen. */
void births_known_note(const struct births_known *known, struct session *session);

#endif
