/*
 * session.h - the memory that a traced program and its recorder share, and how they meet.
 *
 * A session is one traced image of one process: from its start (or its birth by
 * fork) to its exit, its death or its next exec. It has one memory file, made by
 * the recorder, sealed against shrinking and growing, HS_SESSION_BYTES long and
 * almost all of it a hole:
 *
 *   0                 HS_HEADER_BYTES                                   HS_SESSION_BYTES
 *   +-----------------+--------+--------+----------------+--------+----....
 *   | session header  | ring 0 | nodes  | ring 1         | nodes  |   hole
 *   +-----------------+--------+--------+----------------+--------+----....
 *                      segments, carved by the program in the order it needs them
 *
 * The program maps the header first and each segment when it needs it; the
 * recorder maps the whole file. Neither trusts the other's numbers: every index
 * and length read from here is checked by its reader.
 *
 * Who writes what is said at each field. Fields written by one side and read by
 * the other are atomics; `release` by the writer, `acquire` by the reader.
 */
#ifndef HEAPSAKE_INTERNAL_SESSION_H
#define HEAPSAKE_INTERNAL_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "compiler.h"
#include "event.h"

#define HS_SESSION_MAGIC UINT64_C(0x314e4f4953534b48) /* "HKSSION1" in memory */
#define HS_SESSION_VERSION 1u
#define HS_SESSION_BYTES (UINT64_C(256) << 20)

#define HS_WATCH_BYTES 8192u
#define HS_REF_FUNCTIONS_BYTES 2048u
#define HS_TRACE_FILE_BYTES 4096u /* a path, with its NUL */
#define HS_MOST_PAIRS 32 /* of functions that --ref-functions names; no suffix, for assembly */

#define HS_MAX_RINGS 4096u
#define HS_FIRST_RING_SLOTS 65536u  /* 1 MiB: stays in the cache and outlasts a millisecond of json   */
#define HS_RING_SLOTS 8192u         /* 128 KiB for each further thread                                */
#define HS_SMALL_RING_SLOTS 2048u   /* beyond HS_MANY_RINGS threads                                   */
#define HS_MANY_RINGS 256u

#define HS_NODES_PER_SEGMENT 65536u /* 1 MiB */
#define HS_MAX_NODE_SEGMENTS ((HS_NODE_MAX + 1) / HS_NODES_PER_SEGMENT)

/*
 * A stack is a node of a prefix tree: its innermost frame, and the node of its
 * caller. Node 0 is the root, "no stack". A node is written once, before its
 * number appears in any ring, and never changes. Two nodes may be equal (two
 * threads met the stack at the same time): readers do not rely on uniqueness.
 */
struct hs_node {
    uint64_t frame;  /* python: code number << 32 | byte offset of the instruction;
                        native: epoch << 48 | return address                      */
    uint32_t parent;
    _Atomic uint32_t kind; /* enum hs_node_kind, written last, with release: while it is HS_NODE_NONE the number
                              is reserved, but the node not written yet                */
};

enum hs_node_kind {
    HS_NODE_NONE = 0,
    HS_NODE_PYTHON = 1,
    HS_NODE_NATIVE = 2,
    HS_NODE_TRUNCATED = 3, /* frames above this one could not be read: depth or broken unwind */
    HS_NODE_SOURCE = 4,    /* frame: number of a HS_MESSAGE_PLACE, a line that the program's own code tells */
};

/*
 * One writer (the thread that owns it; it passes on to another thread when its
 * owner has ended), one reader (the recorder). head and tail count slots since
 * the beginning; slot i lies at slots[i & (slot_count - 1)].
 */
struct hs_ring {
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t head; /* program                                   */
    _Atomic uint64_t dropped;                      /* program: events lost because it was full   */
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t tail; /* recorder                                  */
    _Atomic uint32_t wake;                         /* futex; recorder adds 1 when it made room while `waiting` */
    _Atomic uint32_t waiting;                      /* program: 1 while the writer sleeps on `wake` */
    _Atomic uint64_t answer;                       /* recorder: number of the last wish that was answered << 32 |
                                                      0, the number of a snapshot, or a negative errno  */
    _Alignas(HS_CACHE_LINE) uint32_t slot_count;   /* program, before the ring is announced; a power of two */
    _Atomic uint32_t owner_tid;                    /* program                                    */
    _Atomic uint32_t owner_state;                  /* program: enum hs_ring_owner_state          */
    uint32_t wishes;                               /* program alone: number of the last wish       */
    uint64_t last_sequence[HS_STRIPES];            /* program alone: 1 + the last number written, per stripe */
    _Alignas(HS_CACHE_LINE) struct hs_slot slots[];
};

