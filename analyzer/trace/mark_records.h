/*
 * mark_records.h - the records of a MARKS chunk, one after the other: names, and occurrences of regions.
 *
 *     struct cursor cursor = {.at = raw, .end = raw + length};
 *     struct mark_record record;
 *     while (mark_records_next(&cursor, &record))
 *         ...
 *     if (cursor.failed)
 *         the chunk is damaged
 *
 * What they say is someone else's claim: numbers may be any, also of names that are nowhere described.
 */
#ifndef HEAPSAKE_TRACE_MARK_RECORDS_H
#define HEAPSAKE_TRACE_MARK_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct mark_record {
    bool is_name;         /* else an occurrence of a region                            */
    uint64_t name_number; /* of the name; of an occurrence: what its region is called   */
    const char *name;     /* of a name: `length` bytes of the chunk, not terminated     */
    size_t length;
    uint64_t occurrence; /* of an occurrence          */
    uint32_t flags;      /* ... enum hsk_region_flag   */
};

/* False at the end, and where it is damaged. */
bool mark_records_next(struct cursor *cursor, struct mark_record *record);

/* "finalize", "fork", "mark", "region-begin", "region-end"; "unknown" for what no version has. */
const char *mark_kind_name(unsigned mark);

#endif
