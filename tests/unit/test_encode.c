/* test_encode.c - what goes into the encoder comes out of the decoder, and what the writer does when it cannot write.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "each_event.h"
#include "record/encode.h"
#include "record/trace_writer.h"
#include "trace/decode.h"
#include "trace/trace_reader.h"

static char folder[] = "/tmp/heapsake-test-XXXXXX";
static char path[64], other[64];

static int make_folder(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/t.hsk", folder);
    snprintf(other, sizeof other, "%s/other.hsk", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return rmdir(folder);
}

static struct trace_writer *open_writer(void)
{
    struct trace_writer *writer = NULL;
    struct error error = {0};
    unlink(path);
    assert_int_equal(trace_writer_open(&writer, path, false, &error), 0);
    return writer;
}

struct found_events {
    struct event *out;
    size_t count, room;
};

static void keep_event(void *context, const struct event *event)
{
    struct found_events *found = context;
    assert_true(found->count < found->room);
    found->out[found->count++] = *event;
}

/* All events of the file, in `out`; ticks and thread switches too. */
static size_t read_events(struct event *out, size_t room)
{
    struct trace_reader *reader;
    struct error error = {0};
    struct found_events found = {.out = out, .room = room};
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    each_event(reader, true, keep_event, &found);
    trace_reader_close(reader);
    return found.count;
}

