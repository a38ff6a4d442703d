/* test_trace_reader.c - whole, cut, damaged, foreign and hostile trace files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "heapsake/trace_format.h"
#include "make_trace.h"
#include "model/lifetimes.h"
#include "model/sites.h"
#include "model/stacks.h"
#include "temporary_file.h"
#include "trace/trace_info.h"
#include "trace/trace_reader.h"

#define MAX_CHUNKS 64

/* A small trace, and its chunks as this test finds them itself. */
struct sample {
    uint8_t *bytes;
    size_t length;
    struct made_trace_truth truth;
    size_t count;
    size_t begin[MAX_CHUNKS], end[MAX_CHUNKS];
    struct hsk_chunk_header header[MAX_CHUNKS];
};

static struct sample sample, endless;

static void make_sample(struct sample *s, bool no_end)
{
    assert_int_equal(temporary_file_make(NULL), 0);
    struct made_trace_plan plan = {.events = 220,
                                   .seed = 11,
                                   .threads = 3,
                                   .nodes = 20,
                                   .inherited = 5,
                                   .flush_ops = 40,
                                   .event_ns = 300000,
                                   .finalize = true,
                                   .no_end = no_end};
    assert_int_equal(made_trace_synthetic(temporary_file, &plan, &s->truth), 0);
    s->bytes = made_trace_slurp(temporary_file, &s->length);
    assert_int_equal(temporary_file_remove(NULL), 0);
    assert_non_null(s->bytes);
    size_t at = sizeof(struct hsk_file_header);
    while (at + sizeof(struct hsk_chunk_header) <= s->length) {
        memcpy(&s->header[s->count], s->bytes + at, sizeof s->header[0]);
        assert_int_equal(s->header[s->count].magic, HSK_CHUNK_MAGIC);
        s->begin[s->count] = at;
        at += sizeof(struct hsk_chunk_header) + s->header[s->count].stored_bytes;
        s->end[s->count++] = at;
        assert_true(s->count < MAX_CHUNKS);
    }
    assert_int_equal(at + (no_end ? 0 : sizeof(struct hsk_footer)), s->length);
}

static int make_samples(void **state)
{
    (void)state;
    make_sample(&sample, false);
    make_sample(&endless, true);
    return 0;
}

static int free_samples(void **state)
{
    (void)state;
    free(sample.bytes);
    free(endless.bytes);
    return 0;
}

/* All that commands do with a trace. Returns the number of events. */
static uint64_t use_everything(struct trace_reader *reader)
{
    struct trace_info info;
    struct stacks *stacks = NULL;
    struct lifetimes *lifetimes = lifetimes_new();
    struct sites sites = SITES_INIT;
    struct life_replay replay = {.until_ns = UINT64_MAX, .until_event = UINT64_MAX, .addresses = true};
    struct error error = {0};
    assert_int_equal(trace_info_read(&info, reader, &error), 0);
    assert_int_equal(stacks_load(&stacks, reader, &error), 0);
    assert_int_equal(lifetimes_replay(lifetimes, reader, &replay, &error), 0);
    sites_add_live(&sites, lifetimes);
    sites_finish(&sites, stacks);
    uint64_t bytes = 0;
    for (size_t i = 0; i < sites.count; i++) {
        bytes += sites.sites[i].bytes;
        for (uint32_t stack = sites.sites[i].stack; stack; stack = stacks_caller(stacks, stack))
            assert_non_null(stacks_frame(stacks, stack).function.bytes);
    }
    assert_int_equal(bytes, lifetimes->now.live_bytes);
    uint64_t events = lifetimes->now.allocations + lifetimes->now.frees;
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        trace_reader_load(reader, i, &raw, &length);
    }
    sites_free(&sites);
    lifetimes_free(lifetimes);
    stacks_free(stacks);
    trace_info_free(&info);
    return events;
}

/* The reader's place of chunk `i` of the sample, when it is there and its contents are as they were. */
static bool recovered(struct trace_reader *reader, const struct sample *s, size_t i)
{
    for (size_t p = 0; p < reader->chunk_count; p++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[p].offset == s->begin[i])
            return trace_reader_load(reader, p, &raw, &length) == 0 && length == s->header[i].raw_bytes;
    }
    return false;
}

static void test_whole(void **state)
{
    (void)state;
    struct trace_reader *reader;
    struct error error = {0};
    assert_int_equal(trace_reader_open_memory(sample.bytes, sample.length, "app.hsk", &reader, &error), 0);
    assert_true(reader->indexed);
    assert_int_equal(reader->chunk_count, sample.count);
    assert_int_equal(reader->known_chunks, sample.count);
    for (size_t i = 0; i < sample.count; i++)
        assert_true(recovered(reader, &sample, i));
    assert_int_equal(use_everything(reader), sample.truth.allocations + sample.truth.frees);
    assert_true(trace_reader_complete(reader));
    assert_int_equal(trace_reader_lost_chunks(reader), 0);
    assert_false(trace_reader_describe_damage(reader, &error));
    trace_reader_close(reader);
}

