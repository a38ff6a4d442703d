/*
 * mark_writer.h - the marks and regions of one session, on their way into its trace.
 *
 * Names and regions get their numbers here. The same name gets the same number as long as it is remembered: a program
 * that makes up names without end has them in its trace, but not in the recorder's memory. Not thread-safe.
 */
#ifndef HEAPSAKE_RECORD_MARK_WRITER_H
#define HEAPSAKE_RECORD_MARK_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/intern.h"
#include "internal/event.h"
#include "record/encode.h"
#include "record/open_regions.h"

struct mark_writer {
    struct intern names;   /* that are remembered: number - names_before */
    uint64_t names_before; /* numbers of names that are not              */
    size_t name_bytes;
    uint64_t last_occurrence;
    struct open_regions open;
    struct buf payload; /* of the next MARKS chunk: to be written before the events */
    bool full;          /* ends of regions will be missing: more were open than can be remembered */
};

void mark_writer_free(struct mark_writer *writer);

/*
 * Writes the mark among the events; `name` has message->name_length bytes. An end of a region that is not open here (it
 * began in the process that this one was forked from, or before the tracing) is left out. False: no such mark exists.
 */
bool mark_writer_take(struct mark_writer *writer, struct encoder *encoder, const struct hs_message_mark *message,
                      const void *name);

#endif