/* docs/TRACE_FORMAT.md, ADDRESS. */
static void test_size_classes(void **state)
{
    (void)state;
    static const struct {
        unsigned domain;
        uint64_t size;
        unsigned size_class;
    } expected[] = {
        {HSK_DOMAIN_MALLOC, 0, 0},
        {HSK_DOMAIN_MALLOC, 8, 0},
        {HSK_DOMAIN_MALLOC, 9, 1},
        {HSK_DOMAIN_MALLOC, 24, 1},
        {HSK_DOMAIN_MALLOC, 25, 2},
        {HSK_DOMAIN_PY_RAW, 24, 1},
        {HSK_DOMAIN_PY_RAW, 25, 2},
        {HSK_DOMAIN_PY_MEM, 0, 0},
        {HSK_DOMAIN_PY_MEM, 1, 1},
        {HSK_DOMAIN_PY_OBJECT, 16, 1},
        {HSK_DOMAIN_PY_OBJECT, 17, 2},
        {HSK_DOMAIN_PY_OBJECT, 512, 32},
        {HSK_DOMAIN_MALLOC, 16360, 1022},
        {HSK_DOMAIN_MALLOC, 16361, 1023},
        {HSK_DOMAIN_PY_OBJECT, 16352, 1022},
        {HSK_DOMAIN_PY_OBJECT, 16353, 1023},
        {HSK_DOMAIN_MMAP, 16368, 1023},
        {HSK_DOMAIN_ARENA, 1 << 20, 1023},
        {HSK_DOMAIN_MALLOC, UINT64_MAX, 1023},
        {HSK_DOMAIN_PY_MEM, UINT64_MAX, 1023},
    };
    for (size_t i = 0; i < HS_COUNT_OF(expected); i++)
        assert_int_equal(hsk_size_class(expected[i].domain, expected[i].size), expected[i].size_class);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct trace_writer *writer = open_writer();
    struct encoder *e = malloc(sizeof *e);
    struct error error = {0};
    static const uint64_t addresses[] = {0x7fffffffffff, 16, 0, 8, 0x7f0000000010, (UINT64_C(1) << 62) - 1};
    static const uint64_t sizes[] = {0, 1, 127, 128, 16383, 16384, 1 << 30, UINT64_MAX};
    static const uint32_t nodes[] = {0, 1, HSK_MAX_NODE, 5};
    struct event expected[2000], found[2000];
    size_t count = 0;
    assert_int_equal(encoder_init(e, 7, 1000), 0);
    encoder_tick(e, 2000); /* in front of the first op: the chunk's own time */
    encoder_thread(e, 3);
    uint64_t time_ns = 2000;
    uint32_t thread = 3;
    for (size_t a = 0; a < HS_COUNT_OF(addresses); a++)
        for (size_t s = 0; s < HS_COUNT_OF(sizes); s++)
            for (size_t n = 0; n < HS_COUNT_OF(nodes); n++) {
                unsigned domain = (unsigned)((a + s + n) % HSK_DOMAINS);
                uint64_t ordinal = encoder_alloc(e, addresses[a], sizes[s], nodes[n], domain, n == 1);
                assert_int_equal(ordinal, 7 + a * 32 + s * 4 + n);
                expected[count++] = (struct event){.kind = HSK_OP_ALLOC,
                                                   .domain = domain,
                                                   .is_realloc = n == 1,
                                                   .node = nodes[n],
                                                   .ordinal = ordinal,
                                                   .address = addresses[a],
                                                   .size = sizes[s],
                                                   .thread = thread,
                                                   .time_ns = time_ns};
                if (s == 3) {
                    time_ns += a * 1000000007;
                    encoder_tick(e, time_ns);
                    encoder_tick(e, time_ns - 1); /* a clock that goes back is ignored */
                }
                if (s == 4)
                    encoder_thread(e, thread = (uint32_t)(n * 1000000));
                if (s == 5) {
                    encoder_free(e, ordinal - a * 20, n == 2);
                    expected[count++] = (struct event){.kind = HSK_OP_FREE,
                                                       .is_realloc = n == 2,
                                                       .ordinal = ordinal - a * 20,
                                                       .thread = thread,
                                                       .time_ns = time_ns};
                }
                if (s == 6) {
                    encoder_free_unknown(e, addresses[a], domain);
                    expected[count++] = (struct event){.kind = HSK_OP_FREE_UNKNOWN,
                                                       .domain = domain,
                                                       .address = addresses[a],
                                                       .thread = thread,
                                                       .time_ns = time_ns};
                }
                if (s == 7 && n == 3) {
                    enum hsk_mark mark = a == 0 ? HSK_MARK_FORK : HSK_MARK_NAMED + (a - 1) % 3;
                    uint64_t number = mark == HSK_MARK_FORK ? 0 : a == 4 ? (UINT64_C(1) << 61) - 1 : a * 1000;
                    encoder_mark(e, mark, number);
                    expected[count++] = (struct event){
                        .kind = HSK_OP_MARK, .mark = mark, .mark_number = number, .thread = thread, .time_ns = time_ns};
                    assert_int_equal(encoder_flush(e, writer, &error), 0); /* predictors start anew */
                    assert_true(encoder_empty(e));
                    assert_int_equal(encoder_flush(e, writer, &error), 0); /* nothing to write */
                }
            }
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    assert_int_equal(e->allocations, 192);
    assert_int_equal(e->frees, 48);
    encoder_destroy(e);
    assert_int_equal(trace_writer_finish(writer, &error), 0);

    size_t all = read_events(found, HS_COUNT_OF(found)), at = 0;
    for (size_t i = 0; i < all; i++) {
        if (found[i].kind == HSK_OP_TICK || found[i].kind == HSK_OP_THREAD)
            continue;
        assert_true(at < count);
        const struct event *want = &expected[at++], *have = &found[i];
        assert_int_equal(have->kind, want->kind);
        assert_int_equal(have->thread, want->thread);
        assert_int_equal(have->time_ns, want->time_ns);
        if (want->kind == HSK_OP_ALLOC || want->kind == HSK_OP_FREE) {
            assert_int_equal(have->ordinal, want->ordinal);
            assert_int_equal(have->is_realloc, want->is_realloc);
        }
        if (want->kind == HSK_OP_ALLOC) {
            assert_int_equal(have->size, want->size);
            assert_int_equal(have->node, want->node);
        }
        if (want->kind == HSK_OP_ALLOC || want->kind == HSK_OP_FREE_UNKNOWN) {
            assert_int_equal(have->domain, want->domain);
            assert_int_equal(have->address, want->address);
        }
        if (want->kind == HSK_OP_MARK) {
            assert_int_equal(have->mark, want->mark);
            assert_int_equal(have->mark_number, want->mark_number);
        }
    }
    assert_int_equal(at, count);
    free(e);
}