static void test_without_end(void **state)
{
    (void)state;
    struct trace_reader *reader;
    struct error error = {0};
    assert_int_equal(trace_reader_open_memory(endless.bytes, endless.length, "app.hsk", &reader, &error), 0);
    assert_int_equal(reader->chunk_count, endless.count);
    assert_int_equal(use_everything(reader), endless.truth.allocations + endless.truth.frees);
    assert_false(trace_reader_complete(reader));
    assert_true(trace_reader_describe_damage(reader, &error));
    char expected[200];
    snprintf(expected, sizeof expected, "app.hsk: truncated at byte %zu: %zu of %zu chunks recovered", endless.length,
             endless.count, endless.count + 2);
    assert_string_equal(error.text, expected);
    trace_reader_close(reader);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t length = 0; length < sample.length; length++) {
        /* exactly as long as it is said, so that a sanitizer sees a read behind the end */
        uint8_t *cut = malloc(length + 1);
        memcpy(cut, sample.bytes, length);
        uint8_t *exact = realloc(cut, length ? length : 1);
        struct trace_reader *reader;
        struct error error = {0};
        int code = trace_reader_open_memory(exact, length, "app.hsk", &reader, &error);
        if (length < sample.begin[0] + sizeof(struct hsk_chunk_header)) {
            assert_int_equal(code, -EINVAL);
            assert_true(strncmp(error.text, "app.hsk: ", 9) == 0);
            free(exact);
            continue;
        }
        assert_int_equal(code, 0);
        uint64_t events = 0, whole = 0;
        for (size_t i = 0; i < sample.count; i++) {
            if (sample.end[i] <= length) {
                assert_true(recovered(reader, &sample, i));
                events += sample.header[i].event_count;
                whole++;
            }
        }
        assert_int_equal(use_everything(reader), events);
        assert_false(trace_reader_complete(reader));
        assert_true(trace_reader_describe_damage(reader, &error));
        char expected[200];
        if (whole < sample.count) {
            snprintf(expected, sizeof expected, "app.hsk: truncated at byte %zu: %llu of ", length,
                     (unsigned long long)whole);
            assert_true(strncmp(error.text, expected, strlen(expected)) == 0);
            assert_true(trace_reader_lost_chunks(reader) > 0);
        }
        trace_reader_close(reader);
        free(exact);
    }
}

