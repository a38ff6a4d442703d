/*
 * watch_records.h - the records of a WATCHES chunk, one after the other: watches that begin, and that end.
 *
 *     struct cursor cursor = {.at = raw, .end = raw + length};
 *     struct watch_record record;
 *     while (watch_records_next(&cursor, &record))
 *         ...
 *     if (cursor.failed)
 *         the chunk is damaged
 *
 * What they say is someone else's claim: numbers, ordinals and nodes may be any.
 */
#ifndef HEAPSAKE_TRACE_WATCH_RECORDS_H
#define HEAPSAKE_TRACE_WATCH_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct watch_record {
    bool ends;
    uint32_t watch;
    uint64_t count; /* then            */
    uint64_t time_ns;
    uint32_t reason; /* of the end: enum hsk_watch_end */

    /* of the begin: */
    bool by_program;  /* else `request` of --watch */
    uint64_t request; /* from 0                    */
    uint64_t address, bytes;
    bool in_block;
    uint64_t ordinal; /* of the block */
    uint32_t type, node;
    uint32_t flags; /* enum hsk_watch_flag */
};

/* False at the end, and where it is damaged. */
bool watch_records_next(struct cursor *cursor, struct watch_record *record);

/* "died" ...; "unknown" for what no version has. */
const char *watch_end_name(uint32_t reason);

/* "watch", "entry-point" ... of an enum hsk_count_source; "unknown" for what no version has. */
const char *count_source_name(unsigned source);

#endif
