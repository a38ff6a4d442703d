/* session_snapshots.c - see session_snapshots.h */
#include "record/session_snapshots.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "record/process_info.h"
#include "record/recorder.h"
#include "record/session_snapshots_private.h"

#define SECOND_NS UINT64_C(1000000000)
#define HELLO_NS (10 * SECOND_NS)  /* for the child to say hello           */
#define ORPHAN_NS (2 * SECOND_NS)  /* ... when the program has died, perhaps before it could make one */
#define DEAD_NS (SECOND_NS / 10)   /* ... when it is dead: its hello may still be on the way */
#define CHILD_NS (120 * SECOND_NS) /* for the child to do its work           */
#define STATUS_NS SECOND_NS        /* for whoever is the child's parent now to wait for it */
#define FORKED_NS (2 * SECOND_NS)  /* for the program to say what the pause was */
#define MAX_AT_ONCE 4u
#define MAX_FIELDS ((size_t)64 << 10)
#define MAX_REFUSALS 20u

const char *snapshot_reason_text(unsigned reason)
{
    static const char *const texts[] = {
        [HS_SNAPSHOT_EXIT] = "exit",     [HS_SNAPSHOT_ASKED] = "asked",     [HS_SNAPSHOT_EVERY] = "every",
        [HS_SNAPSHOT_GROWTH] = "growth", [HS_SNAPSHOT_DOUBLED] = "doubled", [HS_SNAPSHOT_SIGNAL] = "signal",
        [HS_SNAPSHOT_ATTACH] = "attach", [HS_SNAPSHOT_DETACH] = "detach",
    };
    return reason < HS_COUNT_OF(texts) && texts[reason] ? texts[reason] : "unknown";
}

struct graph_snapshots *snapshots_of(struct session *session)
{
    if (!session->snapshots)
        session->snapshots = calloc(1, sizeof *session->snapshots);
    return session->snapshots;
}

/* ---- children ---- */

struct snapshot_child *snapshot_child_new(int fd, pid_t pid, int pidfd, const struct hs_hello *hello)
{
    struct snapshot_child *child = calloc(1, sizeof *child);
    if (child)
        *child = (struct snapshot_child){
            .fd = fd, .pidfd = pidfd, .pid = pid, .session = hello->parent_session, .number = hello->fork_id};
    return child;
}

static void hang_up(struct snapshot_child *child)
{
    if (child->fd >= 0)
        close(child->fd);
    child->fd = -1;
}

static void child_free(struct snapshot_child *child)
{
    if (!child)
        return;
    hang_up(child);
    if (child->pidfd >= 0)
        close(child->pidfd);
    free(child);
}

/* The connection was made for one answer, which fits into it: this does not wait. */
static void answer_child(struct snapshot_child *child, enum hs_verdict verdict, int area_fd)
{
    recorder_welcome(child->fd, verdict, area_fd);
    hang_up(child);
}

void snapshot_child_refuse(struct snapshot_child *child)
{
    answer_child(child, HS_VERDICT_REFUSE, -1);
    child_free(child);
}

static bool is_dead(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&ended, 1, 0) == 1;
}

/* ---- from the program ---- */

static void snapshot_free(struct graph_snapshot *snapshot)
{
    area_close(&snapshot->area);
    child_free(snapshot->child);
    if (snapshot->child_pidfd >= 0)
        close(snapshot->child_pidfd);
    buf_free(&snapshot->fields);
    free(snapshot);
}

static void note_missing(struct session *session, const struct graph_snapshot *snapshot, const char *why)
{
    session_note(session, HSK_FIELD_BLIND_SPOT, "Snapshot %u (%s) is missing: %s.", snapshot->number,
                 snapshot_reason_text(snapshot->reason), why);
}

static unsigned count_snapshots(const struct graph_snapshots *all)
{
    unsigned count = 0;
    for (const struct graph_snapshot *snapshot = all->first; snapshot; snapshot = snapshot->next)
        count++;
    return count;
}

