/* session.c - see session.h */
#include "record/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/memory.h"
#include "record/process_info.h"
#include "record/recorder.h"
#include "record/session_nodes.h"
#include "record/session_snapshots.h"

#define CODES_PER_CHUNK 4096u
#define KEPT_BYTES ((size_t)16 << 20) /* a program with more records than that keeps them from its children */

uint64_t session_now(const struct session *session)
{
    return monotonic_ns() - session->origin_ns;
}

static void snapshot_option_fields(struct buf *fields, const struct recorder_options *options)
{
    char text[64];
    if (options->policy.off)
        trace_field_string(fields, HSK_FIELD_OPTION, "no-snapshot");
    if (options->record_values)
        trace_field_string(fields, HSK_FIELD_OPTION, "record-values");
    if (options->policy.every_ns) {
        snprintf(text, sizeof text, "snapshot-every=%g", (double)options->policy.every_ns / 1e9);
        trace_field_string(fields, HSK_FIELD_OPTION, text);
    }
    if (options->policy.growth_bytes) {
        snprintf(text, sizeof text, "snapshot-on-growth=%llu", (unsigned long long)options->policy.growth_bytes);
        trace_field_string(fields, HSK_FIELD_OPTION, text);
    }
    if (options->snapshot_signal) {
        snprintf(text, sizeof text, "snapshot-signal=%d", options->snapshot_signal);
        trace_field_string(fields, HSK_FIELD_OPTION, text);
    }
}

/* What the traces of this recorder, and no others, have in common. Main thread. */
static const char *recording(void)
{
    static char text[64];
    uint64_t random[2];
    if (text[0])
        return text;
    if (getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        random[0] = clock_ns(CLOCK_REALTIME);
        random[1] = (uint64_t)getpid();
    }
    snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
    return text;
}

/* A line each; what does not fit is left out. */
static void join_lines(char *to, size_t size, const struct option_strings *lines)
{
    size_t used = 0;
    for (int i = 0; i < lines->count; i++) {
        size_t length = strlen(lines->values[i]);
        if (length + 2 > size - used)
            continue;
        memcpy(to + used, lines->values[i], length);
        used += length;
        to[used++] = '\n';
    }
    to[used] = '\0';
}

int session_new(struct session **result, struct recorder *recorder, struct process *process, struct error *error)
{
    static uint64_t last_id; /* main thread */
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return error_set(error, -ENOMEM, "out of memory");
    const struct recorder_options *options = recorder_options(recorder);
    session->memory_fd = -1;
    session->recorder = recorder;
    session->process = process;
    session->exit_status = -1;
    session->origin_ns = monotonic_ns();
    session->start_time_ns = clock_ns(CLOCK_REALTIME);
    session->id = ++last_id;
    session->message = malloc(HS_MESSAGE_MAX);
    int code = session->message ? live_table_init(&session->live) : -ENOMEM;
    if (code == 0)
        session->modules = module_set_new(process->pid);
    if (code == 0 && !session->modules)
        code = -ENOMEM;
    if (code == 0)
        code = encoder_init(&session->encoder, 0, 0);
    struct session_memory memory;
    if (code == 0)
        code = memory_new(
            &memory, session->id,
            (options->native ? HS_OPTION_NATIVE : 0) | (options->drop ? HS_OPTION_DROP_WHEN_FULL : 0) |
                (options->policy.off ? 0 : HS_OPTION_SNAPSHOTS) |
                (options->no_exit_snapshot ? HS_OPTION_NO_EXIT_SNAPSHOT : 0) |
                (options->no_objects ? 0 : HS_OPTION_OBJECTS) | (options->record_values ? HS_OPTION_RECORD_VALUES : 0) |
                (options->refs ? HS_OPTION_REFS : 0) | (options->children != CHILDREN_NONE ? HS_OPTION_FOLLOW : 0),
            session->origin_ns, error);
    if (code != 0) {
        session_free(session);
        return error_set(error, code, "out of memory");
    }
    session->memory_fd = memory.fd;
    session->shared = memory.shared;
    atomic_store(&session->shared->snapshot_signal, (uint32_t)options->snapshot_signal);
    session->reserved = memory.reserved;
    join_lines(session->shared->watch, sizeof session->shared->watch, &options->watch);
    join_lines(session->shared->ref_functions, sizeof session->shared->ref_functions, &options->ref_functions);

    struct buf *fields = &session->process_fields;
    trace_field_string(fields, HSK_FIELD_RECORDER_VERSION, HEAPSAKE_VERSION);
    trace_field_string(fields, HSK_FIELD_RECORDING, recording());
    process_info_fields(fields, process->pid, &session->parent_pid);
    trace_field_number(fields, HSK_FIELD_START_TIME, session->start_time_ns);
    if (options->native)
        trace_field_string(fields, HSK_FIELD_OPTION, "native");
    trace_field_string(fields, HSK_FIELD_OPTION, options->drop ? "on-full=drop" : "on-full=wait");
    snapshot_option_fields(fields, options);
    if (options->no_objects && !options->policy.off)
        trace_field_string(fields, HSK_FIELD_OPTION, "no-objects");
    if (options->refs)
        trace_field_string(fields, HSK_FIELD_OPTION, "refs");
    for (int i = 0; i < options->watch.count; i++)
        trace_field_string(fields, HSK_FIELD_WATCH, options->watch.values[i]);
    *result = session;
    return 0;
}

