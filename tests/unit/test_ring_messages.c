/*
 * test_ring_messages.c - a fake program writes messages, whole and broken; those that stand in order must wait for what
 * all threads have done before, and for nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "fake_program.h"
#include "record/session_snapshots_private.h"

static void test_messages(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, 64);
    struct {
        struct hs_message_code code;
        char strings[30];
    } code = {.code = {.code = 7,
                       .first_line = 3,
                       .file_length = 6,
                       .function_length = 4,
                       .line_table_length = 20,
                       .python_minor = 11},
              .strings = "app.pymain"};
    struct {
        struct hs_message_text text;
        char sentence[40];
    } blind = {.text = {.length = 40}, .sentence = "What cannot be seen cannot be recorded."};
    /* often, so that each kind crosses the end of the ring */
    for (int i = 0; i < 100; i++) {
        code.code.code = (uint32_t)i + 1;
        put_message(ring, HS_MESSAGE_CODE, &code, sizeof code);
        put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000 + (uint64_t)i * 16, 10, 1);
        put_message(ring, HS_MESSAGE_EXEC, NULL, 0);
        put_message(ring, HS_MESSAGE_EXEC_FAILED, NULL, 0);
        drain(fake);
    }
    assert_int_equal(fake->session->ended, SESSION_LIVES);
    assert_int_equal(fake->session->codes.count, 100);
    const struct code_entry *entry = code_list_find(&fake->session->codes, 100);
    assert_non_null(entry);
    assert_memory_equal(entry->bytes, "app.pymain", 10);
    assert_false(fake->session->executing);
    put_message(ring, HS_MESSAGE_BLIND_SPOT, &blind, sizeof blind);
    put_message(ring, HS_MESSAGE_PYTHON, &(struct hs_message_python){.version = 0x030f00a2},
                sizeof(struct hs_message_python));
    put_message(ring, HS_MESSAGE_EXIT, &(struct hs_message_exit){.status = 0x1203}, sizeof(struct hs_message_exit));
    put_message(ring, HS_MESSAGE_FINALIZE, NULL, 0);
    drain(fake);
    assert_string_equal(fake->session->python_version, "3.15.0a2");
    assert_int_equal(fake->session->exit_status, 3);
    assert_int_equal(fake->session->kept.blocks, 100);
    EXPECT(fake, 100, 0, 100, 1000);
}

static void test_long_message(void **state)
{
    put(ring_with_one(*state), (struct hs_slot){.w0 = HS_SLOT_MESSAGE | HS_MESSAGE_CODE << 16, .w1 = HS_MESSAGE_MAX});
    expect_stopped(*state, 1);
}

static void test_endless_message(void **state)
{
    put(ring_with_one(*state), (struct hs_slot){.w0 = HS_SLOT_MESSAGE | HS_MESSAGE_CODE << 16, .w1 = UINT64_MAX});
    expect_stopped(*state, 1);
}

static void test_lying_message(void **state)
{
    struct hs_message_code code = {.code = 1, .file_length = UINT32_MAX, .function_length = UINT32_MAX};
    put_message(ring_with_one(*state), HS_MESSAGE_CODE, &code, sizeof code);
    expect_stopped(*state, 1);
}

static void test_unknown_mark(void **state)
{
    struct hs_message_mark mark = {.kind = 1};
    put_message(ring_with_one(*state), HS_MESSAGE_MARK, &mark, sizeof mark);
    expect_stopped(*state, 1);
}

static void test_lying_mark(void **state)
{
    struct hs_message_mark mark = {.kind = HSK_MARK_NAMED, .name_length = UINT32_MAX};
    put_message(ring_with_one(*state), HS_MESSAGE_MARK, &mark, sizeof mark);
    expect_stopped(*state, 1);
}

/* ---- snapshots and wishes ---- */

