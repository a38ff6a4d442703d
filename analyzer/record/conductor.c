/*
 * conductor.c - the drain thread: which session is drained when, and when it is over.
 *
 * Rings are polled: an event costs the program no system call. While there is
 * traffic the thread naps between 50 us and 1 ms, so that no ring fills up meanwhile; when there is none,
 * up to 2 ms, and after a second of silence 10 ms; half a millisecond while a snapshot is being written.
 *
 * The clock of each session is published between two passes. So the time of an
 * event is exact to about a millisecond (as long as a chunk takes to be compressed and written) in
 * traffic, and the first event after a silence may be dated up to 10 ms too early.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/drain.h"
#include "record/fork_snapshot.h"
#include "record/recorder_private.h"
#include "record/unborn_kinds.h"

#define PASS_SLOTS 16384u /* of one session, then it is another one's turn */
#define MIN_NAP_NS UINT64_C(50000)
#define MAX_NAP_NS UINT64_C(1000000)
#define IDLE_NAP_NS UINT64_C(2000000)
#define LONG_NAP_NS UINT64_C(10000000)
#define STREAM_NAP_NS UINT64_C(500000) /* a child fills its stream in milliseconds, and its end is waited for */
#define LONG_IDLE_NS UINT64_C(1000000000)
#define CLOCK_NS UINT64_C(1000000)
#define FLUSH_NS UINT64_C(240000000) /* so that at most 250 ms are lost */
#define EARLY_OPS 4096u
#define SAMPLE_NS UINT64_C(100000000)
#define SNAPSHOT_NS UINT64_C(10000000000) /* a child that has not said hello by then is not traced */

struct conductor {
    struct recorder *recorder;
    struct session *sessions;
    struct fork_snapshot *snapshots;
    struct births_known births;
    uint64_t last_begun; /* id of a session; they come in the order of their hellos */
    uint64_t clock_published_ns;
    uint64_t idle_since_ns;
    uint64_t nap_ns;
};

static struct conductor conductor; /* the drain thread's own */

/* ---- forks ---- */

static void remember_snapshot(struct recorder *recorder, struct fork_snapshot *snapshot)
{
    snapshot->next = conductor.snapshots;
    conductor.snapshots = snapshot;
    atomic_fetch_add(&recorder->snapshots, 1);
}

static const struct fork_snapshot *find_snapshot(uint64_t parent_session, uint64_t fork_id)
{
    const struct fork_snapshot *snapshot = conductor.snapshots;
    while (snapshot && (snapshot->parent_session != parent_session || snapshot->fork_id != fork_id))
        snapshot = snapshot->next;
    return snapshot;
}

/* Takes it out of the list; NULL when it is not there. */
static struct fork_snapshot *take_snapshot(uint64_t parent_session, uint64_t fork_id)
{
    for (struct fork_snapshot **at = &conductor.snapshots; *at; at = &(*at)->next)
        if ((*at)->parent_session == parent_session && (*at)->fork_id == fork_id) {
            struct fork_snapshot *snapshot = *at;
            *at = snapshot->next;
            atomic_fetch_sub(&conductor.recorder->snapshots, 1);
            return snapshot;
        }
    return NULL;
}

static void expire_snapshots(uint64_t now)
{
    for (struct fork_snapshot *snapshot = conductor.snapshots, *next; snapshot; snapshot = next) {
        next = snapshot->next;
        if (now > snapshot->made_ns + SNAPSHOT_NS) /* it may have been made since `now` */
            fork_snapshot_free(take_snapshot(snapshot->parent_session, snapshot->fork_id));
    }
}

static struct session *session_by_id(uint64_t id)
{
    for (struct session *session = conductor.sessions; session; session = session->next)
        if (session->id == id)
            return session;
    return NULL;
}

void recorder_forked(struct recorder *recorder, struct fork_snapshot *snapshot)
{
    for (struct session *session = conductor.sessions; session; session = session->next)
        if (session->waiting_for_parent && session->parent_id == snapshot->parent_session &&
            session->fork_id == snapshot->fork_id) {
            session_inherit(session, snapshot);
            return;
        }
    remember_snapshot(recorder, snapshot);
}

void recorder_fork_pid(struct recorder *recorder, uint64_t parent_session, uint64_t fork_id, pid_t child)
{
    (void)recorder;
    if (child < 0)
        fork_snapshot_free(take_snapshot(parent_session, fork_id));
}

/* Reads all that is in its rings. */
static void drain_all(struct session *session, bool over)
{
    struct drain_result result;
    do
        result = drain_session(session, PASS_SLOTS, over);
    while (result.left && result.slots > 0);
}