void session_is_attached(struct session *session)
{
    session->attached = true;
    trace_field_string(&session->process_fields, HSK_FIELD_OPTION, "attached");
    session_note(
        session, HSK_FIELD_BLIND_SPOT,
        "Tracing began when the program had run for %.0f s: what it had allocated by then is known only by the objects "
        "of the first snapshot, without sizes of blocks and without stacks.",
        process_info_age(session->process->pid));
}

void session_free(struct session *session)
{
    snapshots_drop(session);
    rings_close(&session->rings);
    session_free_nodes(session);
    struct session_memory memory = {session->memory_fd, session->shared, session->reserved};
    memory_free(&memory);
    encoder_destroy(&session->encoder);
    live_table_destroy(&session->live);
    mapped_ranges_free(&session->mapped);
    code_list_free(&session->codes);
    module_set_free(session->modules);
    buf_free(&session->types.bytes);
    buf_free(&session->places.bytes);
    buf_free(&session->watches_payload);
    mark_writer_free(&session->marks);
    output_unref(session->output);
    free(session->kept.nodes);
    free(session->message);
    free(session->python_version);
    buf_free(&session->process_fields);
    buf_free(&session->note_fields);
    buf_free(&session->threads_payload);
    buf_free(&session->samples_payload);
    free(session);
}

void session_stop(struct session *session, uint32_t stop)
{
    if (session->ended != SESSION_LIVES)
        return;
    session->ended = SESSION_STOPPED;
    session->end_ns = session_now(session);
    atomic_store(&session->shared->stop, stop);
    if (stop == HS_STOP_PROTOCOL)
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     "The recorder read %s in the memory that it shares with the program, and stopped there.",
                     session->wrong);
}

bool session_nonsense(struct session *session, const char *what)
{
    if (!session->wrong[0])
        snprintf(session->wrong, sizeof session->wrong, "%s", what);
    return false;
}

void session_out_of_memory(struct session *session)
{
    session_note(session, HSK_FIELD_BLIND_SPOT,
                 "The recorder ran out of memory: the trace ends before the program did.");
    session_stop(session, HS_STOP_ASKED);
}

bool session_notice_rings(struct session *session)
{
    const char *wrong;
    int code = rings_notice(&session->rings, session->shared, session->memory_fd, &wrong);
    if (HS_LIKELY(code == 0))
        return true;
    if (code == -EINVAL)
        return session_nonsense(session, wrong);
    session_out_of_memory(session);
    return false;
}

void session_note(struct session *session, enum hsk_field field, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    trace_field_string(&session->note_fields, field, text);
}

/* The disk is full, or the like. */
static void writing_failed(struct session *session, int code, const struct error *error)
{
    if (code == -EFBIG && output_failure(session->output) == 0)
        return; /* that one chunk was too large; END will tell that events are missing */
    if (session->failure == 0) {
        session->failure = code;
        char text[sizeof error->text + 64];
        snprintf(text, sizeof text, "%s; the program goes on untraced", error->text);
        recorder_say(session->recorder, text);
    }
    session_stop(session, HS_STOP_DISK);
}

void session_write(struct session *session, enum hsk_chunk_type type, struct buf *payload, uint64_t first_ns,
                   uint64_t last_ns)
{
    struct error error = {0};
    int code = session->failure;
    if (code == 0 && (payload->length > 0 || payload->failed))
        code = output_buf(session->output, type, payload, first_ns, last_ns, &error);
    if (code != 0 && session->failure == 0)
        writing_failed(session, code, &error);
    buf_clear(payload);
}

/* ---- what goes before the events ---- */

