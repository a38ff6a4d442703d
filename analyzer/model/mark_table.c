/* mark_table.c - see mark_table.h */
#include "model/mark_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "trace/mark_records.h"

void mark_table_free(struct mark_table *table)
{
    intern_free(&table->names);
    map64_free(&table->by_number);
    map64_free(&table->by_occurrence);
    free(table->occurrences);
    *table = MARK_TABLE_INIT;
}

/* False when memory runs out. */
static bool add_name(struct mark_table *table, const struct mark_record *record)
{
    uint32_t name = intern_bytes(&table->names, record->name, record->length);
    return name != 0 && map64_put(&table->by_number, record->name_number, name);
}

/* Likewise. */
static bool add_occurrence(struct mark_table *table, const struct mark_record *record)
{
    if (!grow((void **)&table->occurrences, table->occurrence_count, &table->occurrence_capacity,
              sizeof *table->occurrences))
        return false;
    table->occurrences[table->occurrence_count] =
        (struct mark_occurrence){.name = mark_table_name(table, record->name_number), .flags = record->flags};
    return map64_put(&table->by_occurrence, record->occurrence, table->occurrence_count++);
}

int mark_table_load(struct mark_table *table, struct trace_reader *reader, struct error *error)
{
    *table = MARK_TABLE_INIT;
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].header.type != HSK_CHUNK_MARKS)
            continue;
        table->any = true;
        if (trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        struct cursor cursor = {.at = raw, .end = raw + length};
        struct mark_record record;
        while (mark_records_next(&cursor, &record)) {
            if (!(record.is_name ? add_name(table, &record) : add_occurrence(table, &record))) {
                mark_table_free(table);
                return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
            }
        }
        if (cursor.failed)
            trace_reader_damaged(reader, i, "its marks cannot be read");
    }
    return 0;
}

uint32_t mark_table_name(const struct mark_table *table, uint64_t mark_number)
{
    uint32_t name = 0;
    map64_get(&table->by_number, mark_number, &name);
    return name;
}

const struct mark_occurrence *mark_table_occurrence(const struct mark_table *table, uint64_t occurrence)
{
    uint32_t index;
    return map64_get(&table->by_occurrence, occurrence, &index) ? &table->occurrences[index] : NULL;
}

const char *mark_table_text(const struct mark_table *table, uint32_t name, size_t *length)
{
    static const char unknown[] = "(unknown name)";
    if (name)
        return intern_get(&table->names, name, length);
    if (length)
        *length = sizeof unknown - 1;
    return unknown;
}