/* As many of the longest ops as the encoder may ever hold: no column overflows (a sanitizer looks on). */
static void test_fullest_chunk(void **state)
{
    (void)state;
    struct trace_writer *writer = open_writer();
    struct encoder *e = malloc(sizeof *e);
    struct error error = {0};
    assert_int_equal(encoder_init(e, HSK_MAX_CHUNK_RAW, 0), 0);
    uint32_t calls = 0;
    while (!encoder_full(e)) {
        encoder_alloc(e, calls % 2 ? (UINT64_C(1) << 62) - 1 : 0, UINT64_MAX, calls % 2 ? HSK_MAX_NODE : 0, 5, true);
        calls++;
    }
    assert_int_equal(calls, ENCODER_OPS);
    for (uint32_t i = 0; i < ENCODER_SLACK; i++)
        encoder_alloc(e, i % 2 ? (UINT64_C(1) << 62) - 1 : 0, UINT64_MAX, i % 2 ? HSK_MAX_NODE : 0, 5, true);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    for (uint32_t i = 0; i < ENCODER_OPS + ENCODER_SLACK; i++)
        encoder_free(e, i % 2 ? HSK_MAX_ORDINAL : 0, false);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    for (uint32_t i = 0; i < ENCODER_OPS + ENCODER_SLACK; i++)
        encoder_free_unknown(e, UINT64_MAX, 5);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    assert_int_equal(e->frees, 2 * (ENCODER_OPS + ENCODER_SLACK));
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    encoder_destroy(e);
    free(e);
    size_t room = 3 * (ENCODER_OPS + ENCODER_SLACK);
    struct event *found = malloc(room * sizeof *found);
    assert_int_equal(read_events(found, room), room);
    assert_int_equal(found[room - 1].address, UINT64_MAX);
    free(found);
}

/* Births and deaths, also in the first op of a chunk; and none that do not belong there. */
static void test_objects(void **state)
{
    (void)state;
    struct trace_writer *writer = open_writer();
    struct encoder *e = malloc(sizeof *e);
    struct error error = {0};
    static const uint32_t types[] = {0, 1, 127, 128, UINT32_MAX};
    static const uint64_t ordinals[] = {0, 9, HSK_MAX_ORDINAL, 500};
    struct event expected[400];
    size_t count = 0;
    assert_int_equal(encoder_init(e, 500, 0), 0);
    for (size_t t = 0; t < HS_COUNT_OF(types); t++)
        for (size_t o = 0; o < HS_COUNT_OF(ordinals); o++)
            for (unsigned same = 0; same < 2; same++) {
                uint64_t last = encoder_alloc(e, 4096, 16, (uint32_t)(t * 1000 + o), HSK_DOMAIN_PY_OBJECT, false);
                if (same == o % 2)
                    assert_int_equal(encoder_flush(e, writer, &error), 0);
                encoder_object(e, last, types[t], 7, same);
                expected[count++] = (struct event){
                    .kind = HSK_OP_OBJECT, .ordinal = last, .type = types[t], .same_stack = same, .node = same ? 0 : 7};
                encoder_object(e, ordinals[o], types[t], HSK_MAX_NODE, same);
                expected[count++] = (struct event){.kind = HSK_OP_OBJECT,
                                                   .ordinal = ordinals[o],
                                                   .type = types[t],
                                                   .same_stack = same,
                                                   .node = same ? 0 : HSK_MAX_NODE};
                encoder_object_end(e, ordinals[o]);
                expected[count++] = (struct event){.kind = HSK_OP_OBJECT_END, .ordinal = ordinals[o]};
            }
    assert_int_equal(e->objects, 80);
    assert_int_equal(e->allocations, 40);
    assert_int_equal(e->frees, 0);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    for (uint32_t i = 0; i < ENCODER_OPS + ENCODER_SLACK; i++) /* the longest */
        encoder_object(e, i % 2 ? HSK_MAX_ORDINAL : 0, UINT32_MAX, i % 2 ? HSK_MAX_NODE : 0, false);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    encoder_destroy(e);
    free(e);
    assert_int_equal(trace_writer_finish(writer, &error), 0);

    struct event *all = malloc((ENCODER_OPS + ENCODER_SLACK + 400) * sizeof *all);
    size_t events = read_events(all, ENCODER_OPS + ENCODER_SLACK + 400), at = 0;
    assert_int_equal(events, 40 + count + ENCODER_OPS + ENCODER_SLACK);
    for (size_t i = 0; i < 40 + count; i++) {
        if (all[i].kind == HSK_OP_ALLOC) {
            assert_int_equal(all[i].ordinal - 500, all[i].node / 1000 * 8 + all[i].node % 10 * 2 + at / 3 % 2);
            continue;
        }
        const struct event *want = &expected[at++];
        assert_int_equal(all[i].kind, want->kind);
        assert_int_equal(all[i].ordinal, want->ordinal);
        assert_int_equal(all[i].type, want->type);
        assert_int_equal(all[i].same_stack, want->same_stack);
        assert_int_equal(all[i].node, want->node);
    }
    assert_int_equal(all[events - 1].ordinal, HSK_MAX_ORDINAL);
    free(all);
}