/* All of them each time: they are few, and a later record of an index replaces the former. */
static void flush_modules(struct session *session)
{
    size_t count = module_set_count(session->modules);
    if (count == session->modules_written)
        return;
    struct buf payload = BUF_INIT;
    module_set_write(session->modules, &payload);
    session_write(session, HSK_CHUNK_MODULES, &payload, session->encoder.time_ns, session->encoder.time_ns);
    buf_free(&payload);
    session->modules_written = count;
}

static void flush_codes(struct session *session)
{
    uint64_t now = session->encoder.time_ns;
    struct buf payload = BUF_INIT;
    while (session->codes_written < session->codes.count) {
        struct code_list part = session->codes;
        if (part.count - session->codes_written > CODES_PER_CHUNK)
            part.count = session->codes_written + CODES_PER_CHUNK;
        code_list_write(&part, session->codes_written, &payload);
        session->codes_written = part.count;
        session_write(session, HSK_CHUNK_CODES, &payload, now, now);
    }
    buf_free(&payload);
}

static void flush_kept(struct session *session, enum hsk_chunk_type type, struct kept_records *kept, const char *what)
{
    uint64_t now = session->encoder.time_ns;
    size_t length = kept->bytes.length;
    if (kept->bytes.failed) {
        buf_clear(&kept->bytes);
        kept->written = length = 0;
        session_note(session, HSK_FIELD_BLIND_SPOT, "The recorder ran out of memory: some %s have no names.", what);
    }
    if (length == kept->written)
        return;
    struct buf payload = BUF_INIT;
    buf_append(&payload, kept->bytes.data + kept->written, length - kept->written);
    session_write(session, type, &payload, now, now);
    buf_free(&payload);
    if (length > KEPT_BYTES) {
        buf_clear(&kept->bytes);
        length = 0;
    }
    kept->written = length;
}

void session_flush(struct session *session)
{
    struct error error = {0};
    uint64_t now = session->encoder.time_ns;
    session_write(session, HSK_CHUNK_THREADS, &session->threads_payload, now, now);
    flush_codes(session);
    flush_kept(session, HSK_CHUNK_TYPES, &session->types, "types");
    flush_kept(session, HSK_CHUNK_PLACES, &session->places, "lines");
    session_write(session, HSK_CHUNK_WATCHES, &session->watches_payload, now, now);
    session_write(session, HSK_CHUNK_MARKS, &session->marks.payload, now, now);
    flush_modules(session);
    session_flush_nodes(session);
    /* After a failure the events are forgotten, but counted: END tells what is missing. */
    int code = output_flush(session->output, &session->encoder, &error);
    if (code != 0 && session->failure == 0)
        writing_failed(session, code, &error);
    session_write(session, HSK_CHUNK_SAMPLES, &session->samples_payload, session->samples_first_ns,
                  session->samples_last_ns);
    session->last_flush_ns = session_now(session);
}

uint64_t session_sample(struct session *session)
{
    uint64_t resident = process_info_resident(session->process->pid), now = session_now(session);
    if (resident == 0 || now < session->samples_last_ns)
        return resident;
    if (session->samples_payload.length == 0)
        session->samples_first_ns = session->samples_last_ns = now;
    buf_append_varint(&session->samples_payload, now - session->samples_last_ns);
    buf_append_varint(&session->samples_payload, resident);
    session->samples_last_ns = now;
    return resident;
}

uint32_t session_thread(struct session *session, uint32_t tid, const void *name, size_t name_length)
{
    uint32_t index = session->thread_count++;
    buf_append_varint(&session->threads_payload, index);
    buf_append_varint(&session->threads_payload, tid);
    buf_append_string(&session->threads_payload, name ? name : "", name_length);
    return index;
}

/* The program may ask where its trace is: preload/trace_file.c. */
static void tell_trace_file(struct session *session)
{
    struct hs_session *shared = session->shared;
    char *path = output_path(session->output);
    char *absolute = path ? realpath(path, NULL) : NULL;
    size_t length = absolute ? strlen(absolute) : 0;
    if (length > 0 && length < sizeof shared->trace_file) {
        memcpy(shared->trace_file, absolute, length + 1);
        atomic_store_explicit(&shared->trace_file_length, (uint32_t)length, memory_order_release);
    }
    free(absolute);
    free(path);
}

void session_begin_output(struct session *session, struct output *output)
{
    session->output = output;
    tell_trace_file(session);
    trace_field_number(&session->process_fields, HSK_FIELD_IMAGE, session->image);
    if (session->forked)
        trace_field_string(&session->process_fields, HSK_FIELD_FORKED, "1");
    session_write(session, HSK_CHUNK_PROCESS, &session->process_fields, 0, 0);
}
