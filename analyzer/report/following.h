/*
 * following.h - a trace that is being written, read as far as it goes, and further whenever somebody asks.
 *
 * All numbers are as of the last event that is in the file. What was read stays read: going on costs what has been
 * written since. Not thread-safe.
 */
#ifndef HEAPSAKE_REPORT_FOLLOWING_H
#define HEAPSAKE_REPORT_FOLLOWING_H

#include "model/lifetimes.h"
#include "model/mark_table.h"
#include "model/regions.h"
#include "trace/trace_reader.h"

struct following {
    struct trace_reader *reader;
    struct lifetimes *lifetimes;
    struct mark_table marks;
    struct regions regions;
    /* private */
    struct events *events;
    size_t read; /* chunks of the reader that are through */
};

/* 0 or a negative errno; there is nothing to close then. */
int following_open(struct following *following, const char *path, struct error *error);
void following_close(struct following *following);

/* Reads what has come. A damaged chunk, or one without which the counting is wrong, is an error. 0 or
 * a negative errno. */
int following_go_on(struct following *following, struct error *error);

/* The last region of that name but `back`; NULL: there is none. Valid until the trace is read further. */
const struct region *following_find(const struct following *following, const char *name, size_t length, uint64_t back);

/* What was born in a region and lives now, in the order of the births. */
void following_visit(const struct following *following, const struct region *region, life_visit *visit, void *context);

#endif
