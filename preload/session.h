/*
 * session.h - this process's session: the shared memory, mapped piece by piece, and whether it is on.
 *
 * The descriptor of the memory file is closed at once; further segments are
 * mapped with mremap from the last page that is mapped already (a shared mapping may be
 * mapped again that way, and further on), so the program's descriptors stay its own.
 */
#ifndef HEAPSAKE_PRELOAD_SESSION_H
#define HEAPSAKE_PRELOAD_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "internal/session.h"

enum session_state {
    SESSION_OFF = 0, /* not traced, or not any more; for good, but for exec and attach */
    SESSION_ON = 1,
};

struct session {
    struct hs_session *shared; /* mapped as long as the process lives, also when tracing has stopped */
    struct hs_node *node_segments[HS_MAX_NODE_SEGMENTS];
    _Atomic uint32_t state;    /* enum session_state                                   */
    uint32_t options;          /* enum hs_option                                       */
    int pid;                   /* getpid() of the process that it belongs to           */
    uint32_t generation;       /* sessions that were begun here, forked children's not counted; the live word's value */
    _Atomic uint32_t threaded; /* a second thread has existed: events are sequenced     */
    _Atomic uint32_t watching; /* watches that are in force: frees and ticks are looked at (watch/watch.h) */
};

extern struct session session __attribute__((visibility("hidden")));

/* Maps the memory file and makes it the process's session; `fd` stays the caller's. False: no memory, or
 * not a session. */
bool session_map(int fd);
/* The addresses of what session_map() and session_carve() have mapped so far are given back; shared is NULL then. */
struct session_mappings {
    struct session_mapping *first;
};
struct session_mappings session_detach_mappings(void);
void session_unmap(struct session_mappings mappings);

/*
 * A fresh segment of `size` bytes of the shared memory; its offset in the file goes to *offset.
 * NULL when the file or the address space has no more room. Locks among the threads that carve, never with a signal
 * handler of the same thread (the caller is inside a hook).
 */
void *session_carve(uint64_t size, uint64_t *offset);

/* Tracing begins: hooks record from now on, in the session that was mapped. */
void session_begin(void);

/* Tracing ends here: hooks only pass calls on from now on, and the recorder can read why. Async-signal-safe. */
void session_end(enum hs_detach why);
/*
 * The same in two steps, for whoever can wait in between (thread_quiesce()): no hook begins to record any more; and,
 * the recorder may take what it reads from now on for all there is. The first reason that is told stays.
 */
void session_close(void);
void session_tell_end(enum hs_detach why);

/* Is the process that holds the other end still there? */
bool session_recorder_alive(void);

#endif
