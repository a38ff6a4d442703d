/*
 * session_snapshots.h - the snapshots of one session's object graph: who asks, the child that answers, its stream into
 * chunks.
 *
 *   asked for ──▶ SNAPSHOT in a ring ──▶ area is made ──▶ child is welcomed ──▶ GRAPH chunks ──▶ SNAPSHOT chunk
 *
 * A snapshot is whole when its child has said so. When its child dies before that, or takes too long, what there is
 * stays, and the SNAPSHOT says what is wrong; when nothing has come at all, a blind spot says so. The session is not
 * finished before all of its snapshots are over.
 *
 * The child is a process that we did not start and cannot wait for; it is watched by a pidfd. Its number and the
 * session's id in its hello must fit: anything else is refused.
 *
 * All functions belong to the drain thread, but for the two that make what is passed to it.
 */
#ifndef HEAPSAKE_RECORD_SESSION_SNAPSHOTS_H
#define HEAPSAKE_RECORD_SESSION_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "internal/snapshot.h"
#include "record/session.h"

/* A child that has said hello, on its way from the main thread. Owns its descriptors. */
struct snapshot_child {
    struct snapshot_child *next;
    int fd; /* the connection, on which it waits for its welcome */
    int pidfd;
    pid_t pid; /* as the recorder sees it */
    uint64_t session, number;
};

/*
 * Somebody who has asked for a snapshot and waits for the answer: at a connection, which it owns (asking.h), or a
 * thread of the program itself, at its ring (wish_answers.h).
 */
struct snapshot_asker {
    struct snapshot_asker *next;
    int fd; /* -1: a thread */
    pid_t pid;
    struct hs_ring *ring; /* NULL, or: of the thread, mapped as long as the session */
    uint32_t wish;
};

struct snapshot_child *snapshot_child_new(int fd, pid_t pid, int pidfd, const struct hs_hello *hello);
struct snapshot_asker *snapshot_asker_new(int fd, pid_t pid);
/* NULL: memory ran out, and the thread has been told. */
struct snapshot_asker *snapshot_asker_thread(struct hs_ring *ring, uint32_t wish);
/* Refuses it, and frees it. */
void snapshot_child_refuse(struct snapshot_child *child);
/* Says why there is no snapshot, and frees it. */
void snapshot_asker_fail(struct snapshot_asker *asker, const char *why);

/* The program's messages, each at its turn. */
void snapshots_begin(struct session *session, struct hs_ring *ring, const struct hs_message_snapshot *message);
void snapshots_forked(struct session *session, const struct hs_message_snapshot_forked *message);
void snapshots_refused(struct session *session, const struct hs_message_snapshot_refused *message, const char *why);

/* Take their argument over. */
void snapshots_meet(struct session *session, struct snapshot_child *child);
void snapshots_ask(struct session *session, struct snapshot_asker *asker);
/* A thread of the program asks, and waits at its ring. */
void snapshots_wish(struct session *session, struct hs_ring *ring, uint32_t wish);

/* The resident set was looked at. */
void snapshots_sampled(struct session *session, uint64_t resident);

/*
 * Goes on with what there is to do, for about a millisecond. `over`: no more messages will come from the program. True:
 * there is more to do at once.
 */
bool snapshots_step(struct session *session, bool over);
/* Is something under way, so that the session cannot be finished and it is better not to sleep for long? */
bool snapshots_pending(const struct session *session);
/* Ends all that is under way, because the recorder stops. */
void snapshots_abandon(struct session *session, const char *why);
void snapshots_drop(struct session *session);

/* The last one that was taken, for the closing screen; false: none was. */
struct snapshot_numbers {
    uint32_t number, reason;
    uint64_t nodes, pause_ns, walk_ns;
    bool whole;
};
bool snapshots_last(const struct session *session, struct snapshot_numbers *numbers);

#endif