void snapshots_begin(struct session *session, struct hs_ring *ring, const struct hs_message_snapshot *message)
{
    struct snapshot_asker *thread = message->wish ? snapshot_asker_thread(ring, message->wish) : NULL;
    struct graph_snapshots *all = snapshots_of(session);
    struct graph_snapshot *snapshot = all ? calloc(1, sizeof *snapshot) : NULL;
    if (!snapshot) {
        askers_fail(thread, "out of memory");
        return;
    }
    *snapshot = (struct graph_snapshot){
        .number = message->number,
        .reason = message->reason,
        .time_ns = session_now(session), /* there may have been no event for long */
        .event = session->encoder.allocations + session->encoder.frees,
        .began_ns = session_now(session),
        .area = {.fd = -1},
        .child_pidfd = -1,
    };
    struct snapshot_asker *askers = thread ? thread : request_answered(all, message->request);
    int code = -EAGAIN;
    if (message->number > all->last_number && count_snapshots(all) < MAX_AT_ONCE)
        code = area_open(&snapshot->area, session, message->number, session->shared->options);
    if (code != 0) {
        char why[128];
        if (code == -EAGAIN)
            snprintf(why, sizeof why, "too many were under way");
        else
            snprintf(why, sizeof why, "the recorder cannot make its memory: %s", strerror(-code));
        note_missing(session, snapshot, why);
        askers_fail(askers, why);
        snapshot_free(snapshot);
        return;
    }
    snapshot->askers = askers;
    all->last_number = message->number;
    snapshot_watch_begin(&all->watch, snapshot->began_ns);
    struct graph_snapshot **at = &all->first;
    while (*at)
        at = &(*at)->next;
    *at = snapshot;
}

void snapshots_forked(struct session *session, const struct hs_message_snapshot_forked *message)
{
    struct graph_snapshot *snapshot = session->snapshots ? session->snapshots->first : NULL;
    while (snapshot && snapshot->number != message->number)
        snapshot = snapshot->next;
    if (!snapshot || snapshot->forked)
        return;
    snapshot->forked = true;
    snapshot->child_pid = message->pid;
    snapshot->pause_ns = message->pause_ns;
    snapshot->resident_bytes = message->resident_bytes;
    if (message->pid > 0 && session->same_pids)
        snapshot->child_pidfd = (int)syscall(SYS_pidfd_open, message->pid, 0);
}

void snapshots_refused(struct session *session, const struct hs_message_snapshot_refused *message, const char *why)
{
    struct graph_snapshots *all = snapshots_of(session);
    char text[256];
    if (!all)
        return;
    int length = message->length < sizeof text - 1 ? (int)message->length : (int)sizeof text - 1;
    snprintf(text, sizeof text, "%.*s", length, why);
    size_t end = strlen(text);
    if (end > 0 && text[end - 1] == '.')
        text[end - 1] = '\0';
    struct snapshot_asker *askers = request_answered(all, message->request);
    /* Somebody who has asked is told; what nobody waits for stands in the trace, each reason once. */
    bool told = askers_hear(askers);
    askers_refuse(askers, message->code < 0 && message->code > -4096 ? message->code : -EIO, text);
    if (told || all->refusals >= MAX_REFUSALS || strcmp(text, all->last_refusal) == 0)
        return;
    all->refusals++;
    memcpy(all->last_refusal, text, sizeof text);
    session_note(session, HSK_FIELD_BLIND_SPOT, "A snapshot (%s) is missing: %s.",
                 snapshot_reason_text(message->reason), text);
}

void snapshots_meet(struct session *session, struct snapshot_child *child)
{
    struct graph_snapshots *all = snapshots_of(session);
    if (!all) {
        snapshot_child_refuse(child);
        return;
    }
    child->next = all->waiting;
    all->waiting = child;
}

/* ---- the end of one ---- */

