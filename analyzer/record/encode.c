/* encode.c - see encode.h */
#include "record/encode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record/trace_writer.h"

/* Bytes per op at most: 40 bits of ordinal, 62 of address and 24 of node, zigzag coded, any size, any 64 bits. */
static const uint8_t column_width[HSK_COLUMNS] = {
    [HSK_COLUMN_OPS] = 1,
    [HSK_COLUMN_ENDED] = VARINT_MAX,
    [HSK_COLUMN_ADDRESS] = VARINT_MAX,
    [HSK_COLUMN_NODE] = 5,
    [HSK_COLUMN_SIZE] = VARINT_MAX,
    [HSK_COLUMN_EXTRA] = VARINT_MAX,
    [HSK_COLUMN_TYPE] = 5,
    [HSK_COLUMN_BLOCK] = VARINT_MAX,
    [HSK_COLUMN_COUNTED] = VARINT_MAX,
    [HSK_COLUMN_COUNT] = VARINT_MAX,
};

static void begin_chunk(struct encoder *e)
{
    memcpy(e->end, e->begin, sizeof e->end);
    memset(e->last_address, 0, sizeof e->last_address);
    e->op_count = e->event_count = 0;
    e->first_ordinal = e->last_ended = e->last_object = e->last_counted = e->next_ordinal;
    e->last_node = 0;
    e->first_time_ns = e->time_ns;
    e->first_thread = e->thread;
}

int encoder_init(struct encoder *e, uint64_t first_ordinal, uint64_t time_ns)
{
    size_t bytes = 0;
    for (int column = 0; column < HSK_COLUMNS; column++)
        bytes += (size_t)column_width[column] * (ENCODER_OPS + ENCODER_SLACK);
    /* Mostly never touched: the pages that a column does not reach cost nothing. */
    uint8_t *memory = malloc(bytes);
    if (!memory)
        return -ENOMEM;
    *e = (struct encoder){.next_ordinal = first_ordinal, .time_ns = time_ns, .memory = memory};
    for (int column = 0; column < HSK_COLUMNS; column++) {
        e->begin[column] = memory;
        memory += (size_t)column_width[column] * (ENCODER_OPS + ENCODER_SLACK);
    }
    begin_chunk(e);
    return 0;
}

void encoder_destroy(struct encoder *e)
{
    free(e->memory);
    *e = (struct encoder){0};
}

int encoder_flush(struct encoder *e, struct trace_writer *writer, struct error *error)
{
    if (e->op_count == 0)
        return 0;
    assert(e->op_count <= ENCODER_OPS + ENCODER_SLACK);
    struct hsk_events events = {.op_count = e->op_count, .thread = e->first_thread};
    struct trace_part parts[1 + HSK_COLUMNS] = {{&events, sizeof events}};
    for (int column = 0; column < HSK_COLUMNS; column++) {
        size_t length = (size_t)(e->end[column] - e->begin[column]);
        events.column_bytes[column] = (uint32_t)length;
        parts[1 + column] = (struct trace_part){e->begin[column], length};
    }
    struct trace_chunk chunk = {
        .type = HSK_CHUNK_EVENTS,
        .time_first_ns = e->first_time_ns,
        .time_last_ns = e->time_ns,
        .ordinal_first = e->first_ordinal,
        .ordinal_count = (uint32_t)(e->next_ordinal - e->first_ordinal),
        .event_count = e->event_count,
        .parts = parts,
        .part_count = HS_COUNT_OF(parts),
    };
    int code = trace_writer_chunk(writer, &chunk, error);
    begin_chunk(e);
    return code;
}
