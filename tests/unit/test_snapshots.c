/*
 * test_snapshots.c - a fake program and a fake child: what becomes of their snapshot, also when they lie, die or never
 * come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_program.h"
#include "record/area.h"
#include "record/asking.h"
#include "record/recorder_private.h"
#include "trace/trace_info.h"
#include "trace/trace_reader.h"

static pid_t child; /* 0: none, or reaped */

static int begin(void **state)
{
    if (fake_begin(state) != 0)
        return -1;
    struct fake *fake = *state;
    fake->session->same_pids = true;
    area_copied_at_once = 20000;
    return 0;
}

static int end(void **state)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        child = 0;
    }
    return fake_end(state);
}

static void put_block(struct fake *fake, uint64_t address, uint64_t size, uint64_t ordinal, unsigned domain)
{
    struct live_block block = {.address = address, .size = size, .ordinal = ordinal, .domain = domain};
    assert_int_equal(live_table_put(&fake->session->live, &block), LIVE_PUT);
}

static void ask_for(struct fake *fake, uint32_t number)
{
    snapshots_begin(fake->session, NULL, &(struct hs_message_snapshot){.number = number, .reason = HS_SNAPSHOT_EXIT});
}

static void forked(struct fake *fake, uint32_t number, int pid)
{
    snapshots_forked(fake->session, &(struct hs_message_snapshot_forked){
                                        .number = number, .pid = pid, .pause_ns = 7000000, .resident_bytes = 5 << 20});
}

/* ---- the child ---- */

static struct hs_area *area_of_child;

static void write_stream(const void *bytes, size_t length)
{
    struct hs_area *area = area_of_child;
    uint64_t head = atomic_load(&area->head);
    const char *from = bytes;
    while (length > 0) {
        while (head - atomic_load(&area->tail) == HS_STREAM_BYTES)
            if (atomic_load(&area->stop))
                _exit(3);
        ((char *)area)[HS_AREA_STREAM + (head & (HS_STREAM_BYTES - 1))] = *from++;
        atomic_store(&area->head, ++head);
        length--;
    }
}

static void write_frame(uint32_t kind, const void *bytes, uint32_t length)
{
    struct hs_stream_frame frame = {kind, length};
    static const char zeros[8];
    write_stream(&frame, sizeof frame);
    write_stream(bytes, length);
    write_stream(zeros, -length & 7);
}

/* Part `part` of snapshot `number`, `size` bytes in all. */
static void write_part(unsigned number, unsigned part, size_t size)
{
    char bytes[HS_STREAM_FRAME_MAX];
    memset(bytes, 'x', size);
    bytes[0] = (char)number;
    bytes[1] = (char)part;
    write_frame(HS_STREAM_GRAPH, bytes, (uint32_t)size);
}

static void write_fields(uint64_t nodes)
{
    struct buf fields = BUF_INIT;
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NODES, nodes);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_WALK, 30000000);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_WHOLE, 1); /* not its to say */
    write_frame(HS_STREAM_FIELDS, fields.data, (uint32_t)fields.length);
}

/* Receives the welcome on `fd` and maps the area; exits when it is refused. */
static void be_welcomed(int fd)
{
    struct hs_welcome welcome;
    struct iovec part = {&welcome, sizeof welcome};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int area_fd;
    if (recvmsg(fd, &message, 0) != sizeof welcome || welcome.verdict != HS_VERDICT_TRACE)
        _exit(2);
    memcpy(&area_fd, CMSG_DATA(&control.header), sizeof area_fd);
    struct hs_area *area = mmap(NULL, HS_PAGE_SIZE, PROT_READ, MAP_SHARED, area_fd, 0);
    area_of_child = mmap(NULL, area->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, area_fd, 0);
}

