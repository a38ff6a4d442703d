/*
 * session_snapshots_private.h - what session_snapshots.c and snapshot_requests.c share. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_SESSION_SNAPSHOTS_PRIVATE_H
#define HEAPSAKE_RECORD_SESSION_SNAPSHOTS_PRIVATE_H

#include "record/area.h"
#include "record/asking.h"
#include "record/process_info.h"
#include "record/snapshot_policy.h"
#include "record/session_snapshots.h"

/* One snapshot, from its message to its chunk. Times are the session's. */
struct graph_snapshot {
    struct graph_snapshot *next; /* younger */
    uint32_t number, reason;
    uint64_t time_ns; /* of the events */
    uint64_t event;
    uint64_t began_ns; /* when we came to it */
    struct area area;
    struct snapshot_asker *askers;
    /* from the program */
    bool forked;     /* it has said what became of the clone */
    pid_t child_pid; /* as the program sees it; < 0: errno   */
    int child_pidfd; /* of that, -1: none */
    uint64_t pause_ns, resident_bytes;
    /* of the child */
    struct snapshot_child *child; /* NULL: it has not said hello */
    uint64_t deadline_ns;         /* 0: it has not been welcomed */
    uint64_t ended_ns;            /* when its stream ended, 0: not yet */
    uint64_t dead_ns;             /* when it was first seen dead, 0: not yet */
    struct buf fields;
    uint32_t parts;
    uint64_t nodes, edges, walk_ns;
};

struct summons;

/* What the recorder asks of the program: one thing at a time. */
struct snapshot_request {
    uint32_t number; /* hs_session.snapshot_request; 0: none is open */
    uint32_t reason;
    uint64_t asked_ns, summon_ns; /* when, and when to summon next */
    struct summons *summons;      /* under way; NULL: none          */
    struct snapshot_asker *askers;
    char hindrance[256]; /* why the last summons had no effect */
};

struct graph_snapshots {
    struct graph_snapshot *first;          /* oldest first */
    struct snapshot_child *waiting;        /* children whose snapshot we have not come to */
    struct snapshot_asker *waiting_askers; /* for the next request */
    struct snapshot_request request;
    struct snapshot_watch watch;
    struct asleep asleep;      /* looked at with the resident set */
    unsigned due;              /* what the policy wants next: enum hs_snapshot_reason, 0: nothing */
    uint32_t wanted_by_signal; /* hs_session.snapshot_wanted as last seen */
    uint32_t last_number;
    uint32_t refusals; /* that were noted */
    char last_refusal[256];
    struct snapshot_numbers last;
    bool any;
    struct buf payload;
};

/* Of the session, made when there are none; NULL: no memory. */
struct graph_snapshots *snapshots_of(struct session *session);

const char *snapshot_reason_text(unsigned reason);

/* snapshot_requests.c */

/* The program has come to a snapshot, or said why not: the request with that number is answered. Its askers. */
struct snapshot_asker *request_answered(struct graph_snapshots *all, uint32_t number);
/* Asks, summons, and gives up in time. */
void requests_step(struct session *session, bool over, uint64_t now);
/* Is there one among them to whom a sentence can be told? */
bool askers_hear(const struct snapshot_asker *askers);
void askers_fail(struct snapshot_asker *askers, const char *why);
/* The same, with the errno that threads are told. */
void askers_refuse(struct snapshot_asker *askers, int code, const char *why);
void askers_tell(struct snapshot_asker *askers, const struct ask_answer *answer, const char *text);
/* Waits for a summons that is under way, and forgets it. */
void requests_free(struct graph_snapshots *all);

#endif
