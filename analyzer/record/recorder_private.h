/*
 * recorder_private.h - what the recorder's own files share: its state, and who may touch it.
 */
#ifndef HEAPSAKE_RECORD_RECORDER_PRIVATE_H
#define HEAPSAKE_RECORD_RECORDER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "record/recorder.h"
#include "record/session.h"
#include "record/session_snapshots.h"

/* A line that has been said, so that it is not said again. */
struct said {
    struct said *next;
    char text[];
};

struct recorder {
    struct recorder_options options; /* never changes */

    /* main thread */
    int listen_fd, control_fd, epoll_fd, signal_fd;
    struct connection *connections; /* programs that are saying hello */
    struct process *processes;
    struct process *root;
    struct session *all;    /* sessions that are made and not yet destroyed */
    uint32_t sessions;      /* number of them             */
    uint32_t root_sessions; /* of these, the root's       */
    bool root_said_hello;
    bool root_seen; /* ... and got a session      */
    bool closing_sent;
    bool detaching;             /* the attached processes are being left             */
    bool root_is_taken;         /* another recorder traces it; to be told to `heapsake attach` */
    uint32_t told_attach_state; /* to `heapsake attach`                              */
    uint64_t empty_since_ns;    /* when the last session went; 0: there are some */

    /* set before the drain thread begins */
    char *file;                 /* FILE */
    struct output *root_output; /* drain thread: taken by the root's first image */

    /* any thread */
    struct oom_kills *oom_kills; /* NULL when there was no memory for it */
    int wake_fd;                 /* eventfd: something for the main thread */
    _Atomic uint32_t drain_wake; /* futex: something for the drain thread  */
    _Atomic uint64_t last_met;   /* id of the session that was passed to the drain thread last */
    _Atomic uint32_t stopping;   /* SIGTERM: finish everything             */
    _Atomic uint32_t quit;       /* the drain thread is to end             */
    _Atomic uint32_t snapshots;  /* forks whose child has not said hello   */
    _Atomic uint32_t traces;     /* files begun                            */
    _Atomic uint32_t leaving;    /* threads that leave processes           */
    _Atomic uint32_t not_left;   /* processes that were given up by them   */

    pthread_mutex_t lock;      /* of all below */
    struct session *arrived;   /* main to drain, newest first  */
    struct session *to_finish; /* drain to finishers            */
    struct session *finished;  /* finishers to main             */
    uint32_t finishers;
    struct snapshot_child *children_met; /* main to drain, newest first */
    struct snapshot_asker *asked;        /* likewise                    */
    struct detach_asker *detach_askers;  /* who has asked to leave, and waits */
    struct said *said;
    struct buf saying;    /* CONTROL_SAY texts, terminated each, for the main thread to send */
    struct buf closing;   /* of the root's last image */
    char *closing_causes; /* ... its trace, when the causes of leaks can be told in a moment; else NULL */
};

/* meeting.c, main thread */

struct connection;
/* Somebody connects. */
void meeting_accept(struct recorder *recorder);
/* A connection has something to read, or was closed. Frees it when it is done. */
void meeting_read(struct recorder *recorder, struct connection *connection);
/* Closes connections that have been silent for too long (or all); returns milliseconds until the next would
 * be, or -1. */
int meeting_expire(struct recorder *recorder, bool all);

/* recorder.c, main thread: the process of a pid that lives, made when it is not known; NULL: it cannot be watched. */
struct process *recorder_process(struct recorder *recorder, pid_t pid);
/* ... and its end was seen. With a `run` beside us the root's wait status comes from there. */
void recorder_process_ended(struct recorder *recorder, struct process *process);
/* A session for the drain thread. */
void recorder_pass_on(struct recorder *recorder, struct session *session);

/* detaching.c, main thread: leaves all processes that were attached to. Their sessions end when that is done. */
void detaching_begin(struct recorder *recorder);
/* The same for a process whose session has ended before that (the disk is full, the recorder was asked to stop). */
void detaching_after_stop(struct recorder *recorder, const struct session *session);
/* Somebody who waits for it, over a connection that is ours from now on. */
void detaching_await(struct recorder *recorder, int fd);
/* Any thread: answers all of them, and forgets them. `why`: what did not come of it; NULL: it is done. */
void detaching_answer(struct recorder *recorder, const char *why);

/* Any thread. */
void recorder_wake_main(struct recorder *recorder);
void recorder_wake_drain(struct recorder *recorder);

/* conductor.c: the drain thread; `context` is the recorder. */
void *conductor_main(void *context);

/* finish.c, drain thread: the session's events are all written; the rest is done by a finisher. */
void finish_session(struct recorder *recorder, struct session *session);

/* What an event of the main thread's epoll is about. */
enum event_source { SOURCE_LISTEN = 1, SOURCE_CONTROL, SOURCE_WAKE, SOURCE_SIGNAL, SOURCE_CONNECTION, SOURCE_PROCESS };
#define SOURCE_BITS 3 /* in the low bits of a pointer */

#endif