/* A child that runs `work` once it is welcome, and then waits to be killed, unless it ends itself. */
static void send_child(struct fake *fake, uint64_t number, void (*work)(void))
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    child = fork();
    if (child == 0) {
        close(fds[0]);
        be_welcomed(fds[1]);
        work();
        for (;;)
            pause();
    }
    close(fds[1]);
    struct hs_hello hello = {.parent_session = fake->session->id, .fork_id = number};
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    snapshots_meet(fake->session, snapshot_child_new(fds[0], child, pidfd, &hello));
}

/* Goes on until nothing is under way. */
static void settle(struct fake *fake, bool over)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (snapshots_pending(fake->session)) {
        snapshots_step(fake->session, over);
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec - begin.tv_sec < 20);
    }
}

/* ---- what is in the trace ---- */

struct found {
    unsigned graphs, snapshots;
    size_t graph_bytes;
    bool whole;
    char problem[256], reason[256];
    uint64_t nodes, pause, event, parts;
};

static void read_snapshot(struct found *found, const uint8_t *raw, size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    while (cursor.at < cursor.end) {
        uint64_t tag = cursor_varint(&cursor);
        size_t size;
        const char *text = cursor_string(&cursor, &size);
        char value[256];
        assert_false(cursor.failed);
        snprintf(value, sizeof value, "%.*s", (int)size, text);
        switch (tag) {
        case HSK_FIELD_SNAPSHOT_WHOLE:
            assert_false(found->whole);
            found->whole = true;
            break;
        case HSK_FIELD_SNAPSHOT_PROBLEM:
            strcpy(found->problem, value);
            break;
        case HSK_FIELD_SNAPSHOT_REASON:
            snprintf(found->reason, sizeof found->reason, "%s", value);
            break;
        case HSK_FIELD_SNAPSHOT_NODES:
            found->nodes = strtoull(value, NULL, 10);
            break;
        case HSK_FIELD_SNAPSHOT_PAUSE:
            found->pause = strtoull(value, NULL, 10);
            break;
        case HSK_FIELD_SNAPSHOT_EVENT:
            found->event = strtoull(value, NULL, 10);
            break;
        case HSK_FIELD_SNAPSHOT_PARTS:
            found->parts = strtoull(value, NULL, 10);
            break;
        }
    }
}

static struct found look(struct fake *fake)
{
    struct found found = {0};
    struct error error = {0};
    struct trace_reader *reader;
    session_flush(fake->session);
    assert_int_equal(trace_reader_open(fake_trace(), &reader, &error), 0);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        unsigned type = reader->chunks[i].header.type;
        assert_int_equal(trace_reader_load(reader, i, &raw, &length), 0);
        if (type == HSK_CHUNK_GRAPH) {
            assert_int_equal(raw[0], 1);
            assert_int_equal(raw[1], found.graphs);
            found.graphs++;
            found.graph_bytes += length;
        } else if (type == HSK_CHUNK_SNAPSHOT) {
            found.snapshots++;
            read_snapshot(&found, raw, length);
        }
    }
    trace_reader_close(reader);
    return found;
}

static bool noted(const struct fake *fake, const char *text)
{
    const struct buf *notes = &fake->session->note_fields;
    return notes->length > 0 && memmem(notes->data, notes->length, text, strlen(text));
}

/* ---- tests ---- */