/* A snapshot has the events of all rings before it, in whatever order their numbers let them be read. */
static void test_snapshot_waits(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *asking = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS),
                   *third = add_ring(fake, RING_SLOTS), *stuck = add_ring(fake, RING_SLOTS);
    struct hs_message_snapshot body = {.number = 1, .reason = HS_SNAPSHOT_ASKED};
    drain(fake); /* all rings are known */
    put_numbered(asking, HS_MESSAGE_SNAPSHOT, &body, sizeof body, 0);
    /* Each of them waits for the other after every event. */
    const uint64_t count = 100;
    for (uint64_t number = 0; number < count; number++)
        put_sequenced(number % 2 ? second : third, number % 2 ? HS_SLOT_FREE : HS_SLOT_ALLOC, 0x1000, 8, number);
    put_sequenced(third, HS_SLOT_ALLOC, 0x1000, 24, count);
    /* This one comes after what follows the snapshot in its own ring, and must not be waited for. */
    put_sequenced(asking, HS_SLOT_FREE, 0x1000, 0, count + 1);
    put_seen(stuck, 1);
    put_sequenced(stuck, HS_SLOT_ALLOC, 0x1000, 40, count + 2);
    drain(fake);
    const struct graph_snapshot *snapshot = fake->session->snapshots ? fake->session->snapshots->first : NULL;
    assert_non_null(snapshot);
    assert_int_equal(snapshot->event, count + 1);
    EXPECT(fake, count / 2 + 2, count / 2 + 1, 1, 40);
    snapshots_drop(fake->session);
}

/* While the program clones itself, its recorder does nothing: until something follows, or nothing can. */
static void test_snapshot_of_one_thread(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *ring = add_ring(fake, RING_SLOTS);
    struct hs_message_snapshot body = {.number = 1, .reason = HS_SNAPSHOT_ASKED};
    put_event(ring, HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, 0x1000, 8, 1);
    put_message(ring, HS_MESSAGE_SNAPSHOT, &body, sizeof body);
    assert_int_equal(drain(fake).slots, 1);
    assert_null(fake->session->snapshots);
    assert_true(drain(fake).left);
    struct hs_message_snapshot_forked forked = {.number = 1, .pid = -EAGAIN};
    put_message(ring, HS_MESSAGE_SNAPSHOT_FORKED, &forked, sizeof forked);
    assert_false(drain(fake).left);
    assert_non_null(fake->session->snapshots);
    assert_int_equal(fake->session->snapshots->last_number, 1);
    body.number = 2;
    put_message(ring, HS_MESSAGE_SNAPSHOT, &body, sizeof body);
    drain(fake);
    assert_int_equal(fake->session->snapshots->last_number, 1);
    drain_session(fake->session, 1 << 20, true); /* killed in there */
    assert_int_equal(fake->session->snapshots->last_number, 2);
    snapshots_drop(fake->session);
}

/* ---- marks ---- */

static void name_mark(struct hs_ring *ring, const char *name, uint64_t number)
{
    uint8_t bytes[64];
    struct hs_message_mark mark = {.kind = HSK_MARK_NAMED, .name_length = (uint32_t)strlen(name)};
    memcpy(bytes, &mark, sizeof mark);
    memcpy(bytes + sizeof mark, name, mark.name_length);
    put_numbered(ring, HS_MESSAGE_MARK, bytes, sizeof mark + mark.name_length, number);
}

static void region_begins(struct hs_ring *ring, uint32_t region, uint64_t number)
{
    uint8_t bytes[sizeof(struct hs_message_mark) + 1];
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_BEGIN, .region = region, .name_length = 1};
    memcpy(bytes, &mark, sizeof mark);
    bytes[sizeof mark] = 'r';
    put_numbered(ring, HS_MESSAGE_MARK, bytes, sizeof bytes, number);
}

static void region_ends(struct hs_ring *ring, uint32_t region, uint64_t number)
{
    struct hs_message_mark mark = {.kind = HSK_MARK_REGION_END, .region = region};
    put_numbered(ring, HS_MESSAGE_MARK, &mark, sizeof mark, number);
}

/* Of the trace: 'a' an allocation, 'f' a free, 'm' a mark, 'b' and 'e' a region's begin and end; and by which thread.
 */
struct written {
    size_t count;
    char text[64], threads[64];
};

static void note_event(void *context, const struct event *event)
{
    struct written *written = context;
    if (event->kind != HSK_OP_MARK && event->kind > HSK_OP_FREE_UNKNOWN)
        return;
    assert_true(written->count < sizeof written->text - 1);
    written->threads[written->count] = (char)('0' + event->thread);
    written->text[written->count++] = event->kind == HSK_OP_MARK    ? "?xxmbe??"[event->mark]
                                      : event->kind == HSK_OP_ALLOC ? 'a'
                                                                    : 'f';
}

static struct written written(struct fake *fake)
{
    struct written found = {0};
    fake_read_events(fake, note_event, &found);
    return found;
}

