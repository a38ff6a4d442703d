/*
 * type_totals.h - Python objects by type: what `heapsake objects` shows, from wherever a trace tells it.
 */
#ifndef HEAPSAKE_REPORT_TYPE_TOTALS_H
#define HEAPSAKE_REPORT_TYPE_TOTALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "report/report.h"

struct type_total {
    const char *name; /* "module.qualname", builtins bare; belongs to the report or to `names` */
    uint64_t live, live_bytes;
    uint64_t created, died;
    uint64_t median_ns; /* of the lifetimes of those that died */
};

struct type_totals {
    struct type_total *list;
    size_t count;
    bool births; /* created, died and median_ns are known */
    /* Without births: the snapshot that tells which objects live. */
    uint32_t snapshot;
    char reason[16];
    uint64_t time_ns;
    /* private */
    struct intern names;
};

#define TYPE_TOTALS_INIT ((struct type_totals){0})

/*
 * At the end (report.h), of types that have or had objects, in no order; where the trace has no births, at its last
 * whole snapshot, of what lies on the heap. `report` has been replayed with its objects. -ENODATA: the trace does not
 * tell; `error` says why and what to do. -ENOMEM. -EBADMSG: the snapshot cannot be had, which has been printed.
 */
int type_totals_get(struct type_totals *totals, struct report *report, struct error *error);

/*
 * From one of the two alone, also of another moment that `report` was replayed to: births need that the trace has some
 * (type_totals_has_births()); of a snapshot its number, -1: the last whole one. -ENODATA: it has none.
 */
bool type_totals_has_births(const struct report *report);
int type_totals_of_births(struct type_totals *totals, const struct report *report);
int type_totals_of_snapshot(struct type_totals *totals, struct report *report, int64_t snapshot);
void type_totals_free(struct type_totals *totals);

#endif
