/*
 * meeting.h - how a process and its recorder meet (session.h in include/internal has the protocol).
 */
#ifndef HEAPSAKE_PRELOAD_MEETING_H
#define HEAPSAKE_PRELOAD_MEETING_H

#include <stdbool.h>
#include <stdint.h>

#include "internal/session.h"

/*
 * Says hello to the recorder that the environment named, and maps the session that it hands out. False: this
 * process is not to be traced, or the recorder is not there, or did not answer in time. Leaves no descriptor behind.
 * Async-signal-safe.
 */
bool meeting_hello(enum hs_hello_kind kind, uint64_t parent_session, uint64_t fork_id);

/*
 * Tells the recorder of that session, which wants to attach, that another one traces this process. The session of that
 * one goes on.
 */
void meeting_decline(const char *session_name);

/*
 * In a snapshot's child: says hello, waits up to HS_HELLO_SNAPSHOT_SECONDS for the snapshot's area, and returns its
 * descriptor; negative: the recorder is not there, or does not want it. Async-signal-safe.
 */
#define HS_HELLO_SNAPSHOT_SECONDS 30
int meeting_snapshot(uint64_t session_id, uint32_t number);

#endif
