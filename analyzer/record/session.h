/*
 * session.h - one traced image, as the recorder sees it: shared memory, tables, and the trace it writes.
 *
 * A session passes from thread to thread, and belongs to one at a time:
 *
 *   meeting (main thread)   makes it when the image says hello
 *   drain thread            reads its rings and writes its events until the image is over
 *   finisher                writes symbols and END, and what the closing screen says
 *   main thread             destroys it
 *
 * The fields marked "any thread" are atomics that others may look at.
 */
#ifndef HEAPSAKE_RECORD_SESSION_H
#define HEAPSAKE_RECORD_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "internal/session.h"
#include "record/code_list.h"
#include "record/encode.h"
#include "record/live_table.h"
#include "record/mapped_ranges.h"
#include "record/mark_writer.h"
#include "record/oom_kills.h"
#include "record/output.h"
#include "record/ring_reader.h"
#include "symbols/modules.h"

/* A process that has said hello at least once. Counted by its sessions and by the recorder's list. */
struct process {
    struct process *next;               /* main thread                                             */
    pid_t pid;                          /* as the recorder sees it                                 */
    int pidfd;                          /* main thread                                             */
    bool root;                          /* the one that was started: FILE is its last image's trace */
    uint32_t references;                /* main thread                                             */
    _Atomic uint32_t dead;              /* any thread: no more events will come                    */
    uint64_t met_by_then;               /* written before `dead`: recorder.last_met at that moment */
    _Atomic uint32_t wait_status_known; /* any thread; wait_status is written before    */
    int wait_status;
    bool out_of_memory;     /* written with it: the kernel killed the process for lack of memory */
    uint64_t memory_limit;  /* ... of a cgroup with this limit in bytes; 0: none or unknown */
    struct oom_process oom; /* see oom_kills.h                         */
    /* drain thread */
    uint32_t images;         /* that have a trace                      */
    struct output *last;     /* of the image before; owns a reference  */
    struct session *session; /* that is being drained, or NULL          */
    char *parent_file;       /* name of the parent's trace, without its folder; NULL: not known */
};

enum session_end_reason {
    SESSION_LIVES = 0,
    SESSION_PROCESS_ENDED = 1,
    SESSION_EXEC = 2,     /* another image of the process has said hello   */
    SESSION_STOPPED = 3,  /* by the recorder: disk, nonsense, or as asked  */
    SESSION_DETACHED = 4, /* the program gave up on the recorder           */
};

/* Bytes and blocks, without arenas and inherited blocks, as the analyzer counts them. */
struct session_totals {
    uint64_t allocated_bytes;
    uint64_t live_bytes, live_blocks;
    uint64_t inherited_bytes, inherited_blocks; /* of the parent's that still live */
    uint64_t peak_bytes, peak_time_ns, peak_event;
};

/* Live blocks of one stack. */
struct node_total {
    uint64_t bytes, count;
};

/* What was alive at some moment, by node. */
struct live_picture {
    struct node_total *nodes; /* node_count of them; NULL: not taken */
    uint32_t node_count;
    uint64_t bytes, blocks;
};

/* All records of one type of chunk since the session began: forked children's traces need them too. */
struct kept_records {
    struct buf bytes;
    size_t written; /* of them are in the file */
};

struct graph_snapshots;

struct session {
    struct session *next;        /* in the list or queue that it is in */
    struct session *next_of_all; /* main thread's list of all             */
    _Atomic uint32_t over;       /* any thread: all its events are written */
    struct recorder *recorder;
    struct process *process;
    uint64_t id;
    uint64_t parent_id; /* session of who has forked it, or of the nearest ancestor when it said hello; 0: none */
    uint64_t fork_id;   /* forked                                */
    pid_t parent_pid;
    bool forked, python;
    bool attached;        /* the process ran already                */
    bool followed_told;   /* main: `heapsake attach` knows that it is traced  */
    uint32_t attach_seen; /* drain: the last hs_session.attach_state */
    bool over_now;        /* drain: no more slots come than are there */
    bool same_pids;       /* the program sees the same numbers of processes as we do */
    uint32_t image;       /* number of this image in its process   */

    /* shared memory: see memory.c */
    int memory_fd;
    struct hs_session *shared;
    void *reserved; /* the private page before the header: the kernel's list of what we hold */