/* The same blocks, whoever copies them; arenas are left out, large sizes and mappings are not. */
static void test_area(void **state)
{
    struct fake *fake = *state;
    uint64_t sum = 0;
    for (uint64_t i = 1; i <= 1000; i++) {
        put_block(fake, 0x7f0000000000 + i * 4096, i * 1000, i, HS_DOMAIN_MALLOC);
        sum += i * 1000 * 3 + i * 7 + (0x7f0000000000 + i * 4096);
    }
    put_block(fake, 0x7f0000000009, 5, 2000, HS_DOMAIN_MALLOC);
    sum += 5 * 3 + 2000 * 7 + 0x7f0000000009;
    put_block(fake, 0x600000000000, UINT64_C(1) << 33, HSK_MAX_ORDINAL, HS_DOMAIN_PY_RAW);
    sum += (UINT64_C(1) << 33) * 3 + HSK_MAX_ORDINAL * 7 + 0x600000000000;
    put_block(fake, 0x500000000000, 1 << 20, 2001, HS_DOMAIN_ARENA);
    struct mapped_range range = {.start = 0x400000000000, .end = 0x400000002000, .ordinal = 2002};
    assert_true(mapped_ranges_put(&fake->session->mapped, &range));
    sum += 0x2000 * 3 + 2002 * 7 + 0x400000000000;
    for (int clone = 0; clone < 2; clone++) {
        struct area area;
        area_copied_at_once = clone ? 0 : 1 << 20;
        assert_int_equal(area_open(&area, fake->session, 5, HS_OPTION_NATIVE), 0);
        assert_int_equal(area.copier != 0, clone);
        /* What happens from now on is not in it. */
        struct live_block gone = {0};
        assert_true(live_table_take(&fake->session->live, 0x7f0000001000, false, &gone));
        while (!area_ready(&area))
            assert_false(area.ill);
        assert_int_equal(area.shared->live_count, 1003);
        assert_int_equal(area.shared->number, 5);
        const struct hs_live_block *blocks = (void *)((char *)area.shared + area.shared->live_offset);
        uint64_t found = 0;
        for (uint64_t i = 0; i < area.shared->live_count; i++)
            found += hs_live_block_size(blocks[i]) * 3 + hs_live_block_ordinal(blocks[i]) * 7 +
                     hs_live_block_address(blocks[i]);
        assert_int_equal(found, sum);
        area_close(&area);
        put_block(fake, gone.address, gone.size, gone.ordinal, gone.domain);
    }
}

static void work_whole(void)
{
    for (unsigned part = 0; part < 40; part++) /* more than the stream holds, and around its end */
        write_part(1, part, HS_STREAM_FRAME_MAX - part * 5);
    write_fields(1234);
    write_frame(HS_STREAM_END, NULL, 0);
    _exit(0);
}

static void test_whole(void **state)
{
    struct fake *fake = *state;
    encoder_alloc(&fake->session->encoder, 0x1000, 16, 0, HS_DOMAIN_MALLOC, false);
    ask_for(fake, 1);
    encoder_alloc(&fake->session->encoder, 0x2000, 16, 0, HS_DOMAIN_MALLOC, false);
    send_child(fake, 1, work_whole);
    forked(fake, 1, child);
    settle(fake, false);
    struct found found = look(fake);
    assert_int_equal(found.graphs, 40);
    assert_int_equal(found.graph_bytes, 40 * HS_STREAM_FRAME_MAX - 5 * 39 * 40 / 2);
    assert_int_equal(found.snapshots, 1);
    assert_true(found.whole);
    assert_int_equal(found.parts, 40);
    assert_int_equal(found.nodes, 1234);
    assert_int_equal(found.pause, 7000000);
    assert_int_equal(found.event, 1);
    assert_string_equal(found.reason, "exit");
    assert_false(noted(fake, "missing"));
    struct snapshot_numbers last;
    assert_true(snapshots_last(fake->session, &last));
    assert_int_equal(last.nodes, 1234);
    assert_true(last.whole);
}

/* The program was killed right behind the clone: it never said what became of it. */
static void test_program_dies(void **state)
{
    struct fake *fake = *state;
    send_child(fake, 1, work_whole); /* its hello comes first */
    ask_for(fake, 1);
    settle(fake, true);
    assert_true(look(fake).whole);
}

static void work_killed(void)
{
    write_part(1, 0, 1000);
    write_part(1, 1, 1000);
    raise(SIGKILL);
}

static void test_child_killed(void **state)
{
    struct fake *fake = *state;
    ask_for(fake, 1);
    send_child(fake, 1, work_killed);
    forked(fake, 1, child);
    settle(fake, false);
    struct found found = look(fake);
    assert_int_equal(found.graphs, 2);
    assert_int_equal(found.snapshots, 1);
    assert_false(found.whole);
    assert_int_equal(found.parts, 2);
    assert_non_null(strstr(found.problem, "not whole: its process was killed by signal 9 before it was done"));
}