/* A wish is granted when everything before it is in the file. */
static void test_flush(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    struct hs_message_wish wish = {.wish = 5, .kind = HS_WISH_FLUSH};
    drain(fake);
    put_numbered(first, HS_MESSAGE_WISH, &wish, sizeof wish, 0);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    atomic_store(&first->waiting, 1);
    drain(fake);
    assert_int_equal(atomic_load(&first->answer), UINT64_C(5) << 32);
    assert_true(atomic_load(&first->wake) > 0);
    assert_true(encoder_empty(&fake->session->encoder));
    assert_string_equal(written(fake).text, "a");
}

/* What other threads have done before a mark stands before it, and what they do behind it stands behind it. */
static void test_mark_among_threads(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS),
                   *third = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "m", 0);
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 2);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    put_seen(second, 1);
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 3);
    put_seen(third, 1);
    put_sequenced(third, HS_SLOT_ALLOC, 0x1000, 8, 4);
    put_sequenced(third, HS_SLOT_FREE, 0x1000, 0, 5);
    drain(fake);
    assert_string_equal(written(fake).text, "afmafaf");
}

/*
 * An event of one thread that another one waits for stands behind a mark that would wait for that other one: it was
 * done at the same time.
 */
static void test_mark_at_the_same_time(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "m", 0);
    put_seen(second, 0);
    put(second, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_MAYBE << 16, .w1 = 1});
    put_sequenced(second, HS_SLOT_FREE, 0x1000, 0, 1);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake).text, "m");
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 0);
    assert_false(drain(fake).left);
    assert_string_equal(written(fake).text, "maf");
}

/* A mark of a thread that has not written it yet is waited for, as an event is; of one that is gone, not. */
static void test_mark_to_come(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "late", 1);
    put_seen(second, 2);
    put_sequenced(second, HS_SLOT_ALLOC, 0x1000, 8, 0);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake).text, "");
    name_mark(second, "never", 3);
    name_mark(add_ring(fake, RING_SLOTS), "early", 0);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake).text, "mma");
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    assert_string_equal(written(fake).text, "mmam");
    assert_int_equal(fake->session->rings.skipped, 0);
}

/* A mark that comes after its number was given up waits for none that wait for it. */
static void test_late_mark(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    name_mark(first, "given up before", 1);
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    name_mark(first, "expected", 2);
    name_mark(second, "late", 0);
    assert_false(drain(fake).left);
    assert_string_equal(written(fake).text, "mmm");
    assert_string_equal(written(fake).threads, "010");
    assert_int_equal(fake->session->rings.overtaken, 1);
}

/*
 * Two marks of one number, which no honest program writes, wait for each other: when nothing else can come the first
 * one passes. Its ring is not the one that was read last, but it is a mark of its own thread.
 */
static void test_two_of_one_number(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    put_sequenced(first, HS_SLOT_ALLOC, 0x1000, 8, 0);
    put_sequenced(second, HS_SLOT_ALLOC, 0x2000, 8, 0);
    name_mark(first, "one", 0);
    put_sequenced(first, HS_SLOT_FREE, 0x1000, 0, 1);
    name_mark(second, "another", 0);
    put_sequenced(second, HS_SLOT_FREE, 0x2000, 0, 1);
    assert_true(drain(fake).left);
    assert_string_equal(written(fake).text, "aa");
    assert_false(drain_session(fake->session, 1 << 20, true).left);
    assert_string_equal(written(fake).text, "aamfmf");
    assert_string_equal(written(fake).threads, "010011");
}

/* A region ends where it is told, whoever does it; what no one has begun ends nowhere. */
static void test_regions(void **state)
{
    struct fake *fake = *state;
    struct hs_ring *first = add_ring(fake, RING_SLOTS), *second = add_ring(fake, RING_SLOTS);
    drain(fake);
    region_ends(first, 7, 1);
    region_begins(second, 7, 0);
    region_ends(second, 7, 2); /* once more */
    region_ends(second, 8, 3);
    region_begins(second, 9, 4);
    region_begins(second, 9, 5); /* its number has come round: the former stays open */
    region_ends(first, 9, 6);
    drain(fake);
    assert_string_equal(written(fake).text, "bebbe");
    assert_int_equal(fake->session->marks.open.count, 0);
}

/* ---- threads ---- */

struct writer {
    struct fake *fake;
    struct hs_ring *ring;
    uint64_t seed;
    uint64_t last[HS_STRIPES];
    uint64_t marks_seen;
};

/*
 * Threads that pass a token on. Who has it allocates some blocks, makes a mark, and passes it on; the others allocate
 * meanwhile what they like. Each mark stands exactly behind the blocks of the tokens up to it.
 */
