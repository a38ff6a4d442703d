/* messages.c - see messages.h */
#include "record/fork_snapshot.h"
#include "record/messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/closing.h"
#include "record/recorder.h"
#include "record/session_nodes.h"
#include "record/session_snapshots.h"
#include "record/wish_answers.h"

#define MARKS_PAYLOAD_BYTES ((size_t)4 << 20) /* a MARKS chunk is written when it has so many */

/* Copies the struct at the front; false when the message is shorter. */
static bool take_struct(void *to, size_t size, const uint8_t *bytes, size_t length)
{
    if (length < size)
        return false;
    memcpy(to, bytes, size);
    return true;
}

static bool take_module(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_module module;
    if (!take_struct(&module, sizeof module, bytes, length) ||
        (uint64_t)module.build_id_length + module.path_length > length - sizeof module)
        return session_nonsense(session, "a module that makes no sense");
    const uint8_t *build_id = bytes + sizeof module;
    const char *path = (const char *)build_id + module.build_id_length;
    /* -EINVAL: frames in it stay without a name, and nothing else is wrong. */
    module_set_add(session->modules, &module, path, module.path_length, build_id, module.build_id_length);
    return true;
}

static bool take_thread(struct session *session, struct ring_reader *reader, const uint8_t *bytes, size_t length)
{
    struct hs_message_thread thread;
    if (!take_struct(&thread, sizeof thread, bytes, length) || thread.name_length > length - sizeof thread)
        return session_nonsense(session, "a thread that makes no sense");
    reader->tid = thread.tid;
    reader->thread = session_thread(session, thread.tid, bytes + sizeof thread, thread.name_length);
    encoder_thread(&session->encoder, reader->thread);
    return true;
}

static bool take_fork(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_fork fork;
    if (!take_struct(&fork, sizeof fork, bytes, length))
        return session_nonsense(session, "a fork that makes no sense");
    encoder_mark(&session->encoder, HSK_MARK_FORK, 0);
    struct fork_snapshot *snapshot = fork_snapshot_new(session, fork.fork_id);
    if (snapshot)
        recorder_forked(session->recorder, snapshot);
    return true;
}

static bool take_forked(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_fork fork;
    if (!take_struct(&fork, sizeof fork, bytes, length))
        return session_nonsense(session, "a fork that makes no sense");
    recorder_fork_pid(session->recorder, session->id, fork.fork_id, fork.pid);
    return true;
}

static bool take_snapshot(struct session *session, struct ring_reader *reader, const uint8_t *bytes, size_t length)
{
    struct hs_message_snapshot snapshot;
    if (!take_struct(&snapshot, sizeof snapshot, bytes, length))
        return session_nonsense(session, "a snapshot that makes no sense");
    snapshots_begin(session, reader->ring, &snapshot);
    return true;
}

static bool take_snapshot_forked(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_snapshot_forked forked;
    if (!take_struct(&forked, sizeof forked, bytes, length))
        return session_nonsense(session, "a snapshot that makes no sense");
    snapshots_forked(session, &forked);
    return true;
}

static bool take_snapshot_refused(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_snapshot_refused refused;
    if (!take_struct(&refused, sizeof refused, bytes, length) || refused.length > length - sizeof refused)
        return session_nonsense(session, "a refusal that makes no sense");
    snapshots_refused(session, &refused, (const char *)bytes + sizeof refused);
    return true;
}

static bool take_exit(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_exit message;
    if (!take_struct(&message, sizeof message, bytes, length))
        return session_nonsense(session, "an exit that makes no sense");
    session->exit_status = message.status & 0xff;
    return true;
}

static bool take_python(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_python python;
    if (!take_struct(&python, sizeof python, bytes, length))
        return session_nonsense(session, "an interpreter that makes no sense");
    static const char *const levels[16] = {[0xa] = "a", [0xb] = "b", [0xc] = "rc"};
    uint32_t version = python.version;
    const char *level = levels[version >> 4 & 15];
    char text[64];
    int used = snprintf(text, sizeof text, "%u.%u.%u", version >> 24, version >> 16 & 0xff, version >> 8 & 0xff);
    if (level)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%u", level, version & 15);
    if (python.free_threaded)
        snprintf(text + used, sizeof text - (size_t)used, "t");
    free(session->python_version);
    session->python_version = strdup(text);
    session->python = true;
    return true;
}

