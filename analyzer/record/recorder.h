/*
 * recorder.h - the recorder: a process beside the traced ones, until the last of them is gone.
 *
 *   main thread     meets programs, sees them die, talks with `heapsake run`
 *   drain thread    reads all rings, writes all traces
 *   finishers       one for each session that has ended: symbols take their time
 */
#ifndef HEAPSAKE_RECORD_RECORDER_H
#define HEAPSAKE_RECORD_RECORDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "command.h"
#include "internal/session.h"
#include "record/snapshot_policy.h"

enum recorder_children { CHILDREN_ALL = 0, CHILDREN_PYTHON = 1, CHILDREN_NONE = 2 };

struct recorder_options {
    const char *output;  /* NULL: heapsake.<program>.<pid>.hsk      */
    const char *program; /* for that name; NULL: from /proc        */
    bool force, native, drop, no_objects, record_values, refs;
    bool attach;         /* the root runs already, is nobody's child here, and can be left  */
    const char *library; /* attach: libheapsake.so, as the root sees it                     */
    const char *session; /* attach: our address, by which processes are left. companion_start() sets it */
    int network;         /* attach: a descriptor of the root's network namespace (network.h); 0: it is ours */
    int away_fd;         /* a second listening socket, in that namespace; 0: none. companion_start() makes it */
    struct option_strings watch, ref_functions; /* each checked, and short enough for hs_session */
    enum recorder_children children;
    struct snapshot_policy policy;
    bool no_exit_snapshot;
    int snapshot_signal; /* 0: none */
};

/*
 * Between `heapsake run` and its recorder: datagrams of a SOCK_SEQPACKET pair. The
 * text lies behind the struct.
 */
enum control_kind {
    CONTROL_OPEN = 7,    /* run: open the file, whose name is known; answered by READY or REFUSED            */
    CONTROL_PROGRAM = 1, /* run: `value` is the program's pid; answered as OPEN is, unless that came before  */
    CONTROL_ENDED = 2,   /* run: `value` is its wait status                                                  */
    CONTROL_READY = 3,   /* recorder: the file is there, the program may start; the text is its name          */
    CONTROL_REFUSED = 4, /* recorder: `value` 1: the program may run untraced, 0: it must not; the text says why */
    CONTROL_SAY = 5,     /* recorder: a line for the user                                                    */
    CONTROL_CAUSES = 8,  /* recorder: causes of leaks can be told in a moment; the text is the trace's path     */
    CONTROL_DETACH = 9,  /* attach: leave the program                                                        */
    CONTROL_ATTACH_STATE = 10, /* recorder: `value` is how far the program has come, enum hs_attach_state         */
    CONTROL_FOLLOWED = 12, /* recorder: `value` is the pid of another process that was attached to, and is traced now */
    CONTROL_TAKEN = 11,  /* recorder: another one traces the program that was to be attached to              */
    CONTROL_CLOSING = 6, /* recorder: the closing screen, in parts; the last one has a `value`: enum closing_value */
};
enum closing_value {
    CLOSING_MORE = 0,
    CLOSING_LAST = 1,
    CLOSING_NEVER_MET = 2, /* the last one: the program has never said hello                                  */
    CLOSING_NOT_LEFT = 3,  /* the last one: a program that was attached to could not be left; why has been said */
};
struct control {
    uint32_t kind;
    int32_t value;
};
#define CONTROL_TEXT_MAX 16384

/* An abstract address that nobody else has, without the leading NUL. */
#define SESSION_NAME_BYTES 64
/* A listening socket of that address, with close-on-exec; a negative errno. Fills `name`. */
int recorder_listen(char name[SESSION_NAME_BYTES]);
/* The same at a name that somebody else has chosen. */
int recorder_listen_at(const char *name);

/*
 * Runs until nobody is left to record. `listen_fd` is from above. With control_fd >= 0 the root's pid, end and wait
 * status come from there; else the root is `root_pid`, its end is seen, and ready_fd (>= 0) gets a byte once the file
 * is there. Ignores SIGPIPE and SIGXFSZ, handles SIGTERM. Returns an exit code.
 */
int recorder_run(const struct recorder_options *options, int listen_fd, int control_fd, pid_t root_pid, int ready_fd);

/* ---- for the recorder's own files ---- */

struct recorder;
struct session;
struct fork_snapshot;

/* The options of this recorder. Any thread. */
const struct recorder_options *recorder_options(const struct recorder *recorder);
/* Answers a hello on `fd`, without waiting. memory_fd (-1: none) goes along. Any thread. */
void recorder_welcome(int fd, enum hs_verdict verdict, int memory_fd);
/* A line for the user; each text only once. Any thread. */
void recorder_say(struct recorder *recorder, const char *text);
/* Drain thread: a parent has come to its fork; the child may be waiting. Takes the snapshot over. */
void recorder_forked(struct recorder *recorder, struct fork_snapshot *snapshot);
/* Drain thread: the pid of the child of that fork, -1: there is none. */
void recorder_fork_pid(struct recorder *recorder, uint64_t parent_session, uint64_t fork_id, pid_t child);

#endif
