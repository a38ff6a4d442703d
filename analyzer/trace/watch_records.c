/* watch_records.c - see watch_records.h */
#include "trace/watch_records.h"

#include "heapsake/trace_format.h"
#include "internal/compiler.h"

static void take_begin(struct cursor *cursor, struct watch_record *record)
{
    record->watch = (uint32_t)cursor_varint(cursor);
    uint64_t request = cursor_varint(cursor);
    record->by_program = request == 0;
    record->request = request ? request - 1 : 0;
    record->address = cursor_varint(cursor);
    record->bytes = cursor_varint(cursor);
    record->count = cursor_varint(cursor);
    uint64_t ordinal = cursor_varint(cursor);
    record->in_block = ordinal != 0;
    record->ordinal = ordinal ? ordinal - 1 : 0;
    record->type = (uint32_t)cursor_varint(cursor);
    record->node = (uint32_t)cursor_varint(cursor);
    record->flags = (uint32_t)cursor_varint(cursor);
    record->time_ns = cursor_varint(cursor);
}

bool watch_records_next(struct cursor *cursor, struct watch_record *record)
{
    if (cursor->failed || cursor->at >= cursor->end)
        return false;
    *record = (struct watch_record){0};
    switch (cursor_varint(cursor)) {
    case 0:
        take_begin(cursor, record);
        break;
    case 1:
        record->ends = true;
        record->watch = (uint32_t)cursor_varint(cursor);
        record->reason = (uint32_t)cursor_varint(cursor);
        record->count = cursor_varint(cursor);
        record->time_ns = cursor_varint(cursor);
        break;
    default:
        cursor->failed = true;
    }
    return !cursor->failed;
}

const char *watch_end_name(uint32_t reason)
{
    static const char *const names[] = {
        [HSK_WATCH_DIED] = "died",         [HSK_WATCH_REPLACED] = "replaced", [HSK_WATCH_BUSY] = "busy",
        [HSK_WATCH_ASKED] = "asked",       [HSK_WATCH_FAILED] = "failed",     [HSK_WATCH_COLD] = "cold",
        [HSK_WATCH_DETACHED] = "detached",
    };
    return reason < HS_COUNT_OF(names) && names[reason] ? names[reason] : "unknown";
}

const char *count_source_name(unsigned source)
{
    static const char *const names[HSK_COUNT_SOURCES] = {
        [HSK_COUNT_WATCH] = "watch",
        [HSK_COUNT_ENTRY_POINT] = "entry-point",
        [HSK_COUNT_INSTRUMENTED] = "instrumented",
        [HSK_COUNT_GOBJECT] = "gobject",
        [HSK_COUNT_PAIR] = "pair",
    };
    return source < HSK_COUNT_SOURCES ? names[source] : "unknown";
}
