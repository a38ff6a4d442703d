/* mark_records.c - see mark_records.h */
#include "trace/mark_records.h"

#include "heapsake/trace_format.h"
#include "internal/compiler.h"

bool mark_records_next(struct cursor *cursor, struct mark_record *record)
{
    if (cursor->failed || cursor->at >= cursor->end)
        return false;
    *record = (struct mark_record){0};
    switch (cursor_varint(cursor)) {
    case 0:
        record->is_name = true;
        record->name_number = cursor_varint(cursor);
        record->name = cursor_string(cursor, &record->length);
        cursor->failed |= record->length > HSK_MAX_STRING;
        break;
    case 1:
        record->occurrence = cursor_varint(cursor);
        record->name_number = cursor_varint(cursor);
        record->flags = (uint32_t)cursor_varint(cursor);
        break;
    default:
        cursor->failed = true;
    }
    return !cursor->failed;
}

const char *mark_kind_name(unsigned mark)
{
    static const char *const names[] = {
        [HSK_MARK_FINALIZE] = "finalize",
        [HSK_MARK_FORK] = "fork",
        [HSK_MARK_NAMED] = "mark",
        [HSK_MARK_REGION_BEGIN] = "region-begin",
        [HSK_MARK_REGION_END] = "region-end",
    };
    return mark < HS_COUNT_OF(names) && names[mark] ? names[mark] : "unknown";
}
