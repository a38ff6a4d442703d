/*
 * trace_moment.h - a moment of a trace, as people name it, and where among the events it lies.
 *
 *     FILE                at the end (report.h says which moment that is)
 *     FILE@end            the same
 *     FILE@12.5s          so long after the start; also 12.5 and 250ms
 *     FILE@peak           at the high-water mark
 *     FILE@snapshot:2     when that snapshot was taken
 *     FILE@mark:loaded    at the last mark of that name; FILE@mark:loaded#2 at the second one
 *
 * A file whose name holds an @ can be named all the same: the longest part that is the name of an existing file is the
 * file.
 */
#ifndef HEAPSAKE_MODEL_TRACE_MOMENT_H
#define HEAPSAKE_MODEL_TRACE_MOMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/trace_info.h"
#include "trace/trace_reader.h"

enum moment_kind { MOMENT_END = 0, MOMENT_TIME, MOMENT_PEAK, MOMENT_SNAPSHOT, MOMENT_MARK };

struct trace_moment {
    enum moment_kind kind;
    uint64_t time_ns;  /* MOMENT_TIME     */
    uint32_t snapshot; /* MOMENT_SNAPSHOT */
    const char *mark;  /* MOMENT_MARK: "mark:NAME", in the text that was parsed, which stays as long as the moment */
};

/* So many seconds after the start; not negative. */
struct trace_moment trace_moment_at(double seconds);

/* What stands behind the @. -EINVAL: it is no moment that a trace can have, and `error` says which there are. */
int trace_moment_read(const char *text, struct trace_moment *moment, struct error *error);

/*
 * Takes FILE@MOMENT apart; the caller frees *path. -EINVAL: it is no moment that a trace can have, and `error` says
 * which there are. -ENOMEM.
 */
int trace_moment_parse(const char *operand, char **path, struct trace_moment *moment, struct error *error);

#define TRACE_MOMENT_TEXT_SIZE 48
/* As it is named behind the @. Fills `text` and returns it, or what was parsed: it may be of any length, and hold any
 * bytes. */
const char *trace_moment_text(const struct trace_moment *moment, char text[TRACE_MOMENT_TEXT_SIZE]);

/* The events up to a moment: as long as both hold (life_replay in lifetimes.h). */
struct moment_point {
    uint64_t until_ns, until_event; /* at the end: all events                                              */
    uint64_t time_ns;               /* of the moment; of the peak, and at the end, only the replay tells it */
    bool told;                      /* END says that the peak is there: whoever goes there sees whether it is */
};

/*
 * Where the moment is. With `trust`, the trace's word for its peak is taken where nothing is known that speaks against
 * it; else the events are gone through. -ENOENT: the trace has no such snapshot or mark, and `error` says which it has.
 * -ENOMEM.
 */
int trace_moment_resolve(const struct trace_moment *moment, struct trace_reader *reader, const struct trace_info *info,
                         bool trust, struct moment_point *point, struct error *error);

#endif