/* It cannot wait for its parent any longer: what its parent has said is read now. */
static void settle(struct session *session)
{
    struct session *parent = session->waiting_for_parent ? session_by_id(session->parent_id) : NULL;
    if (parent) {
        settle(parent);
        drain_all(parent, false);
    }
    if (session->waiting_for_parent)
        session_inherit(session, NULL);
}

/* What a forked child begins with; it may have to wait until its parent's events have been read up to the fork. */
static void inherit(struct session *session)
{
    struct session *parent = session_by_id(session->parent_id);
    struct fork_snapshot *snapshot = NULL;
    if (session->fork_id != 0)
        snapshot = take_snapshot(session->parent_id, session->fork_id);
    else if (parent) { /* by a raw clone: nobody has said when; at least all that is there now came before */
        settle(parent);
        drain_all(parent, false);
        snapshot = fork_snapshot_new(parent, 0);
    }
    if (!snapshot && parent && session->fork_id != 0 && parent->ended == SESSION_LIVES)
        session->waiting_for_parent = true;
    else
        session_inherit(session, snapshot);
}

/* ---- begin and end of a session ---- */

static void close_session(struct session *session, enum session_end_reason reason);

/* The image before is over: what it had written is read, and its file makes room. */
static void replace_image(struct process *process)
{
    struct session *old = process->session;
    if (!old)
        return;
    settle(old);
    drain_all(old, true);
    close_session(old, SESSION_EXEC);
}

static void rename_last(struct recorder *recorder, struct process *process, uint32_t image)
{
    char *path = output_child_path(recorder->file, process->pid, (int)image);
    if (path)
        output_rename(process->last, path);
    free(path);
}

static int open_output(struct session *session, struct output **output, struct error *error)
{
    struct recorder *recorder = conductor.recorder;
    struct process *process = session->process;
    if (process->last) {
        rename_last(recorder, process, session->image - 1);
        char *before = output_name(process->last);
        if (before)
            trace_field_string(&session->process_fields, HSK_FIELD_IMAGE_BEFORE, before);
        free(before);
        output_unref(process->last);
        process->last = NULL;
    }
    if (process->root && recorder->root_output) {
        *output = recorder->root_output;
        recorder->root_output = NULL;
        return 0;
    }
    char *path = process->root ? strdup(recorder->file) : output_child_path(recorder->file, process->pid, -1);
    int code = path ? output_open(output, path, false, true, error) : error_set(error, -ENOMEM, "out of memory");
    free(path);
    return code;
}

/* Parent and child name each other. A process keeps the parent of its first image, whoever adopts it. */
static void link_to_parent(struct session *session, struct output *output)
{
    struct process *process = session->process;
    struct session *parent = session->image == 0 && !process->root ? session_by_id(session->parent_id) : NULL;
    if (parent && parent->output) {
        char *own = output_name(output);
        process->parent_file = output_name(parent->output);
        if (own)
            session_note(parent, HSK_FIELD_CHILD, "%d %s", (int)process->pid, own);
        free(own);
    } else if (session->image == 0 && session->forked) {
        /* What it said of its fork may outlive the parent. */
        const struct fork_snapshot *snapshot = find_snapshot(session->parent_id, session->fork_id);
        process->parent_file = snapshot && snapshot->parent_file ? strdup(snapshot->parent_file) : NULL;
    }
    if (process->parent_file)
        trace_field_string(&session->process_fields, HSK_FIELD_PARENT_TRACE, process->parent_file);
}

static void begin_session(struct session *session)
{
    struct process *process = session->process;
    struct error error = {0};
    struct output *output;
    conductor.last_begun = session->id;
    replace_image(process);
    session->image = process->images++;
    int code = open_output(session, &output, &error);
    if (code != 0) {
        recorder_say(conductor.recorder, error.text);
        session_stop(session, HS_STOP_DISK);
        finish_session(conductor.recorder, session); /* without a file */
        return;
    }
    atomic_fetch_add(&conductor.recorder->traces, 1);
    link_to_parent(session, output);
    session->early_ops = EARLY_OPS;
    process->session = session;
    process->last = output_ref(output);
    session->next = conductor.sessions;
    conductor.sessions = session;
    session_begin_output(session, output);
    if (session->forked)
        inherit(session);
}

static void remove_session(struct session *session)
{
    for (struct session **at = &conductor.sessions; *at; at = &(*at)->next)
        if (*at == session) {
            *at = session->next;
            return;
        }
}

/* Everything is written. */
static void end_session(struct session *session)
{
    remove_session(session);
    atomic_store(&session->over, 1);
    finish_session(conductor.recorder, session);
}