enum hs_ring_owner_state {
    HS_RING_OWNED = 0,
    HS_RING_LEAVING = 1, /* its owner is about to end, but may still write */
};

struct hs_counter {
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t next;
};

struct hs_session {
    /* recorder, before the program sees it */
    uint64_t magic;
    uint32_t version;
    uint32_t options;             /* enum hs_option                                             */
    uint64_t id;                  /* unique in this recorder                                    */
    uint64_t bytes;               /* HS_SESSION_BYTES                                           */
    uint64_t clock_origin_ns;     /* CLOCK_MONOTONIC at clock 0                                 */
    uint64_t reserved0;
    char watch[HS_WATCH_BYTES]; /* what --watch asked for, a line each, and a NUL; see preload/watch/     */
    char ref_functions[HS_REF_FUNCTIONS_BYTES]; /* what --ref-functions asked for, the same way           */

    /* recorder, while it runs */
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t clock_ns; /* nanoseconds since clock_origin_ns, about each ms */
    _Atomic uint32_t stop;        /* enum hs_stop: anything but HS_GO ends the tracing            */
    _Atomic uint32_t snapshot_reason; /* of the request below, written before it                     */
    _Atomic uint32_t snapshot_request; /* counts what the recorder has asked for: see snapshot.h       */
    _Atomic uint32_t snapshot_signal; /* --snapshot-signal: its number, 0: none; before the program sees it  */
    _Atomic uint32_t trace_file_length; /* of the path below, written after it; 0: not known (yet)   */
    char trace_file[HS_TRACE_FILE_BYTES]; /* where this image's trace is written, absolute; it is renamed when another
                                       image takes its place, and this one is over then             */
    pthread_mutex_t recorder_alive; /* process-shared, robust, held by the recorder as long as it lives:
                                       the kernel sets FUTEX_OWNER_DIED in its first word when it dies.
                                       The program reads that word and never locks it             */

    /* program */
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t used;  /* bytes carved, header included               */
    _Atomic uint32_t ring_count;                    /* rings announced in rings[]                  */
    _Atomic uint32_t node_count;                    /* nodes reserved; see struct hs_node           */
    _Atomic uint32_t node_segment_count;
    _Atomic uint32_t threaded;                      /* 1: a second thread has existed              */
    _Atomic uint64_t lost;                          /* events of threads that got no ring           */
    _Atomic uint64_t lost_nodes;                    /* stacks that found no room                    */
    _Atomic uint32_t detached;                      /* program: enum hs_detach; it writes no more    */
    _Atomic uint32_t snapshot_answer;               /* the last request that was answered, either way  */
    _Atomic uint64_t summon_entry;                  /* address of summon_entry, 0: none; see snapshot.h */
    _Atomic uint32_t snapshot_wanted;               /* times that the signal for a snapshot has come     */
    _Atomic uint32_t attach_state;                  /* enum hs_attach_state                            */
    _Atomic uint32_t births_asked;                  /* lines of `watch`, a bit each: those for whose objects births
                                                       are looked after                                   */
    _Atomic uint32_t births_seen;                   /* ... and those of which one was seen                  */
    _Atomic uint64_t rings[HS_MAX_RINGS];           /* offset of struct hs_ring; 0 until announced   */
    _Atomic uint64_t node_segments[HS_MAX_NODE_SEGMENTS]; /* offset of HS_NODES_PER_SEGMENT nodes     */
    struct hs_counter sequence[HS_STRIPES];
};

#define HS_HEADER_BYTES (UINT64_C(64) << 10)

enum hs_option {
    HS_OPTION_NATIVE = 1 << 0,       /* native frames also in Python programs        */
    HS_OPTION_DROP_WHEN_FULL = 1 << 1,
    HS_OPTION_SNAPSHOTS = 1 << 2,    /* at exit, and when asked                       */
    HS_OPTION_OBJECTS = 1 << 3,      /* births and deaths of Python objects           */
    HS_OPTION_RECORD_VALUES = 1 << 4, /* snapshots may hold the values of strings     */
    HS_OPTION_REFS = 1 << 5,          /* calls of functions that count references      */
    HS_OPTION_FOLLOW = 1 << 6,        /* attached: what the process executes is traced, too */
    HS_OPTION_NO_EXIT_SNAPSHOT = 1 << 7, /* none at exit                                */
};