static void test_ops(void **state)
{
    (void)state;
    struct events *events = malloc(sizeof *events);
    for (unsigned op = 0; op < 256; op++) {
        unsigned kind = HSK_OP_KIND(op);
        if (kind != HSK_OP_OBJECT && kind != HSK_OP_OBJECT_END)
            continue;
        bool born = kind == HSK_OP_OBJECT, last = op & HSK_OP_LAST_BLOCK, same = op & HSK_OP_SAME_STACK;
        struct hsk_events head = {.op_count = 1,
                                  .column_bytes = {[HSK_COLUMN_OPS] = 1,
                                                   [HSK_COLUMN_TYPE] = born,
                                                   [HSK_COLUMN_BLOCK] = !born || !last,
                                                   [HSK_COLUMN_NODE] = born && !same}};
        uint8_t raw[sizeof head + 4 + 32] = {0};
        size_t length = sizeof head;
        memcpy(raw, &head, sizeof head);
        raw[length] = (uint8_t)op;
        for (int column = 0; column < HSK_COLUMNS; column++)
            length += head.column_bytes[column];
        const char *wrong = NULL;
        struct hsk_chunk_header header = {0};
        bool allowed = born ? (op & 0xb0) == 0 : op == kind;
        assert_int_equal(events_begin(events, &header, raw, length, &wrong), allowed);
        /* and with a number too few or too many */
        head.column_bytes[HSK_COLUMN_BLOCK] ^= 1;
        memcpy(raw, &head, sizeof head);
        length += head.column_bytes[HSK_COLUMN_BLOCK] ? 1 : (size_t)-1;
        assert_false(events_begin(events, &header, raw, length, &wrong));
    }
    free(events);
}