static bool take_blind_spot(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_text text;
    if (!take_struct(&text, sizeof text, bytes, length) || text.length > length - sizeof text)
        return session_nonsense(session, "a sentence that makes no sense");
    session_note(session, HSK_FIELD_BLIND_SPOT, "%.*s", (int)text.length, (const char *)bytes + sizeof text);
    return true;
}

static bool take_type(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_type type;
    if (!take_struct(&type, sizeof type, bytes, length) ||
        (uint64_t)type.module_length + type.name_length > length - sizeof type)
        return session_nonsense(session, "a type that makes no sense");
    const uint8_t *module = bytes + sizeof type;
    struct buf *types = &session->types.bytes;
    buf_append_varint(types, type.type);
    buf_append_varint(types, type.flags);
    buf_append_string(types, module, type.module_length);
    buf_append_string(types, module + type.module_length, type.name_length);
    return true;
}

static bool take_place(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_place place;
    if (!take_struct(&place, sizeof place, bytes, length) ||
        (uint64_t)place.file_length + place.function_length + place.module_length > length - sizeof place)
        return session_nonsense(session, "a line of source that makes no sense");
    const uint8_t *file = bytes + sizeof place, *function = file + place.file_length;
    struct buf *places = &session->places.bytes;
    buf_append_varint(places, place.place);
    buf_append_varint(places, place.line);
    buf_append_string(places, file, place.file_length);
    buf_append_string(places, function, place.function_length);
    buf_append_string(places, function + place.function_length, place.module_length);
    return true;
}

static bool take_watch(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_watch watch;
    if (!take_struct(&watch, sizeof watch, bytes, length) || watch.watch == 0)
        return session_nonsense(session, "a watch that makes no sense");
    uint64_t ordinal, block = watch.block & HS_ADDRESS_MASK;
    bool known = block && live_table_find(&session->live, block, &ordinal);
    uint32_t node_count = atomic_load_explicit(&session->shared->node_count, memory_order_acquire);
    if (watch.node >= node_count)
        watch.node = 0;
    else if (watch.node >= session->nodes_written)
        session_write_nodes(session, watch.node + 1);
    struct buf *payload = &session->watches_payload;
    buf_append_varint(payload, 0);
    buf_append_varint(payload, watch.watch);
    buf_append_varint(payload, watch.request == HS_WATCH_BY_PROGRAM ? 0 : (uint64_t)watch.request + 1);
    buf_append_varint(payload, watch.address);
    buf_append_varint(payload, watch.bytes);
    buf_append_varint(payload, watch.count);
    buf_append_varint(payload, known ? ordinal + 1 : 0);
    buf_append_varint(payload, watch.type);
    buf_append_varint(payload, watch.node);
    buf_append_varint(payload, watch.flags);
    buf_append_varint(payload, session->encoder.time_ns);
    return true;
}

static bool take_watch_end(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_watch_end end;
    if (!take_struct(&end, sizeof end, bytes, length))
        return session_nonsense(session, "the end of a watch that makes no sense");
    struct buf *payload = &session->watches_payload;
    buf_append_varint(payload, 1);
    buf_append_varint(payload, end.watch);
    buf_append_varint(payload, end.reason);
    buf_append_varint(payload, end.count);
    buf_append_varint(payload, session->encoder.time_ns);
    return true;
}

static bool take_mark(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_mark mark;
    struct mark_writer *marks = &session->marks;
    if (!take_struct(&mark, sizeof mark, bytes, length) || mark.name_length > length - sizeof mark)
        return session_nonsense(session, "a mark that makes no sense");
    bool was_full = marks->full;
    if (!mark_writer_take(marks, &session->encoder, &mark, bytes + sizeof mark))
        return session_nonsense(session, "a mark of unknown kind");
    if (marks->full && !was_full)
        session_note(session, HSK_FIELD_BLIND_SPOT,
                     "More than %u regions were open at once: of those that began then, no end is recorded.",
                     OPEN_REGIONS_MOST);
    if (marks->payload.length >= MARKS_PAYLOAD_BYTES)
        session_write(session, HSK_CHUNK_MARKS, &marks->payload, session->encoder.time_ns, session->encoder.time_ns);
    return true;
}

