/* chunk_records.c - see chunk_records.h */
#include "trace/chunk_records.h"

bool chunk_records_read(struct trace_reader *reader, chunk_reader *const *readers, size_t count, void *context)
{
    bool goes_on = true;
    for (size_t i = 0; i < reader->chunk_count && goes_on; i++) {
        unsigned type = reader->chunks[i].header.type;
        chunk_reader *read_records = type < count ? readers[type] : NULL;
        const uint8_t *raw;
        size_t length;
        if (!read_records || trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        struct cursor cursor = {.at = raw, .end = raw + length};
        goes_on = read_records(context, &cursor);
        if (cursor.failed)
            trace_reader_damaged(reader, i, "its records cannot be read");
    }
    return goes_on;
}
