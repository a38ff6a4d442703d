/* each_event.c - see each_event.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "each_event.h"

void each_event(struct trace_reader *reader, bool addresses, event_visit *visit, void *context)
{
    struct events *events = malloc(sizeof *events);
    struct event event = {0};
    assert_non_null(events);
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        const char *wrong = NULL;
        if (reader->chunks[i].header.type != HSK_CHUNK_EVENTS)
            continue;
        assert_int_equal(trace_reader_load(reader, i, &raw, &length), 0);
        assert_true(events_begin(events, &reader->chunks[i].header, raw, length, &wrong));
        while (events_next(events, &event, addresses))
            visit(context, &event);
    }
    free(events);
}
