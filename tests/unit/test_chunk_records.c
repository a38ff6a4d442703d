/*
 * test_chunk_records.c - the chunks of a trace are read in their order, each by the function for its type, and what is
 * wrong with one keeps nobody from the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "record/trace_writer.h"
#include "temporary_file.h"
#include "trace/chunk_records.h"

/* Records: digits, and these. */
#define WRONG 99u /* cannot be read                  */
#define LAST 98u  /* there is no memory for it       */

struct seen {
    char chunks[64]; /* "n" or "m" for each, and its records */
};

static bool read_records(struct seen *seen, char name, struct cursor *cursor)
{
    size_t at = strlen(seen->chunks);
    seen->chunks[at++] = name;
    while (cursor->at < cursor->end && !cursor->failed) {
        uint64_t record = cursor_varint(cursor);
        cursor->failed |= record == WRONG;
        if (record == LAST)
            return false;
        if (!cursor->failed)
            seen->chunks[at++] = (char)('0' + record);
    }
    return true;
}

static bool read_nodes(void *context, struct cursor *cursor)
{
    return read_records(context, 'n', cursor);
}

static bool read_modules(void *context, struct cursor *cursor)
{
    return read_records(context, 'm', cursor);
}

static chunk_reader *const readers[] = {[HSK_CHUNK_NODES] = read_nodes, [HSK_CHUNK_MODULES] = read_modules};

struct chunk {
    enum hsk_chunk_type type;
    uint8_t records[4]; /* up to a 0 */
};

static struct trace_reader *written(const struct chunk *chunks, size_t count)
{
    struct trace_writer *writer;
    struct trace_reader *reader;
    struct error error = {0};
    assert_int_equal(trace_writer_open(&writer, temporary_file, true, &error), 0);
    for (size_t i = 0; i < count; i++) {
        struct buf raw = BUF_INIT;
        buf_append(&raw, chunks[i].records, strlen((const char *)chunks[i].records));
        assert_int_equal(trace_writer_buf(writer, chunks[i].type, &raw, 0, 0, &error), 0);
        buf_free(&raw);
    }
    assert_int_equal(trace_writer_finish(writer, &error), 0);
    assert_int_equal(trace_reader_open(temporary_file, &reader, &error), 0);
    return reader;
}

static void test_in_their_order(void **state)
{
    (void)state;
    static const struct chunk chunks[] = {{HSK_CHUNK_MODULES, {1}},
                                          {HSK_CHUNK_CODES, {5}},
                                          {HSK_CHUNK_NODES, {2, 3}},
                                          {HSK_CHUNK_SYMBOLS, {6}},
                                          {HSK_CHUNK_MODULES, {4}}};
    struct trace_reader *reader = written(chunks, HS_COUNT_OF(chunks));
    struct seen seen = {0};
    assert_true(chunk_records_read(reader, readers, HS_COUNT_OF(readers), &seen));
    assert_string_equal(seen.chunks,
                        "m1n23m4"); /* types without a function, in the table and beyond it, are passed by */
    memset(&seen, 0, sizeof seen);
    assert_true(chunk_records_read(reader, readers, HSK_CHUNK_NODES + 1, &seen));
    assert_string_equal(seen.chunks, "n23");
    assert_int_equal(trace_reader_lost_chunks(reader), 0);
    trace_reader_close(reader);
}

static void test_damaged(void **state)
{
    (void)state;
    static const struct chunk chunks[] = {{HSK_CHUNK_NODES, {1, WRONG, 2}},
                                          {HSK_CHUNK_MODULES, {3}},
                                          {HSK_CHUNK_NODES, {4, WRONG}},
                                          {HSK_CHUNK_NODES, {5}}};
    struct trace_reader *reader = written(chunks, HS_COUNT_OF(chunks));
    size_t known = reader->problem_count; /* there is no END */
    struct seen seen = {0};
    assert_true(chunk_records_read(reader, readers, HS_COUNT_OF(readers), &seen));
    assert_string_equal(seen.chunks, "n1m3n4n5");
    assert_int_equal(trace_reader_lost_chunks(reader), 2);
    assert_int_equal(reader->problem_count, known + 2);
    for (size_t i = known; i < known + 2; i++) {
        assert_non_null(strstr((const char *)reader->problems[i].data, "NODES"));
        assert_non_null(strstr((const char *)reader->problems[i].data, "its records cannot be read"));
    }
    /* what is known to be damaged is not read again */
    memset(&seen, 0, sizeof seen);
    assert_true(chunk_records_read(reader, readers, HS_COUNT_OF(readers), &seen));
    assert_string_equal(seen.chunks, "m3n5");
    assert_int_equal(reader->problem_count, known + 2);
    trace_reader_close(reader);
}

static void test_no_memory(void **state)
{
    (void)state;
    static const struct chunk chunks[] = {
        {HSK_CHUNK_NODES, {1}}, {HSK_CHUNK_MODULES, {2, LAST}}, {HSK_CHUNK_NODES, {3}}};
    struct trace_reader *reader = written(chunks, HS_COUNT_OF(chunks));
    struct seen seen = {0};
    assert_false(chunk_records_read(reader, readers, HS_COUNT_OF(readers), &seen));
    assert_string_equal(seen.chunks, "n1m2");
    assert_int_equal(trace_reader_lost_chunks(reader), 0); /* nothing is wrong with the file */
    trace_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_their_order),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, temporary_file_make, temporary_file_remove);
}