static void write_snapshot(struct session *session, struct graph_snapshot *snapshot, const char *problem)
{
    struct buf fields = BUF_INIT;
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NUMBER, snapshot->number);
    trace_field_string(&fields, HSK_FIELD_SNAPSHOT_REASON, snapshot_reason_text(snapshot->reason));
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_TIME, snapshot->time_ns);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_EVENT, snapshot->event);
    if (snapshot->forked) {
        trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PAUSE, snapshot->pause_ns);
        trace_field_number(&fields, HSK_FIELD_SNAPSHOT_RESIDENT, snapshot->resident_bytes);
    }
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PARTS, snapshot->parts);
    if (problem) {
        char sentence[512];
        snprintf(sentence, sizeof sentence, "The snapshot is not whole: %s.", problem);
        trace_field_string(&fields, HSK_FIELD_SNAPSHOT_PROBLEM, sentence);
    } else {
        trace_field_number(&fields, HSK_FIELD_SNAPSHOT_WHOLE, 1);
    }
    buf_append(&fields, snapshot->fields.data, snapshot->fields.length);
    session_write(session, HSK_CHUNK_SNAPSHOT, &fields, snapshot->time_ns, snapshot->time_ns);
    buf_free(&fields);
}

static void tell_askers(struct session *session, struct graph_snapshot *snapshot, const char *problem)
{
    struct snapshot_asker *askers = snapshot->askers;
    snapshot->askers = NULL;
    if (!askers)
        return;
    if (problem) {
        askers_fail(askers, problem);
        return;
    }
    struct ask_answer answer = {
        .kind = ANSWER_DONE,
        .number = snapshot->number,
        .reason = snapshot->reason,
        .nodes = snapshot->nodes,
        .edges = snapshot->edges,
        .pause_ns = snapshot->pause_ns,
        .walk_ns = snapshot->walk_ns,
        .resident_bytes = snapshot->resident_bytes,
    };
    char *path = output_path(session->output), *whole = path ? realpath(path, NULL) : NULL;
    askers_tell(askers, &answer, whole ? whole : path ? path : "");
    free(whole);
    free(path);
}

/* It is over, whole (no problem) or not; takes it out of the list. */
static void conclude(struct session *session, struct graph_snapshot *snapshot, const char *problem)
{
    struct graph_snapshots *all = session->snapshots;
    for (struct graph_snapshot **at = &all->first; *at; at = &(*at)->next)
        if (*at == snapshot) {
            *at = snapshot->next;
            break;
        }
    if (session->failure != 0 && !problem)
        problem = "the trace cannot be written any more";
    if (!problem || snapshot->parts > 0)
        write_snapshot(session, snapshot, problem);
    else
        note_missing(session, snapshot, problem);
    if (!problem || snapshot->parts > 0) {
        all->any = true;
        all->last = (struct snapshot_numbers){.number = snapshot->number,
                                              .reason = snapshot->reason,
                                              .nodes = snapshot->nodes,
                                              .pause_ns = snapshot->pause_ns,
                                              .walk_ns = snapshot->walk_ns,
                                              .whole = !problem};
    }
    snapshot_watch_end(&all->watch, session_now(session), snapshot->resident_bytes);
    if (snapshot->askers && !session->closed)
        session_flush(session); /* they will read what was alive then */
    tell_askers(session, snapshot, problem);
    snapshot_free(snapshot);
}

/* The child has a deadline of its own, which is half of this; a child that stands still does not come to it. */
static uint64_t child_deadline(const struct graph_snapshot *snapshot)
{
    uint64_t resident = snapshot->resident_bytes < UINT64_C(1) << 40 ? snapshot->resident_bytes : UINT64_C(1) << 40;
    return CHILD_NS + CHILD_NS * (resident >> 30);
}