static void test_names(void **state)
{
    (void)state;
    struct error error = {0};
    struct trace_writer *writer = open_writer(), *second = NULL;
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(trace_writer_open(&second, path, false, &error), -EEXIST);
    assert_non_null(strstr(error.text, "exists already: choose another name with -o, or replace it with --force"));

    /* a new file takes the place; the first writer keeps its own, now nameless */
    assert_int_equal(trace_writer_open(&second, path, true, &error), 0);
    struct stat replaced;
    assert_int_equal(stat(path, &replaced), 0);
    assert_true(replaced.st_ino != status.st_ino);
    assert_int_equal(replaced.st_mode & 07777, 0600);
    trace_writer_abandon(writer);

    FILE *file = fopen(other, "w");
    fclose(file);
    error = (struct error){0};
    assert_int_equal(trace_writer_rename(second, other, &error), -EEXIST);
    assert_string_equal(error.text, "");
    assert_string_equal(trace_writer_path(second), path);
    unlink(other);
    assert_int_equal(trace_writer_rename(second, other, &error), 0);
    assert_string_equal(trace_writer_path(second), other);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(trace_writer_finish(second, &error), 0);

    /* never through a symbolic link, whether it leads somewhere or not */
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(stat(other, &status), 0);
    error = (struct error){0};
    assert_int_equal(trace_writer_open(&writer, path, false, &error), -EEXIST);
    error = (struct error){0};
    assert_int_equal(trace_writer_open(&writer, path, true, &error), -ELOOP);
    assert_int_equal(stat(other, &replaced), 0);
    assert_int_equal(status.st_ino, replaced.st_ino);
    assert_int_equal(status.st_size, replaced.st_size);
    unlink(path);

    error = (struct error){0};
    assert_int_equal(trace_writer_open(&writer, "/nowhere at all/t.hsk", false, &error), -ENOENT);
    assert_string_equal(error.text, "/nowhere at all/t.hsk: cannot create: No such file or directory: choose another "
                                    "place with -o");
    error = (struct error){0};
    assert_int_equal(trace_writer_open(&writer, "/dev/null", true, &error), -EEXIST);
    assert_int_equal(trace_writer_open(&writer, folder, true, &error), -EEXIST);
}

/* The file may not grow any more: it ends with a whole chunk, and END and INDEX still come. */
static void test_no_space(void **state)
{
    (void)state;
    enum { CHUNK = 50000 };
    struct error error = {0};
    struct trace_writer *writer = open_writer();
    uint8_t *noise = malloc(CHUNK);
    for (size_t i = 0; i < CHUNK; i++)
        noise[i] = (uint8_t)rand();
    struct buf raw = {.data = noise, .length = CHUNK, .capacity = CHUNK};
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    const struct rlimit small = {.rlim_cur = 4 * CHUNK, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    int code = 0, written = 0;
    while ((code = trace_writer_buf(writer, HSK_CHUNK_SAMPLES, &raw, 0, 0, &error)) == 0)
        written++;
    assert_int_equal(written, 3);
    assert_int_equal(code, -EFBIG);
    assert_non_null(strstr(error.text, "cannot write: File too large: the trace ends at byte"));
    assert_int_equal(trace_writer_failure(writer), -EFBIG);
    struct stat status;
    stat(path, &status);
    assert_int_equal(status.st_size, trace_writer_bytes(writer));
    /* not even what would fit: nothing may be missing in the middle */
    raw.length = 10;
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SAMPLES, &raw, 0, 0, &error), -EFBIG);
    struct buf end = BUF_INIT;
    trace_field_string(&end, HSK_FIELD_ENDED_BY, "recorder stopped");
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_END, &end, 0, 0, &error), 0);
    buf_free(&end);
    assert_int_equal(trace_writer_finish(writer, &error), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &limit);
    free(noise);

    struct trace_reader *reader;
    error = (struct error){0};
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    assert_true(reader->indexed);
    assert_int_equal(reader->chunk_count, 5);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *bytes;
        size_t length;
        assert_int_equal(trace_reader_load(reader, i, &bytes, &length), 0);
    }
    trace_reader_close(reader);
}