/* No more events come; it stays with us while its snapshots do. */
static void close_session(struct session *session, enum session_end_reason reason)
{
    if (session->ended == SESSION_LIVES) {
        session->ended = reason;
        session->end_ns = session_now(session);
    }
    for (const struct session *one = conductor.sessions; one; one = one->next)
        births_known_take(&conductor.births, one);
    births_known_note(&conductor.births, session);
    session_flush(session);
    if (session->process->session == session)
        session->process->session = NULL;
    for (struct session *child = conductor.sessions; child; child = child->next)
        if (child->waiting_for_parent && child->parent_id == session->id)
            session_inherit(child, NULL);
    session->closed = true;
    if (session->failure != 0)
        snapshots_abandon(session, "the trace cannot be written any more");
    else if (session->ended == SESSION_STOPPED)
        snapshots_abandon(session, "the recorder stopped");
    snapshots_step(session, true);
    if (!snapshots_pending(session))
        end_session(session);
}

/* ---- the loop ---- */

static void take_arrived(void)
{
    struct recorder *recorder = conductor.recorder;
    pthread_mutex_lock(&recorder->lock);
    struct session *arrived = recorder->arrived;
    recorder->arrived = NULL;
    pthread_mutex_unlock(&recorder->lock);
    struct session *in_order = NULL;
    while (arrived) {
        struct session *next = arrived->next;
        arrived->next = in_order;
        in_order = arrived;
        arrived = next;
    }
    while (in_order) {
        struct session *next = in_order->next;
        begin_session(in_order);
        in_order = next;
    }
}

/* The sessions whose snapshots' children have said hello, or that somebody asks for one. */
static void take_callers(void)
{
    struct recorder *recorder = conductor.recorder;
    pthread_mutex_lock(&recorder->lock);
    struct snapshot_child *children = recorder->children_met;
    struct snapshot_asker *askers = recorder->asked;
    recorder->children_met = NULL;
    recorder->asked = NULL;
    pthread_mutex_unlock(&recorder->lock);
    while (children) {
        struct snapshot_child *next = children->next;
        struct session *session = session_by_id(children->session);
        if (session)
            snapshots_meet(session, children);
        else
            snapshot_child_refuse(children);
        children = next;
    }
    while (askers) {
        struct snapshot_asker *next = askers->next;
        struct session *session = conductor.sessions;
        while (session && (session->closed || session->process->pid != askers->pid))
            session = session->next;
        if (session)
            snapshots_ask(session, askers);
        else
            snapshot_asker_fail(askers, "it is not traced any more");
        askers = next;
    }
}

/* Its events are all written, and its snapshots are not. */
static struct drain_result step_closed(struct session *session)
{
    struct drain_result result = {0};
    if (session->failure != 0)
        snapshots_abandon(session, "the trace cannot be written any more");
    else if (atomic_load(&conductor.recorder->stopping))
        snapshots_abandon(session, "the recorder stopped");
    result.left = snapshots_step(session, true);
    result.slots = result.left;
    if (!snapshots_pending(session))
        end_session(session);
    return result;
}

/* Returns what was drained; the session may be gone afterwards. */
static struct drain_result step(struct session *session, uint64_t now)
{
    if (session->closed)
        return step_closed(session);
    struct process *process = session->process;
    bool dead = atomic_load(&process->dead);
    bool detached = atomic_load_explicit(&session->shared->detached, memory_order_acquire) != HS_ATTACHED;
    bool stopping = atomic_load(&conductor.recorder->stopping);
    if (stopping && !dead)
        atomic_store(&session->shared->stop, HS_STOP_ASKED);
    bool over = dead || detached || stopping;
    /* Whoever had been met by then has to begin first: the next image, which ends this one, or a child. */
    bool begun = conductor.last_begun >= (dead ? process->met_by_then : atomic_load(&conductor.recorder->last_met));
    uint32_t attach_state = atomic_load_explicit(&session->shared->attach_state, memory_order_acquire);
    if (attach_state != session->attach_seen) {
        session->attach_seen = attach_state;
        recorder_wake_main(conductor.recorder);
    }
    uint32_t budget = session->early_ops < PASS_SLOTS ? session->early_ops : PASS_SLOTS;
    struct drain_result result = drain_session(session, budget, over);