static void flip_and_read(const struct sample *s, size_t at, unsigned bit)
{
    uint8_t *bytes = malloc(s->length);
    memcpy(bytes, s->bytes, s->length);
    bytes[at] ^= (uint8_t)(1u << bit);
    struct trace_reader *reader;
    struct error error = {0};
    int code = trace_reader_open_memory(bytes, s->length, "app.hsk", &reader, &error);
    if (code != 0) {
        /* a version or a feature that we do not know: the header has no checksum */
        assert_true((at >= 8 && at < 12) || at >= 24);
        assert_true(at < 32);
        assert_int_equal(code, -ENOTSUP);
        free(bytes);
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        if (at < s->begin[i] || at >= s->end[i])
            assert_true(recovered(reader, s, i));
    use_everything(reader);
    /* the chunk concerned is either damaged, or has the same contents by a happy chance (a spare bit of zstd) */
    if (at >= 32 && !trace_reader_complete(reader))
        assert_true(trace_reader_describe_damage(reader, &error));
    trace_reader_close(reader);
    free(bytes);
}

static void test_every_bit_flipped(void **state)
{
    (void)state;
    for (size_t at = 0; at < sample.length; at++)
        for (unsigned bit = 0; bit < 8; bit += at < 100 ? 1 : 4)
            flip_and_read(&sample, at, bit);
    for (size_t at = 0; at < endless.length; at++)
        flip_and_read(&endless, at, at % 8);
}

static void test_damage_is_noticed(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(sample.length);
    memcpy(bytes, sample.bytes, sample.length);
    size_t victim = 0;
    while (sample.header[victim].type != HSK_CHUNK_EVENTS)
        victim++;
    bytes[(sample.begin[victim] + sizeof(struct hsk_chunk_header) + sample.end[victim]) / 2] ^= 0x10;
    struct trace_reader *reader;
    struct error error = {0};
    assert_int_equal(trace_reader_open_memory(bytes, sample.length, "app.hsk", &reader, &error), 0);
    assert_int_equal(use_everything(reader),
                     sample.truth.allocations + sample.truth.frees - sample.header[victim].event_count);
    assert_int_equal(trace_reader_lost_chunks(reader), 1);
    assert_true(trace_reader_describe_damage(reader, &error));
    char expected[200];
    snprintf(expected, sizeof expected, "app.hsk: damaged at byte %zu: %zu of %zu chunks recovered",
             sample.begin[victim], sample.count - 1, sample.count);
    assert_string_equal(error.text, expected);
    trace_reader_close(reader);
    free(bytes);
}

/* Bytes taken out of the middle, or put in: all chunks that are still in one piece are found. */
static void test_shifted(void **state)
{
    (void)state;
    for (size_t hole = 40; hole + 20 < sample.length; hole += 13) {
        uint8_t *bytes = malloc(sample.length);
        memcpy(bytes, sample.bytes, hole);
        memcpy(bytes + hole, sample.bytes + hole + 20, sample.length - hole - 20);
        struct trace_reader *reader;
        struct error error = {0};
        assert_int_equal(trace_reader_open_memory(bytes, sample.length - 20, "app.hsk", &reader, &error), 0);
        uint64_t expected = 0;
        for (size_t i = 0; i < sample.count; i++)
            if (sample.end[i] <= hole || sample.begin[i] >= hole + 20)
                expected += sample.header[i].event_count;
        assert_int_equal(use_everything(reader), expected);
        assert_false(trace_reader_complete(reader));
        trace_reader_close(reader);
        free(bytes);
    }
}

static int open_bytes(const void *bytes, size_t length, struct error *error)
{
    struct trace_reader *reader;
    *error = (struct error){0};
    int code = trace_reader_open_memory(bytes, length, "app.hsk", &reader, error);
    if (code == 0) {
        use_everything(reader);
        trace_reader_close(reader);
    }
    return code;
}

static void test_foreign(void **state)
{
    (void)state;
    struct error error;
    assert_int_equal(open_bytes("", 0, &error), -EINVAL);
    assert_string_equal(error.text, "app.hsk: is empty: no trace was written");
    static const char text[200] = "#!/bin/sh\necho no trace\n";
    assert_int_equal(open_bytes(text, sizeof text, &error), -EINVAL);
    assert_string_equal(error.text, "app.hsk: is not a heapsake trace");

    uint8_t *bytes = malloc(sample.length);
    memcpy(bytes, sample.bytes, sample.length);
    bytes[8] = 7;
    assert_int_equal(open_bytes(bytes, sample.length, &error), -ENOTSUP);
    assert_non_null(strstr(error.text, "format version 7, written by heapsake 0.1.0"));
    bytes[8] = 1;
    bytes[30] = 1;
    assert_int_equal(open_bytes(bytes, sample.length, &error), -ENOTSUP);
    bytes[30] = 0;
    bytes[16] = 0xff; /* compatible features may be ignored */
    assert_int_equal(open_bytes(bytes, sample.length, &error), 0);
    free(bytes);

    struct trace_reader *reader;
    error = (struct error){0};
    assert_int_equal(trace_reader_open("/tmp/no such folder/x.hsk", &reader, &error), -ENOENT);
    assert_string_equal(error.text, "/tmp/no such folder/x.hsk: cannot open: No such file or directory");
    error = (struct error){0};
    assert_int_equal(trace_reader_open("/dev/null", &reader, &error), -EINVAL);
    error = (struct error){0};
    assert_int_equal(trace_reader_open("/tmp", &reader, &error), -EINVAL);
    assert_string_equal(error.text, "/tmp: is a directory, not a heapsake trace");
}

static void seal(struct hsk_chunk_header *header)
{
    header->header_crc = (uint32_t)crc32(0, (const Bytef *)header, offsetof(struct hsk_chunk_header, header_crc));
}

/* Headers with a valid checksum and any numbers, in front of each chunk's real contents. */
static void test_hostile_headers(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 8, 1000, HSK_MAX_CHUNK_RAW, HSK_MAX_CHUNK_RAW + 1, UINT32_MAX};
    uint8_t *bytes = malloc(sample.length);
    struct error error;
    for (size_t i = 0; i < sample.count; i++) {
        for (size_t raw = 0; raw < HS_COUNT_OF(sizes); raw++) {
            for (unsigned field = 0; field < 7; field++) {
                struct hsk_chunk_header header = sample.header[i];
                switch (field) {
                case 0:
                    header.raw_bytes = sizes[raw];
                    break;
                case 1:
                    header.stored_bytes = sizes[raw];
                    break;
                case 2:
                    header.ordinal_first = HSK_MAX_ORDINAL - sizes[raw] / 2;
                    break;
                case 3:
                    header.ordinal_count = sizes[raw];
                    break;
                case 4:
                    header.event_count = sizes[raw];
                    break;
                case 5:
                    header.type = (uint16_t)(raw < 3 ? HSK_CHUNK_EVENTS : raw < 6 ? HSK_CHUNK_NODES + raw - 3 : 99);
                    break;
                default:
                    header.number = sizes[raw];
                }
                seal(&header);
                memcpy(bytes, sample.bytes, sample.length);
                memcpy(bytes + sample.begin[i], &header, sizeof header);
                assert_int_equal(open_bytes(bytes, sample.length, &error), 0);
            }
        }
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_without_end),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_every_bit_flipped),
        cmocka_unit_test(test_damage_is_noticed),
        cmocka_unit_test(test_shifted),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_hostile_headers),
    };
    return cmocka_run_group_tests(tests, make_samples, free_samples);
}