enum hs_stop {
    HS_GO = 0,
    HS_STOP_DISK = 1,     /* the trace cannot be written any more */
    HS_STOP_PROTOCOL = 2, /* the recorder read nonsense           */
    HS_STOP_ASKED = 3,
};

/* How far a process that is attached to has come; it only grows. */
enum hs_attach_state {
    HS_ATTACH_NONE = 0,
    HS_ATTACH_MET = 1,           /* the session is there; nothing in the process has changed */
    HS_ATTACH_AWAITS_PYTHON = 2, /* likewise, and it waits for the GIL                       */
    HS_ATTACH_DONE = 3,          /* traced; the first snapshot is under way                  */
};

enum hs_detach {
    HS_ATTACHED = 0,
    HS_DETACHED_RECORDER_DIED = 1,
    HS_DETACHED_STOPPED = 2,   /* saw hs_session.stop                                     */
    HS_DETACHED_STALLED = 3,   /* ring full for HS_STALL_SECONDS and the recorder stood still */
    HS_DETACHED_ASKED = 4,     /* by heapsake detach, or its like: everything was taken back  */
};

#define HS_STALL_SECONDS 10

/*
 * The meeting. The recorder listens on an abstract SOCK_SEQPACKET address whose
 * name the environment carries:
 *
 *   HEAPSAKE_SESSION=<address without the leading NUL>
 *
 * The library's constructor (and the child side of fork) connects, sends one
 * hs_hello, receives one hs_welcome with the memory file as SCM_RIGHTS, maps it,
 * and closes everything. The recorder knows the process from SO_PEERCRED, and
 * reads its command line, modules' paths and the rest from /proc while it waits.
 * Each step has a deadline of HS_HELLO_SECONDS, then the program runs untraced.
 */
#define HS_ENV_SESSION "HEAPSAKE_SESSION"
#define HS_ENV_PRELOAD "LD_PRELOAD"
/* With a bare LD_PRELOAD, what the user may set: */
#define HS_ENV_OUTPUT "HEAPSAKE_OUTPUT"     /* file, as run's -o                             */
#define HS_ENV_OPTIONS "HEAPSAKE_OPTIONS"   /* run's options, separated by spaces             */
#define HS_HELLO_SECONDS 5
#define HS_HELLO_MAGIC 0x6f6c6c65u /* "ello" */

struct hs_hello {
    uint32_t magic;
    uint32_t version;         /* HS_SESSION_VERSION */
    uint32_t kind;            /* enum hs_hello_kind */
    uint32_t python;          /* 1: an interpreter is linked in or loaded already */
    uint64_t parent_session;  /* forked: the id of the session it comes from       */
    uint64_t fork_id;         /* forked: as in HS_MESSAGE_FORK; 0 for a raw clone   */
    int32_t pid;              /* getpid() as the program sees it                    */
    uint32_t reserved;
};

enum hs_hello_kind {
    HS_HELLO_START = 1,  /* an image has been started, by exec */
    HS_HELLO_FORKED = 2,
    HS_HELLO_ATTACHED = 4, /* the image runs already */
    HS_HELLO_TAKEN = 5,    /* to be attached to, but another recorder traces it: no session is wanted */
    HS_HELLO_SNAPSHOT = 3, /* a snapshot's child; parent_session and fork_id are session and number of the snapshot.
                              The welcome comes when the live table lies in the area, and brings that: see snapshot.h */
};

struct hs_welcome {
    uint32_t magic;
    uint32_t version;
    uint32_t verdict;    /* enum hs_verdict; the memory file comes with HS_VERDICT_TRACE alone */
    int32_t ptracer_pid; /* the program lets this process seize it (prctl PR_SET_PTRACER), so that it can be
                            summoned; 0: need not */
};

enum hs_verdict {
    HS_VERDICT_TRACE = 1,
    HS_VERDICT_IGNORE = 2,  /* --children says no; pass the environment on */
    HS_VERDICT_REFUSE = 3,  /* another version, or the recorder is ending   */
};

_Static_assert(sizeof(struct hs_node) == 16, "a node is 16 bytes");
_Static_assert(sizeof(struct hs_session) <= HS_HEADER_BYTES, "the header has room for its struct");
_Static_assert((HS_FIRST_RING_SLOTS & (HS_FIRST_RING_SLOTS - 1)) == 0 && (HS_RING_SLOTS & (HS_RING_SLOTS - 1)) == 0 &&
                   (HS_SMALL_RING_SLOTS & (HS_SMALL_RING_SLOTS - 1)) == 0,
               "ring sizes are powers of two");

#endif
