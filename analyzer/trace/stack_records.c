/* stack_records.c - see stack_records.h */
#include "trace/stack_records.h"

#include "trace/chunk_records.h"

struct node_records node_records_of(struct cursor *cursor)
{
    return (struct node_records){.cursor = cursor, .number = cursor_varint(cursor)};
}

bool node_records_next(struct node_records *records, struct node_record *record)
{
    struct cursor *cursor = records->cursor;
    for (;;) {
        if (cursor->failed || cursor->at >= cursor->end)
            return false;
        uint64_t kind = cursor_varint(cursor), distance = cursor_varint(cursor), number = records->number++;
        *record = (struct node_record){.kind = (uint8_t)kind};
        if (kind == HSK_NODE_PYTHON) {
            records->code += (uint32_t)cursor_signed(cursor);
            record->frame = (uint64_t)records->code << 32 | (uint32_t)cursor_varint(cursor);
        } else if (kind == HSK_NODE_NATIVE) {
            records->frame += (uint64_t)cursor_signed(cursor);
            record->frame = records->frame;
        } else if (kind == HSK_NODE_SOURCE) {
            record->frame = cursor_varint(cursor);
        } else if (kind >= HSK_NODE_KINDS) {
            cursor->failed = true;
        }
        cursor->failed |= number > HSK_MAX_NODE || distance > number;
        if (cursor->failed)
            return false;
        if (number == 0)
            continue; /* 0 is the root */
        record->number = (uint32_t)number;
        /* a parent always has a smaller number, so there are no circles */
        record->parent = distance ? (uint32_t)(number - distance) : 0;
        return true;
    }
}

static const char *take_text(struct cursor *cursor, size_t *length)
{
    const char *text = cursor_string(cursor, length);
    cursor->failed |= *length > HSK_MAX_STRING;
    return text;
}

bool module_records_next(struct cursor *cursor, struct module_record *record)
{
    if (cursor->failed || cursor->at >= cursor->end)
        return false;
    record->index = cursor_varint(cursor);
    record->start = cursor_varint(cursor);
    record->end = cursor_varint(cursor);
    record->bias = cursor_signed(cursor);
    record->epoch = cursor_varint(cursor);
    record->flags = cursor_varint(cursor);
    record->build_id = take_text(cursor, &record->build_id_length);
    record->path = take_text(cursor, &record->path_length);
    return !cursor->failed;
}

uint64_t symbol_strings_count(struct cursor *cursor)
{
    uint64_t count = cursor_varint(cursor);
    cursor->failed |= count > (uint64_t)(cursor->end - cursor->at);
    return cursor->failed ? 0 : count;
}

bool symbol_records_next(struct cursor *cursor, struct symbol_record *record)
{
    if (cursor->failed || cursor->at >= cursor->end)
        return false;
    record->frame = cursor_varint(cursor);
    record->module = cursor_varint(cursor);
    record->offset = cursor_varint(cursor);
    record->functions = cursor_varint(cursor);
    return !cursor->failed;
}

bool symbol_functions_take(struct cursor *cursor, uint64_t string_count, struct symbol_function_record *function)
{
    function->function = cursor_varint(cursor);
    function->file = cursor_varint(cursor);
    function->line = (uint32_t)cursor_varint(cursor);
    cursor->failed |= function->function > string_count || function->file > string_count;
    return !cursor->failed;
}

static bool count_symbols(void *context, struct cursor *cursor)
{
    struct symbol_counts *counts = context;
    struct symbol_record record;
    uint64_t strings = symbol_strings_count(cursor);
    for (uint64_t i = 0; i < strings && !cursor->failed; i++) {
        size_t length;
        take_text(cursor, &length);
    }
    while (symbol_records_next(cursor, &record)) {
        struct symbol_function_record function;
        bool named = record.functions > 0;
        for (uint64_t i = 0; i < record.functions && symbol_functions_take(cursor, strings, &function); i++)
            named &= function.function != 0;
        counts->frames++;
        counts->without_function += !named;
    }
    return true;
}

void symbol_counts_read(struct symbol_counts *counts, struct trace_reader *reader)
{
    static chunk_reader *const readers[] = {[HSK_CHUNK_SYMBOLS] = count_symbols};
    *counts = (struct symbol_counts){0};
    chunk_records_read(reader, readers, HS_COUNT_OF(readers), counts);
}