static void work_no_memory(void)
{
    write_part(1, 0, 1000);
    _exit(HS_CHILD_NO_MEMORY);
}

/* Nobody has waited for it when its status is asked for. */
static void test_child_gives_up(void **state)
{
    struct fake *fake = *state;
    ask_for(fake, 1);
    send_child(fake, 1, work_no_memory);
    forked(fake, 1, child);
    settle(fake, false);
    assert_non_null(strstr(look(fake).problem, "its process had too little memory before it was done"));
}

static void work_nothing(void)
{
    raise(SIGKILL);
}

static void test_child_killed_early(void **state)
{
    struct fake *fake = *state;
    ask_for(fake, 1);
    send_child(fake, 1, work_nothing);
    settle(fake, false);
    assert_int_equal(look(fake).snapshots, 0);
    assert_true(noted(fake, "Snapshot 1 (exit) is missing: its process was killed by signal 9 before it was done."));
}

static void test_no_child(void **state)
{
    struct fake *fake = *state;
    ask_for(fake, 1);
    forked(fake, 1, -ENOMEM);
    settle(fake, false);
    assert_true(noted(fake, "Snapshot 1 (exit) is missing: its process could not be made: Cannot allocate memory."));
    /* dead before its hello */
    child = fork();
    if (child == 0)
        _exit(0);
    ask_for(fake, 2);
    forked(fake, 2, child);
    settle(fake, false);
    assert_true(noted(fake, "Snapshot 2 (exit) is missing: its process died before it could begin."));
    /* never made: the program died before */
    ask_for(fake, 3);
    settle(fake, true);
    assert_true(noted(fake, "Snapshot 3 (exit) is missing: its process did not report."));
    assert_int_equal(look(fake).snapshots, 0);
}

/* A number that nobody has announced is refused when nothing more can be announced, and never gets an area. */
static void test_stranger(void **state)
{
    struct fake *fake = *state;
    int status;
    ask_for(fake, 1);
    forked(fake, 1, -EAGAIN);
    send_child(fake, 7, work_whole);
    settle(fake, true);
    assert_int_equal(waitpid(child, &status, 0), child);
    child = 0;
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_int_equal(look(fake).snapshots, 0);
}

static void work_kind(void)
{
    write_frame(99, "x", 1);
}
static void work_length(void)
{
    struct hs_stream_frame frame = {HS_STREAM_GRAPH, HS_STREAM_FRAME_MAX + 1};
    write_stream(&frame, sizeof frame);
}
static void work_head(void)
{
    atomic_store(&area_of_child->head, HS_STREAM_BYTES + 1);
}
static void work_head_back(void)
{
    atomic_store(&area_of_child->head, UINT64_MAX);
}
static void work_other_number(void)
{
    write_part(2, 0, 100);
}
static void work_other_part(void)
{
    write_part(1, 1, 100);
}
static void work_empty_part(void)
{
    write_frame(HS_STREAM_GRAPH, NULL, 0);
}
static void work_bad_fields(void)
{
    write_frame(HS_STREAM_FIELDS, "\x70\x7f", 2);
}
static void work_other_length(void)
{
    area_of_child->bytes = area_of_child->live_offset = area_of_child->live_count = 1, work_kind();
}

/* It is killed, and the program hears nothing of it. */
static void test_nonsense(void **state)
{
    struct fake *fake = *state;
    static void (*const works[])(void) = {work_kind,       work_length,       work_head,
                                          work_head_back,  work_other_number, work_other_part,
                                          work_empty_part, work_bad_fields,   work_other_length};
    (void)state;
    for (size_t i = 0; i < HS_COUNT_OF(works); i++) {
        int status;
        fake->session->snapshots ? snapshots_drop(fake->session) : (void)0;
        buf_clear(&fake->session->note_fields);
        ask_for(fake, 1);
        send_child(fake, 1, works[i]);
        settle(fake, false);
        assert_true(noted(fake, "is missing: its process wrote something that makes no sense"));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        child = 0;
    }
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    assert_int_equal(look(fake).snapshots, 0);
}