    /* drain */
    struct rings rings;
    struct hs_node *node_segments[HS_MAX_NODE_SEGMENTS];
    struct encoder encoder;
    struct live_table live;
    struct mapped_ranges mapped;
    struct code_list codes;
    struct module_set *modules;
    struct kept_records types, places;
    struct mark_writer marks;
    uint64_t last_address;    /* of the block of the last allocation; 0: it cannot hold an object (any more) */
    uint64_t unknown_objects; /* births and deaths in blocks that nobody saw   */
    struct session_totals totals;
    uint64_t inherited;                /* ordinals below are the parent's          */
    uint64_t made_up;                  /* frees that were not seen, but must have been */
    uint64_t still_since_ns;           /* alive, rings not empty, and nothing due   */
    struct live_picture kept;          /* at HSK_MARK_FINALIZE                      */
    struct graph_snapshots *snapshots; /* of its object graph, see session_snapshots.h; NULL: none yet */
    uint8_t *message;                  /* HS_MESSAGE_MAX bytes                      */
    uint32_t thread_count;
    bool waiting_for_parent; /* forked; its snapshot has not been made    */
    bool executing;          /* HS_MESSAGE_EXEC was the last word         */
    int exit_status;         /* HS_MESSAGE_EXIT; -1: none                 */
    char *python_version;
    char wrong[256]; /* what the program wrote that makes no sense */

    /* writing */
    struct output *output;
    uint64_t start_time_ns;    /* Unix time                                 */
    uint64_t origin_ns;        /* CLOCK_MONOTONIC at time 0                 */
    uint64_t end_ns;           /* session time when it ended                */
    struct buf process_fields; /* payload of PROCESS                        */
    struct buf note_fields;    /* of NOTE, at the end                       */
    struct buf threads_payload, samples_payload, watches_payload;
    uint64_t samples_first_ns, samples_last_ns, next_sample_ns;
    size_t codes_written, modules_written;
    uint32_t nodes_written; /* nodes below are in the file               */
    uint32_t *holes;        /* ... but these, which were not written yet  */
    size_t hole_count, hole_capacity;
    struct buf nodes_payload;
    uint32_t last_node_code; /* predictors of nodes_payload               */
    uint64_t last_node_frame;
    uint64_t last_flush_ns;
    uint32_t early_ops; /* flush at so many, until that is ENCODER_OPS */
    int failure;        /* the trace cannot be written any more       */
    enum session_end_reason ended;
    bool closed; /* drain thread: its events are written, only snapshots are under way */
};

/*
 * A session with its shared memory for the process; the caller sends memory_fd to the program. 0 or a negative
 * errno with `error`. Main thread.
 */
int session_new(struct session **session, struct recorder *recorder, struct process *process, struct error *error);
void session_free(struct session *session);
/* Its process ran before: the trace says what cannot be known of that time. */
void session_is_attached(struct session *session);

/* Nanoseconds since the session began. */
uint64_t session_now(const struct session *session);

/* The trace is over for a reason of ours: tells the program, and says it. `stop` is an enum hs_stop. */
void session_stop(struct session *session, uint32_t stop);

/* The program wrote something that makes no sense: keeps the first of it, for session_stop(). Always false. */
HS_COLD bool session_nonsense(struct session *session, const char *what);
/* The trace is over because the recorder has no memory for it. */
HS_COLD void session_out_of_memory(struct session *session);

/* Opens the rings that were announced since. False: something is wrong, session->wrong or a note says what. */
bool session_notice_rings(struct session *session);

/* Writes one chunk, unless `payload` is empty, and clears that. A failure stops the session. */
void session_write(struct session *session, enum hsk_chunk_type type, struct buf *payload, uint64_t first_ns,
                   uint64_t last_ns);
/* Writes everything that is waiting to be written. Failures stop the session. */
void session_flush(struct session *session);
/* A record of the resident set, which it returns; 0: unknown. */
uint64_t session_sample(struct session *session);

/* Adds a thread to THREADS; its index. `name` may be NULL. */
uint32_t session_thread(struct session *session, uint32_t tid, const void *name, size_t name_length);

/* A blind spot or another field for the NOTE chunk. */
void session_note(struct session *session, enum hsk_field field, const char *format, ...) HS_PRINTF(3, 4);

/* Begins to write: PROCESS, and for forked children what they inherit. */
void session_begin_output(struct session *session, struct output *output);

#endif