static void test_bounds(void **state)
{
    (void)state;
    struct error error = {0};
    struct trace_writer *writer = open_writer();
    struct buf failed = {.failed = true}, empty = BUF_INIT, large = BUF_INIT;
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NOTE, &failed, 0, 0, &error), -ENOMEM);
    uint64_t before = trace_writer_bytes(writer);
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_NOTE, &empty, 0, 0, &error), 0);
    assert_int_equal(trace_writer_bytes(writer), before);
    assert_true(buf_reserve(&large, HSK_MAX_CHUNK_RAW + 1));
    memset(large.data, 0, HSK_MAX_CHUNK_RAW + 1);
    large.length = HSK_MAX_CHUNK_RAW + 1;
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SYMBOLS, &large, 0, 0, &error), -EFBIG);
    assert_int_equal(trace_writer_failure(writer), 0);
    large.length--;
    error = (struct error){0};
    assert_int_equal(trace_writer_buf(writer, HSK_CHUNK_SYMBOLS, &large, 0, 0, &error), 0);
    buf_free(&large);
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    struct trace_reader *reader;
    assert_int_equal(trace_reader_open(path, &reader, &error), 0);
    const uint8_t *raw;
    size_t length;
    assert_int_equal(trace_reader_load(reader, 0, &raw, &length), 0);
    assert_int_equal(length, HSK_MAX_CHUNK_RAW);
    trace_reader_close(reader);
}

/* Changes of counts from all sources, with the largest values, and none that do not belong there. */
static void test_counts(void **state)
{
    (void)state;
    struct trace_writer *writer = open_writer();
    struct encoder *e = malloc(sizeof *e);
    struct error error = {0};
    struct event expected[64];
    size_t count = 0;
    assert_int_equal(encoder_init(e, 9, 0), 0);
    for (unsigned source = HSK_COUNT_ENTRY_POINT; source < HSK_COUNT_SOURCES; source++) {
        uint64_t ordinal = source % 2 ? HSK_MAX_ORDINAL : 0, last = UINT64_MAX >> 1;
        encoder_watch(e, UINT32_MAX, UINT32_MAX, HSK_MAX_NODE);
        expected[count++] = (struct event){.watch = UINT32_MAX, .count = UINT32_MAX, .node = HSK_MAX_NODE};
        encoder_count(e, source, ordinal, last, source % 2, source);
        expected[count++] =
            (struct event){.source = source, .ordinal = ordinal, .count = last, .down = source % 2, .node = source};
        if (source == HSK_COUNT_GOBJECT)
            assert_int_equal(encoder_flush(e, writer, &error), 0);
        encoder_count_loose(e, source, UINT64_MAX, 0, true, UINT32_MAX, 0);
        expected[count++] =
            (struct event){.source = source, .loose = true, .address = UINT64_MAX, .down = true, .type = UINT32_MAX};
    }
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    for (uint32_t i = 0; i < ENCODER_OPS + ENCODER_SLACK; i++) /* the longest */
        encoder_count_loose(e, HSK_COUNT_PAIR, UINT64_MAX, UINT64_MAX >> 1, true, UINT32_MAX, i % 2 ? HSK_MAX_NODE : 0);
    assert_int_equal(encoder_flush(e, writer, &error), 0);
    assert_int_equal(e->allocations + e->frees + e->objects, 0);
    encoder_destroy(e);
    free(e);
    assert_int_equal(trace_writer_finish(writer, &error), 0);

    size_t room = count + ENCODER_OPS + ENCODER_SLACK;
    struct event *all = malloc((room + 1) * sizeof *all);
    assert_int_equal(read_events(all, room + 1), room);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(all[i].kind, HSK_OP_COUNT);
        assert_int_equal(all[i].source, expected[i].source);
        assert_int_equal(all[i].loose, expected[i].loose);
        assert_int_equal(all[i].down, expected[i].down);
        assert_int_equal(all[i].watch, expected[i].watch);
        assert_int_equal(all[i].ordinal, expected[i].ordinal);
        assert_int_equal(all[i].address, expected[i].address);
        assert_int_equal(all[i].count, expected[i].count);
        assert_int_equal(all[i].type, expected[i].type);
        assert_int_equal(all[i].node, expected[i].node);
    }
    assert_int_equal(all[room - 1].count, UINT64_MAX >> 1);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_classes), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fullest_chunk),
        cmocka_unit_test(test_objects),      cmocka_unit_test(test_counts),     cmocka_unit_test(test_ops),
        cmocka_unit_test(test_names),        cmocka_unit_test(test_no_space),   cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