static void kill_child(const struct graph_snapshot *snapshot)
{
    int pidfd = snapshot->child ? snapshot->child->pidfd : snapshot->child_pidfd;
    if (pidfd >= 0)
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* "was killed by signal 9": how a process that is dead came to its end; false: that cannot be told, or not yet. */
static bool describe_death(pid_t pid, int pidfd, char *text, size_t size)
{
    static const char *const endings[] = {
        [HS_CHILD_NO_RECORDER] = "did not reach the recorder",
        [HS_CHILD_CRASHED] = "crashed",
        [HS_CHILD_NO_MEMORY] = "had too little memory",
    };
    int status = process_info_wait_status(pid, pidfd), signal = status & 0x7f;
    unsigned ending = status > 0 ? (unsigned)status >> 8 & 0xff : 0;
    if (status <= 0)
        snprintf(text, size, "died");
    else if (signal == SIGALRM)
        snprintf(text, size, "came to its deadline");
    else if (signal != 0)
        snprintf(text, size, "was killed by signal %d", signal);
    else if (ending < HS_COUNT_OF(endings) && endings[ending])
        snprintf(text, size, "%s", endings[ending]);
    else
        snprintf(text, size, "ended with status %u", ending);
    return status > 0;
}

/*
 * Is the child dead? Then `text` says how, and that it was `before` something. Of a process that nobody has waited for
 * yet that may have to be seen a moment later: until then it counts as alive.
 */
static bool has_died(struct graph_snapshot *snapshot, pid_t pid, int pidfd, uint64_t now, const char *before,
                     char *text, size_t size)
{
    char how[64];
    if (!is_dead(pidfd))
        return false;
    if (snapshot->dead_ns == 0)
        snapshot->dead_ns = now;
    bool known = describe_death(pid, pidfd, how, sizeof how);
    snprintf(text, size, "its process %s before it %s", how, before);
    return known || now - snapshot->dead_ns > STATUS_NS;
}

/* ---- the stream ---- */

static uint64_t number_of(const char *text, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length && i < 19 && text[i] >= '0' && text[i] <= '9'; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    return value;
}

/* Fields that the child may give; false: nonsense. */
static bool take_fields(struct graph_snapshot *snapshot, const struct buf *payload)
{
    struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
    while (payload->length > 0 && cursor.at < cursor.end) {
        uint64_t tag = cursor_varint(&cursor);
        size_t length;
        const char *text = cursor_string(&cursor, &length);
        if (cursor.failed)
            return false;
        if (snapshot->fields.length + length > MAX_FIELDS)
            continue;
        switch (tag) {
        case HSK_FIELD_SNAPSHOT_NODES:
            snapshot->nodes = number_of(text, length);
            break;
        case HSK_FIELD_SNAPSHOT_EDGES:
            snapshot->edges = number_of(text, length);
            break;
        case HSK_FIELD_SNAPSHOT_WALK:
            snapshot->walk_ns = number_of(text, length);
            break;
        case HSK_FIELD_SNAPSHOT_COPIED:
        case HSK_FIELD_SNAPSHOT_PROBLEM:
            break;
        default:
            continue; /* ours to say, or nothing that belongs here */
        }
        trace_field_bytes(&snapshot->fields, (enum hsk_field)tag, text, length);
    }
    return true;
}

/* A part, passed on as it is; false: it is not the next one of this snapshot. */
static bool take_graph(struct session *session, struct graph_snapshot *snapshot, struct buf *payload)
{
    struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
    uint64_t number = payload->length ? cursor_varint(&cursor) : 0, part = payload->length ? cursor_varint(&cursor) : 0;
    if (payload->length == 0 || cursor.failed || number != snapshot->number || part != snapshot->parts)
        return false;
    session_write(session, HSK_CHUNK_GRAPH, payload, snapshot->time_ns, snapshot->time_ns);
    snapshot->parts += session->failure == 0;
    return true;
}

/* One frame; false when there was none. */
static bool take_frame(struct session *session, struct graph_snapshot *snapshot)
{
    struct buf *payload = &session->snapshots->payload;
    bool good = true;
    switch (area_frame(&snapshot->area, payload)) {
    case HS_STREAM_GRAPH:
        good = take_graph(session, snapshot, payload);
        break;
    case HS_STREAM_FIELDS:
        good = take_fields(snapshot, payload);
        break;
    case HS_STREAM_END:
        snapshot->ended_ns = session_now(session);
        break;
    default:
        return false;
    }
    snapshot->area.ill |= !good;
    return true;
}

/* ---- step by step ---- */

/* The child that has said hello for it. */
static void match_child(struct session *session, struct graph_snapshot *snapshot)
{
    for (struct snapshot_child **at = &session->snapshots->waiting; *at; at = &(*at)->next)
        if ((*at)->number == snapshot->number) {
            snapshot->child = *at;
            *at = snapshot->child->next;
            return;
        }
}

/* No hello has come: is there no more hope? Says why. */
static const char *why_no_child(struct graph_snapshot *snapshot, bool over, uint64_t now, char text[128])
{
    uint64_t age = now - snapshot->began_ns;
    if (snapshot->forked && snapshot->child_pid <= 0) {
        snprintf(text, 128, "its process could not be made: %s", strerror(-snapshot->child_pid));
        return text;
    }
    if (age > DEAD_NS && has_died(snapshot, snapshot->child_pid, snapshot->child_pidfd, now, "could begin", text, 128))
        return text;
    if (age > HELLO_NS || (over && !snapshot->forked && age > ORPHAN_NS))
        return "its process did not report";
    return NULL;
}

/* Returns true when there is more to do at once; the snapshot may be gone then. */
static bool step(struct session *session, struct graph_snapshot *snapshot, bool over, uint64_t now)
{
    char text[128];
    bool ready = area_ready(&snapshot->area);
    if (snapshot->area.ill) {
        kill_child(snapshot);
        conclude(session, snapshot,
                 ready ? "its process wrote something that makes no sense"
                       : "the recorder could not copy the live blocks");
        return true;
    }
    if (!snapshot->child)
        match_child(session, snapshot);
    if (!snapshot->child) {
        const char *why = why_no_child(snapshot, over, now, text);
        if (why)
            conclude(session, snapshot, why);
        return why != NULL;
    }
    if (!ready)
        return false;
    if (snapshot->deadline_ns == 0) {
        snapshot->deadline_ns = now + child_deadline(snapshot);
        answer_child(snapshot->child, HS_VERDICT_TRACE, snapshot->area.fd);
    }
    if (snapshot != session->snapshots->first) {
        snapshot->deadline_ns =
            now + child_deadline(snapshot); /* its turn has not come: chunks keep the order of snapshots */
        return false;
    }
    if (snapshot->ended_ns != 0) {
        if (!snapshot->forked && !over && now - snapshot->ended_ns < FORKED_NS)
            return false;
        conclude(session, snapshot, NULL);
        return true;
    }
    if (take_frame(session, snapshot))
        return true;
    if (is_dead(snapshot->child->pidfd)) {
        if (take_frame(session, snapshot)) /* written between the two looks */
            return true;
        if (snapshot->area.ill)
            return true;
        if (!has_died(snapshot, snapshot->child->pid, snapshot->child->pidfd, now, "was done", text, sizeof text))
            return false;
        conclude(session, snapshot, text);
        return true;
    }
    if (now > snapshot->deadline_ns) {
        kill_child(snapshot);
        conclude(session, snapshot, "its process was not done in time");
        return true;
    }
    return false;
}

bool snapshots_step(struct session *session, bool over)
{
    struct graph_snapshots *all = session->snapshots;
    bool more = false;
    if (!all)
        return false;
    uint64_t now = session_now(session);
    for (struct graph_snapshot *snapshot = all->first, *next; snapshot; snapshot = next) {
        next = snapshot->next;
        more |= step(session, snapshot, over, now);
    }
    /* Everything that the program had to say has been read: there is no such snapshot. */
    while (over && all->waiting) {
        struct snapshot_child *child = all->waiting;
        all->waiting = child->next;
        snapshot_child_refuse(child);
    }
    requests_step(session, over, now);
    return more;
}

bool snapshots_pending(const struct session *session)
{
    return session->snapshots && (session->snapshots->first || session->snapshots->waiting);
}

void snapshots_abandon(struct session *session, const char *why)
{
    struct graph_snapshots *all = session->snapshots;
    while (all && all->first) {
        kill_child(all->first);
        conclude(session, all->first, why);
    }
}

void snapshots_drop(struct session *session)
{
    struct graph_snapshots *all = session->snapshots;
    if (!all)
        return;
    while (all->first) {
        struct graph_snapshot *snapshot = all->first;
        all->first = snapshot->next;
        askers_fail(snapshot->askers, "the recorder has ended");
        snapshot_free(snapshot);
    }
    while (all->waiting) {
        struct snapshot_child *child = all->waiting;
        all->waiting = child->next;
        snapshot_child_refuse(child);
    }
    requests_free(all);
    buf_free(&all->payload);
    free(all);
    session->snapshots = NULL;
}

bool snapshots_last(const struct session *session, struct snapshot_numbers *numbers)
{
    if (!session->snapshots || !session->snapshots->any)
        return false;
    *numbers = session->snapshots->last;
    return true;
}
