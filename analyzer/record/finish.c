/*
 * finish.c - the end of a trace: symbols, notes, END and index.
 *
 * Symbols may take long, so this is done by threads of their own: two for all
 * sessions, and one more for the root, whose closing screen somebody waits for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "record/closing.h"
#include "record/session_nodes.h"
#include "record/session_snapshots.h"
#include "record/recorder_private.h"
#include "symbols/symbolize.h"

#define MAX_FINISHERS 2u

/* What telling the causes of leaks takes, measured on one core; and what somebody who waits for the screen is asked
 * for. */
#define CAUSES_EVENT_NS 45u
#define CAUSES_NODE_NS 1500u
#define CAUSES_NS UINT64_C(200000000)

static int compare_frames(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The different native frames of all nodes that are in the file, sorted; the caller frees them. */
static uint64_t *native_frames(struct session *session, size_t *count)
{
    uint64_t *frames = NULL;
    size_t capacity = 0;
    *count = 0;
    for (uint32_t number = 1; number < session->nodes_written; number++) {
        const struct hs_node *node = session_node(session, number);
        if (!node || atomic_load_explicit(&node->kind, memory_order_acquire) != HS_NODE_NATIVE)
            continue;
        if (*count == capacity) {
            size_t larger = capacity ? capacity * 2 : 4096;
            uint64_t *grown = reallocarray(frames, larger, sizeof *frames);
            if (!grown)
                break; /* the others stay addresses */
            frames = grown;
            capacity = larger;
        }
        frames[(*count)++] = *(const volatile uint64_t *)&node->frame;
    }
    if (*count == 0)
        return frames;
    qsort(frames, *count, sizeof *frames, compare_frames);
    size_t kept = 1;
    for (size_t i = 1; i < *count; i++)
        if (frames[i] != frames[kept - 1])
            frames[kept++] = frames[i];
    *count = kept;
    return frames;
}

/* Names native frames; with `closing` the payload of the (first) chunk is kept there. */
static void write_symbols(struct session *session, struct buf *closing)
{
    size_t count;
    struct error error = {0};
    uint64_t *frames = native_frames(session, &count);
    struct buf modules = BUF_INIT;
    module_set_write(session->modules, &modules);
    output_buf(session->output, HSK_CHUNK_MODULES, &modules, session->end_ns, session->end_ns, &error);
    buf_free(&modules);
    for (size_t at = 0; at < count; at += SYMBOLIZE_MAX_FRAMES) {
        size_t part = count - at < SYMBOLIZE_MAX_FRAMES ? count - at : SYMBOLIZE_MAX_FRAMES;
        struct buf symbols = BUF_INIT;
        if (symbolize_frames(session->modules, frames + at, part, &symbols, NULL, NULL) == 0)
            output_buf(session->output, HSK_CHUNK_SYMBOLS, &symbols, session->end_ns, session->end_ns, &error);
        if (closing && closing->length == 0) {
            *closing = symbols;
            closing = NULL;
        } else {
            buf_free(&symbols);
        }
    }
    free(frames);
}

static uint64_t lost_events(const struct session *session)
{
    uint64_t lost = atomic_load_explicit(&session->shared->lost, memory_order_relaxed);
    for (uint32_t i = 0; i < session->rings.count; i++)
        lost += atomic_load_explicit(&session->rings.readers[i]->ring->dropped, memory_order_relaxed);
    /* A dropped free that the next allocation at its address has told is in the file after all. */
    lost -= session->made_up < lost ? session->made_up : lost;
    lost += session->rings.skipped > session->rings.overtaken ? session->rings.skipped - session->rings.overtaken : 0;
    /* Each thread can have had one event in hand when it was killed; more numbers than that are a loss. */
    if (session->rings.torn > session->rings.count)
        lost += session->rings.torn;
    return lost;
}

static void write_note(struct session *session)
{
    struct error error = {0};
    if (session->rings.overtaken > 0)
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     session->rings.overtaken == 1
                         ? "%llu event came too late to be put in its place: it stands behind others that followed it, "
                           "and what the trace tells of its address may be wrong."
                         : "%llu events came too late to be put in their place: they stand behind others that followed "
                           "them, and what the trace tells of their addresses may be wrong.",
                     (unsigned long long)session->rings.overtaken);
    if (session->python_version)
        trace_field_string(&session->note_fields, HSK_FIELD_PYTHON_VERSION, session->python_version);
    /* It may have given up on us and ended before we came back to see it. */
    uint32_t detached = atomic_load(&session->shared->detached);
    if (detached == HS_DETACHED_STALLED)
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     "The recorder stood still for %d seconds while a ring was full; the program went on untraced.",
                     HS_STALL_SECONDS);
    else if (session->ended == SESSION_DETACHED && detached != HS_DETACHED_ASKED)
        session_note(session, HSK_FIELD_BLIND_SPOT, "The program ended its tracing before its own end.");
    else if (session->ended == SESSION_PROCESS_ENDED && session->executing)
        session_note(session, HSK_FIELD_BLIND_SPOT, "The process went on in another program that could not be traced.");
    else if (session->ended == SESSION_STOPPED && session->failure != 0)
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     "The trace ends before the program did: it could not be written any further.");
    else if (session->ended == SESSION_STOPPED && atomic_load(&session->recorder->stopping))
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     "The trace ends before the program did: the recorder was told to stop.");
    output_buf(session->output, HSK_CHUNK_NOTE, &session->note_fields, session->end_ns, session->end_ns, &error);
}