enum { TOKENS = 1000, BLOCKS_OF_TOKEN = 3, TOKEN_BYTES = 777 };
static _Atomic uint32_t token;

static void write_number(struct writer *writer, struct hs_slot slot, unsigned stripe, const void *bytes, size_t length)
{
    struct hs_ring *ring = writer->ring;
    while (atomic_load(&ring->head) - atomic_load(&ring->tail) + 8 > ring->slot_count)
        sched_yield();
    _Atomic uint64_t *marks = &writer->fake->shared->sequence[HS_MARK_STRIPE].next;
    uint64_t before = atomic_load(marks);
    uint64_t number = atomic_fetch_add(&writer->fake->shared->sequence[stripe].next, 1);
    uint64_t after = atomic_load(marks);
    if (number - writer->last[stripe] > 0xffff)
        put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)stripe << 16, .w1 = number});
    writer->last[stripe] = number + 1;
    hs_slot_set_sequence(&slot, number);
    if (stripe != HS_MARK_STRIPE && before != writer->marks_seen)
        put_seen(ring, before);
    if (stripe != HS_MARK_STRIPE && after != before)
        put(ring, (struct hs_slot){.w0 = HS_SLOT_SYNC | (uint64_t)HS_MARKS_MAYBE << 16, .w1 = after});
    writer->marks_seen = stripe == HS_MARK_STRIPE ? number + 1 : before;
    put_slots(ring, slot, bytes, length);
}

static void write_block(struct writer *writer, uint64_t address, uint32_t size)
{
    struct hs_slot slot = hs_slot_pack(HS_SLOT_ALLOC, HS_DOMAIN_MALLOC, address, size, 1);
    write_number(writer, slot, hs_stripe_of(address, HS_DOMAIN_MALLOC), NULL, 0);
}

static void *pass_token(void *context)
{
    struct writer *writer = context;
    uint64_t address = UINT64_C(0x100000000) * (writer->seed + 1);
    for (uint32_t turn; (turn = atomic_load(&token)) < TOKENS;) {
        if (turn % 3 != writer->seed) {
            write_block(writer, address += 16 * 37, 8);
            continue;
        }
        for (unsigned i = 0; i < BLOCKS_OF_TOKEN; i++)
            write_block(writer, address += 16, TOKEN_BYTES);
        struct hs_message_mark mark = {.kind = HSK_MARK_NAMED};
        write_number(writer,
                     (struct hs_slot){.w0 = HS_SLOT_MESSAGE | (uint64_t)HS_MESSAGE_MARK << 16, .w1 = sizeof mark},
                     HS_MARK_STRIPE, &mark, sizeof mark);
        atomic_store(&token, turn + 1);
    }
    return NULL;
}

struct tokens_seen {
    uint64_t blocks, marks;
};

static void check_token(void *context, const struct event *event)
{
    struct tokens_seen *seen = context;
    seen->blocks += event->kind == HSK_OP_ALLOC && event->size == TOKEN_BYTES;
    if (event->kind == HSK_OP_MARK)
        assert_int_equal(seen->blocks, ++seen->marks * BLOCKS_OF_TOKEN);
}

static void test_marks_of_threads(void **state)
{
    struct fake *fake = *state;
    struct writer writers[3];
    pthread_t threads[3];
    atomic_store(&token, 0);
    for (unsigned i = 0; i < 3; i++) {
        writers[i] = (struct writer){.fake = fake, .ring = add_ring(fake, 256), .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, pass_token, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++)
        while (pthread_tryjoin_np(threads[i], NULL) != 0)
            drain_session(fake->session, 10000, false);
    drain(fake);
    struct tokens_seen tokens = {0};
    fake_read_events(fake, check_token, &tokens);
    assert_int_equal(tokens.marks, TOKENS);
    assert_int_equal(fake->session->rings.skipped + fake->session->rings.overtaken, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_begin, fake_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_messages),           TEST(test_long_message),           TEST(test_endless_message),
        TEST(test_lying_message),      TEST(test_unknown_mark),           TEST(test_lying_mark),
        TEST(test_snapshot_waits),     TEST(test_snapshot_of_one_thread), TEST(test_flush),
        TEST(test_mark_among_threads), TEST(test_mark_at_the_same_time),  TEST(test_mark_to_come),
        TEST(test_late_mark),          TEST(test_two_of_one_number),      TEST(test_regions),
        TEST(test_marks_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