static bool take_wish(struct session *session, struct ring_reader *reader, const uint8_t *bytes, size_t length)
{
    struct hs_message_wish wish;
    if (!take_struct(&wish, sizeof wish, bytes, length))
        return session_nonsense(session, "a wish that makes no sense");
    switch (wish.kind) {
    case HS_WISH_FLUSH:
        session_flush(session);
        wish_answer(reader->ring, wish.wish, session->failure);
        return true;
    case HS_WISH_SNAPSHOT:
        snapshots_wish(session, reader->ring, wish.wish);
        return true;
    default:
        return session_nonsense(session, "a wish of unknown kind");
    }
}

static bool take_coverage(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_coverage coverage;
    if (!take_struct(&coverage, sizeof coverage, bytes, length) || coverage.path_length > length - sizeof coverage)
        return session_nonsense(session, "a coverage that makes no sense");
    session_note(session, HSK_FIELD_COVERAGE, "%u %.*s", coverage.flags, (int)coverage.path_length,
                 (const char *)bytes + sizeof coverage);
    return true;
}

static bool take_lost(struct session *session, const uint8_t *bytes, size_t length)
{
    struct hs_message_lost lost;
    if (!take_struct(&lost, sizeof lost, bytes, length))
        return session_nonsense(session, "a loss that makes no sense");
    return true; /* the ring's own counter tells the sum */
}

bool message_take(struct session *session, struct ring_reader *reader, unsigned kind, const uint8_t *bytes,
                  size_t length)
{
    switch (kind) {
    case HS_MESSAGE_CODE: {
        int code = code_list_add(&session->codes, bytes, length);
        return code != -EINVAL || session_nonsense(session, "a code object that makes no sense");
    }
    case HS_MESSAGE_MODULE:
        return take_module(session, bytes, length);
    case HS_MESSAGE_THREAD:
        return take_thread(session, reader, bytes, length);
    case HS_MESSAGE_FORK:
        return take_fork(session, bytes, length);
    case HS_MESSAGE_FORKED:
        return take_forked(session, bytes, length);
    case HS_MESSAGE_SNAPSHOT:
        return take_snapshot(session, reader, bytes, length);
    case HS_MESSAGE_SNAPSHOT_FORKED:
        return take_snapshot_forked(session, bytes, length);
    case HS_MESSAGE_SNAPSHOT_REFUSED:
        return take_snapshot_refused(session, bytes, length);
    case HS_MESSAGE_EXEC:
        session->executing = true;
        return true;
    case HS_MESSAGE_EXEC_FAILED:
        session->executing = false;
        return true;
    case HS_MESSAGE_EXIT:
        return take_exit(session, bytes, length);
    case HS_MESSAGE_PYTHON:
        return take_python(session, bytes, length);
    case HS_MESSAGE_FINALIZE:
        encoder_mark(&session->encoder, HSK_MARK_FINALIZE, 0);
        live_picture_take(&session->kept, session);
        return true;
    case HS_MESSAGE_BLIND_SPOT:
        return take_blind_spot(session, bytes, length);
    case HS_MESSAGE_TYPE:
        return take_type(session, bytes, length);
    case HS_MESSAGE_PLACE:
        return take_place(session, bytes, length);
    case HS_MESSAGE_WATCH:
        return take_watch(session, bytes, length);
    case HS_MESSAGE_WATCH_END:
        return take_watch_end(session, bytes, length);
    case HS_MESSAGE_COVERAGE:
        return take_coverage(session, bytes, length);
    case HS_MESSAGE_MARK:
        return take_mark(session, bytes, length);
    case HS_MESSAGE_WISH:
        return take_wish(session, reader, bytes, length);
    case HS_MESSAGE_RING_FULL:
        return take_lost(session, bytes, length);
    default:
        return session_nonsense(session, "a message of unknown kind");
    }
}
