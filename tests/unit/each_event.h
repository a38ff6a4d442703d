/*
 * each_event.h - all events of a trace, for a test that looks at them one by one.
 */
#ifndef HEAPSAKE_TESTS_UNIT_EACH_EVENT_H
#define HEAPSAKE_TESTS_UNIT_EACH_EVENT_H

#include <stdbool.h>

#include "trace/decode.h"
#include "trace/trace_reader.h"

typedef void event_visit(void *context, const struct event *event);

/*
 * Visits the events of all EVENTS chunks in the order of the file, ticks and switches of threads too; without
 * `addresses` they have none. The test fails where a chunk cannot be read.
 */
void each_event(struct trace_reader *reader, bool addresses, event_visit *visit, void *context);

#endif