static void work_endless(void)
{
    write_part(1, 0, 100);
}

static void test_abandoned(void **state)
{
    struct fake *fake = *state;
    int status;
    ask_for(fake, 1);
    send_child(fake, 1, work_endless);
    for (int i = 0; i < 10000000 && look(fake).graphs == 0; i++)
        snapshots_step(fake->session, false);
    snapshots_abandon(fake->session, "the recorder stopped");
    assert_false(snapshots_pending(fake->session));
    struct found found = look(fake);
    assert_string_equal(found.problem, "The snapshot is not whole: the recorder stopped.");
    assert_int_equal(waitpid(child, &status, 0), child);
    child = 0;
    assert_true(WIFSIGNALED(status));
}

static void test_too_many(void **state)
{
    struct fake *fake = *state;
    for (uint32_t number = 1; number <= 5; number++)
        ask_for(fake, number);
    assert_true(noted(fake, "Snapshot 5 (exit) is missing: too many were under way."));
    ask_for(fake, 2); /* again */
    snapshots_abandon(fake->session, "the recorder stopped");
    assert_false(snapshots_pending(fake->session));
}

static void test_refused(void **state)
{
    struct fake *fake = *state;
    static const char why[] = "there is no memory for it.";
    struct hs_message_snapshot_refused message = {.reason = HS_SNAPSHOT_DOUBLED, .length = sizeof why - 1};
    for (int i = 0; i < 3; i++)
        snapshots_refused(fake->session, &message, why);
    const struct buf *notes = &fake->session->note_fields;
    static const char note[] = "A snapshot (doubled) is missing: there is no memory for it.";
    const uint8_t *first = memmem(notes->data, notes->length, note, sizeof note - 1);
    assert_non_null(first);
    assert_null(memmem(first + 1, (size_t)(notes->data + notes->length - first - 1), note, sizeof note - 1));
}

/* ---- who asks ---- */

static struct ask_answer answer_of(int fd, char text[ASK_TEXT_MAX + 1])
{
    struct ask_answer answer = {0};
    struct iovec parts[] = {{&answer, sizeof answer}, {text, ASK_TEXT_MAX}};
    ssize_t got = readv(fd, parts, 2);
    assert_true(got >= (ssize_t)sizeof answer);
    text[(size_t)got - sizeof answer] = '\0';
    assert_int_equal(answer.magic, ASK_MAGIC);
    return answer;
}

static int ask(struct fake *fake)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    snapshots_ask(fake->session, snapshot_asker_new(fds[0], getpid()));
    return fds[1];
}

static void test_asked(void **state)
{
    struct fake *fake = *state;
    char text[ASK_TEXT_MAX + 1];
    int first = ask(fake);
    snapshots_step(fake->session, false);
    assert_int_equal(fake->session->shared->snapshot_request, 1);
    assert_int_equal(fake->session->shared->snapshot_reason, HS_SNAPSHOT_ASKED);
    int second = ask(fake); /* waits for the one after that */
    snapshots_step(fake->session, false);
    assert_int_equal(fake->session->shared->snapshot_request, 1);
    snapshots_begin(fake->session, NULL,
                    &(struct hs_message_snapshot){.number = 1, .reason = HS_SNAPSHOT_ASKED, .request = 1});
    send_child(fake, 1, work_whole);
    forked(fake, 1, child);
    settle(fake, false);
    struct ask_answer answer = answer_of(first, text);
    assert_int_equal(answer.kind, ANSWER_DONE);
    assert_int_equal(answer.number, 1);
    assert_int_equal(answer.nodes, 1234);
    assert_int_equal(answer.walk_ns, 30000000);
    assert_string_equal(text, fake_trace());
    snapshots_step(fake->session, false);
    assert_int_equal(fake->session->shared->snapshot_request, 2);
    static const char why[] = "no.";
    snapshots_refused(fake->session,
                      &(struct hs_message_snapshot_refused){.request = 2, .reason = HS_SNAPSHOT_ASKED, .length = 3},
                      why);
    answer = answer_of(second, text);
    assert_int_equal(answer.kind, ANSWER_FAILED);
    assert_string_equal(text, "no");
    assert_false(noted(fake, "missing")); /* who has asked knows it */
    int third = ask(fake);
    snapshots_step(fake->session, false);
    snapshots_step(fake->session, true);
    assert_int_equal(answer_of(third, text).kind, ANSWER_FAILED);
    assert_string_equal(text, "the program ended before it could take one");
    close(first);
    close(second);
    close(third);
}