static void end_fields(struct session *session, struct buf *fields)
{
    const struct session_totals *totals = &session->totals;
    const char *ended_by = "unknown";
    int status = -1;
    if (session->ended == SESSION_PROCESS_ENDED)
        status = session->process->wait_status;
    if (session->ended == SESSION_EXEC)
        ended_by = "exec";
    else if (session->ended == SESSION_STOPPED)
        ended_by = "recorder stopped";
    else if (session->ended == SESSION_DETACHED && atomic_load(&session->shared->detached) == HS_DETACHED_ASKED)
        ended_by = "detach";
    if (status >= 0 && WIFSIGNALED(status)) {
        ended_by = "signal";
        trace_field_number(fields, HSK_FIELD_EXIT_SIGNAL, (uint64_t)WTERMSIG(status));
        if (session->process->out_of_memory)
            trace_field_string(fields, HSK_FIELD_OUT_OF_MEMORY, "1");
        if (session->process->memory_limit > 0)
            trace_field_number(fields, HSK_FIELD_MEMORY_LIMIT, session->process->memory_limit);
    } else if (session->ended == SESSION_PROCESS_ENDED &&
               (session->exit_status >= 0 || (status >= 0 && WIFEXITED(status)))) {
        /* 0 from the kernel may mean that it does not tell: then what was given to exit() counts */
        int code = status > 0 || session->exit_status < 0 ? WEXITSTATUS(status) : session->exit_status;
        ended_by = "exit";
        trace_field_number(fields, HSK_FIELD_EXIT_STATUS, (uint64_t)code);
    }
    trace_field_string(fields, HSK_FIELD_ENDED_BY, ended_by);
    trace_field_number(fields, HSK_FIELD_DURATION, session->end_ns);
    trace_field_number(fields, HSK_FIELD_ALLOCATIONS, session->encoder.allocations);
    trace_field_number(fields, HSK_FIELD_FREES, session->encoder.frees);
    trace_field_number(fields, HSK_FIELD_LOST, lost_events(session));
    trace_field_number(fields, HSK_FIELD_LOST_STACKS,
                       atomic_load_explicit(&session->shared->lost_nodes, memory_order_relaxed));
    trace_field_number(fields, HSK_FIELD_PEAK_BYTES, totals->peak_bytes);
    trace_field_number(fields, HSK_FIELD_PEAK_TIME, totals->peak_time_ns);
    trace_field_number(fields, HSK_FIELD_PEAK_EVENT, totals->peak_event);
    trace_field_number(fields, HSK_FIELD_LIVE_BYTES, totals->live_bytes);
    trace_field_number(fields, HSK_FIELD_LIVE_BLOCKS, totals->live_blocks);
    trace_field_number(fields, HSK_FIELD_ALLOCATED_BYTES, totals->allocated_bytes);
    if (session->kept.nodes) {
        trace_field_number(fields, HSK_FIELD_DONE_LIVE_BYTES, session->kept.bytes);
        trace_field_number(fields, HSK_FIELD_DONE_LIVE_BLOCKS, session->kept.blocks);
    }
    if (session->encoder.objects + session->unknown_objects > 0) {
        trace_field_number(fields, HSK_FIELD_OBJECTS, session->encoder.objects);
        trace_field_number(fields, HSK_FIELD_UNKNOWN_OBJECTS, session->unknown_objects);
    }
}