    if (session->ended != SESSION_LIVES) {
        close_session(session, SESSION_STOPPED);
        return result;
    }
    /* Everything that a parent had said when its child said hello has been read: there is no word of that fork. */
    if (!result.left && !session->waiting_for_parent)
        for (struct session *child = conductor.sessions; child; child = child->next)
            if (child->waiting_for_parent && child->parent_id == session->id)
                session_inherit(child, NULL);
    if (over && session->waiting_for_parent && stopping)
        session_inherit(session, NULL);
    else if (over && begun && !session->waiting_for_parent && (!result.left || result.slots == 0) &&
             (!dead || atomic_load(&process->wait_status_known))) {
        /* A program that detaches when it is told that we stop has not done so of its own accord. */
        close_session(session, dead ? SESSION_PROCESS_ENDED : stopping ? SESSION_STOPPED : SESSION_DETACHED);
        return result;
    }
    if (snapshots_step(session, false)) {
        result.left = true;
        result.slots++;
    }
    uint64_t age = now > session->origin_ns ? now - session->origin_ns : 0;
    if (age >= session->next_sample_ns && !dead) {
        snapshots_sampled(session, session_sample(session));
        oom_process_look(conductor.recorder->oom_kills, &process->oom, now);
        session->next_sample_ns = age + SAMPLE_NS;
    }
    if (age >= session->last_flush_ns + FLUSH_NS || session->encoder.op_count >= session->early_ops) {
        /* The first chunks are small: of a disk that is nearly full they make the best. */
        if (session->early_ops < ENCODER_OPS)
            session->early_ops *= 2;
        session_flush(session);
    }
    return result;
}

static uint64_t publish_clocks(uint64_t before)
{
    uint64_t now = monotonic_ns();
    if (now - before < CLOCK_NS)
        return before;
    for (struct session *session = conductor.sessions; session; session = session->next)
        if (now > session->origin_ns)
            atomic_store_explicit(&session->shared->clock_ns, now - session->origin_ns, memory_order_relaxed);
    return now;
}

/* How long to sleep when a pass has read `slots` and found rings filled to `fullness` percent. */
static void choose_nap(uint64_t slots, unsigned fullness, uint64_t now)
{
    bool snapshot = false;
    for (struct session *session = conductor.sessions; session && !snapshot; session = session->next)
        snapshot = snapshots_pending(session);
    if (slots > 0) {
        conductor.idle_since_ns = now;
        if (conductor.nap_ns > MAX_NAP_NS)
            conductor.nap_ns = MAX_NAP_NS;
        if (fullness >= 25)
            conductor.nap_ns /= 2;
        else if (fullness < 10)
            conductor.nap_ns += conductor.nap_ns / 4;
        if (conductor.nap_ns > MAX_NAP_NS)
            conductor.nap_ns = MAX_NAP_NS;
        if (conductor.nap_ns < MIN_NAP_NS)
            conductor.nap_ns = MIN_NAP_NS;
    } else {
        uint64_t most = snapshot                                       ? STREAM_NAP_NS
                        : now - conductor.idle_since_ns > LONG_IDLE_NS ? LONG_NAP_NS
                                                                       : IDLE_NAP_NS;
        conductor.nap_ns = conductor.nap_ns * 2 < most ? conductor.nap_ns * 2 : most;
    }
}

static void nap(uint32_t wake)
{
    struct timespec timeout = {.tv_nsec = (long)conductor.nap_ns};
    /* Without sessions there is nothing to poll. */
    struct timespec *limit = conductor.sessions || conductor.snapshots ? &timeout : NULL;
    syscall(SYS_futex, &conductor.recorder->drain_wake, FUTEX_WAIT_PRIVATE, wake, limit, NULL, 0);
}

void *conductor_main(void *context)
{
    struct recorder *recorder = context;
    conductor = (struct conductor){.recorder = recorder, .nap_ns = MIN_NAP_NS, .idle_since_ns = monotonic_ns()};
    while (!atomic_load(&recorder->quit)) {
        uint32_t wake = atomic_load(&recorder->drain_wake);
        take_arrived();
        take_callers();
        conductor.clock_published_ns = publish_clocks(conductor.clock_published_ns);
        uint64_t now = monotonic_ns();
        struct drain_result sum = {0};
        for (struct session *session = conductor.sessions, *next; session; session = next) {
            next = session->next;
            struct drain_result one = step(session, now);
            sum.slots += one.slots;
            sum.left |= one.left && one.slots > 0;
            if (one.fullness > sum.fullness)
                sum.fullness = one.fullness;
        }
        if (conductor.snapshots)
            expire_snapshots(monotonic_ns()); /* not `now`: they may be younger */
        if (sum.left)
            continue;
        choose_nap(sum.slots, sum.fullness, now);
        nap(wake);
    }
    while (conductor.snapshots) {
        struct fork_snapshot *next = conductor.snapshots->next;
        fork_snapshot_free(conductor.snapshots);
        conductor.snapshots = next;
    }
    return NULL;
}