static void test_off(void **state)
{
    struct fake *fake = *state;
    char text[ASK_TEXT_MAX + 1];
    fake->recorder.options.policy.off = true;
    int fd = ask(fake);
    assert_int_equal(answer_of(fd, text).kind, ANSWER_FAILED);
    assert_non_null(strstr(text, "--no-snapshot"));
    close(fd);
}

#define MS UINT64_C(1000000)
#define MIB UINT64_C(1048576)

static void test_policy(void **state)
{
    (void)state;
    struct snapshot_policy policy = {0};
    struct snapshot_watch watch = {0};
    assert_int_equal(snapshot_due(&policy, &watch, 0, 10 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 10000 * MS, 63 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 1999 * MS, 64 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 2000 * MS, 64 * MIB), HS_SNAPSHOT_DOUBLED);
    snapshot_watch_begin(&watch, 2000 * MS);
    assert_int_equal(snapshot_due(&policy, &watch, 90000 * MS, 640 * MIB), 0);
    snapshot_watch_end(&watch, 3000 * MS, 70 * MIB);
    assert_int_equal(snapshot_due(&policy, &watch, 31999 * MS, 640 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 32000 * MS, 139 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 32000 * MS, 140 * MIB), HS_SNAPSHOT_DOUBLED);
    snapshot_watch_failed(&watch, 32000 * MS);
    assert_int_equal(snapshot_due(&policy, &watch, 33000 * MS, 140 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 62000 * MS, 140 * MIB), HS_SNAPSHOT_DOUBLED);

    watch = (struct snapshot_watch){0};
    policy.every_ns = 5000 * MS;
    policy.growth_bytes = 20 * MIB;
    assert_int_equal(snapshot_due(&policy, &watch, 4999 * MS, 10 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 4999 * MS, 29 * MIB), 0);
    assert_int_equal(snapshot_due(&policy, &watch, 4999 * MS, 30 * MIB), HS_SNAPSHOT_GROWTH);
    assert_int_equal(snapshot_due(&policy, &watch, 5000 * MS, 9 * MIB), HS_SNAPSHOT_EVERY);
    policy.off = true;
    assert_int_equal(snapshot_due(&policy, &watch, 5000 * MS, 1000 * MIB), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_area, begin, end),
        cmocka_unit_test_setup_teardown(test_whole, begin, end),
        cmocka_unit_test_setup_teardown(test_program_dies, begin, end),
        cmocka_unit_test_setup_teardown(test_child_killed, begin, end),
        cmocka_unit_test_setup_teardown(test_child_gives_up, begin, end),
        cmocka_unit_test_setup_teardown(test_child_killed_early, begin, end),
        cmocka_unit_test_setup_teardown(test_no_child, begin, end),
        cmocka_unit_test_setup_teardown(test_stranger, begin, end),
        cmocka_unit_test_setup_teardown(test_nonsense, begin, end),
        cmocka_unit_test_setup_teardown(test_abandoned, begin, end),
        cmocka_unit_test_setup_teardown(test_too_many, begin, end),
        cmocka_unit_test_setup_teardown(test_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_asked, begin, end),
        cmocka_unit_test_setup_teardown(test_off, begin, end),
        cmocka_unit_test(test_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