/* Where to ask for the causes of leaks; NULL: there are none to tell, or it would take longer than anybody waits. */
static char *causes_at_hand(const struct session *session)
{
    struct snapshot_numbers last;
    uint64_t events = session->encoder.allocations + session->encoder.frees + session->encoder.objects;
    bool some = snapshots_last(session, &last) && last.whole && session->failure == 0;
    bool soon = some && last.nodes < UINT32_MAX && events * CAUSES_EVENT_NS + last.nodes * CAUSES_NODE_NS <= CAUSES_NS;
    return soon ? output_path(session->output) : NULL;
}

static void make_closing(struct session *session, const struct buf *symbols)
{
    struct recorder *recorder = session->recorder;
    struct closing_numbers numbers = {
        .trace_bytes = output_bytes(session->output),
        .lost = lost_events(session),
        .lost_stacks = atomic_load_explicit(&session->shared->lost_nodes, memory_order_relaxed),
        .children = atomic_load(&recorder->traces) - 1,
        .incomplete = session->failure != 0 && session->ended != SESSION_STOPPED, /* of that a note tells */
    };
    struct buf screen = BUF_INIT;
    closing_write(&screen, session, &numbers, symbols);
    pthread_mutex_lock(&recorder->lock);
    struct buf old = recorder->closing;
    char *old_causes = recorder->closing_causes;
    recorder->closing = screen;
    recorder->closing_causes = causes_at_hand(session);
    pthread_mutex_unlock(&recorder->lock);
    buf_free(&old);
    free(old_causes);
}

static void finish(struct session *session)
{
    bool root = session->process->root && session->ended != SESSION_EXEC;
    if (!session->output)
        return;
    struct error error = {0};
    struct buf symbols = BUF_INIT, fields = BUF_INIT;
    write_symbols(session, root ? &symbols : NULL);
    write_note(session);
    end_fields(session, &fields);
    output_buf(session->output, HSK_CHUNK_END, &fields, session->end_ns, session->end_ns, &error);
    output_finish(session->output, &error);
    if (error.text[0] && session->failure == 0) {
        char text[sizeof error.text + 64];
        session->failure = -EIO;
        snprintf(text, sizeof text, "%s; the trace is not complete", error.text);
        recorder_say(session->recorder, text);
    }
    if (root)
        make_closing(session, &symbols);
    buf_free(&symbols);
    buf_free(&fields);
}

static void pass_to_main(struct recorder *recorder, struct session *session)
{
    pthread_mutex_lock(&recorder->lock);
    session->next = recorder->finished;
    recorder->finished = session;
    pthread_mutex_unlock(&recorder->lock);
    recorder_wake_main(recorder);
}

static void *finisher_main(void *context)
{
    struct recorder *recorder = context;
    pthread_mutex_lock(&recorder->lock);
    while (recorder->to_finish) {
        struct session *session = recorder->to_finish;
        recorder->to_finish = session->next;
        pthread_mutex_unlock(&recorder->lock);
        finish(session);
        pass_to_main(recorder, session);
        pthread_mutex_lock(&recorder->lock);
    }
    recorder->finishers--;
    pthread_mutex_unlock(&recorder->lock);
    return NULL;
}

/* Programs wait for the drain of their rings, and nobody for these sessions. In Linux a thread has a nice value. */
static void *patient_finisher_main(void *context)
{
    setpriority(PRIO_PROCESS, 0, 15);
    return finisher_main(context);
}

void finish_session(struct recorder *recorder, struct session *session)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&recorder->lock);
    struct session **at = &recorder->to_finish;
    bool root = session->process->root;
    while (*at && !root)
        at = &(*at)->next;
    session->next = *at;
    *at = session;
    bool begin = recorder->finishers < MAX_FINISHERS + root;
    recorder->finishers += begin;
    pthread_mutex_unlock(&recorder->lock);
    if (begin && pthread_create(&thread, &attributes, root ? finisher_main : patient_finisher_main, recorder) != 0)
        finisher_main(recorder); /* here, then */
    pthread_attr_destroy(&attributes);
}
