/*
 * region_leaks.h - the leaks of a trace, as far as they were born in a region.
 *
 * A leak is found in the whole graph of a snapshot, as heapsake leaks finds it, and counted here by those of its
 * objects and blocks that were born in any occurrence of the region. The snapshot is the first whole one at or after
 * the end of the last occurrence, so that what a program frees later on is judged as it was then; where the region
 * never ended, the last whole one.
 *
 *     region_leaks_snapshot(&number, report, &snapshots, named, text);
 *     leak_report_find(&leaks, &graph, report, number);
 *     region_leaks_take(&of_region, &leaks, &graph, named);
 */
#ifndef HEAPSAKE_REPORT_REGION_LEAKS_H
#define HEAPSAKE_REPORT_REGION_LEAKS_H

#include "model/leak_causes.h"
#include "report/graph_report.h"

struct region_leaks {
    const struct named_region *named;
    struct leak *list; /* copies: explanations are their own, all else belongs to the leaks that they were taken from */
    size_t count;      /* in the order of those */
};

/* Which snapshot a region is judged at. EXIT_UNUSABLE, and says so, when there is none; `text` is its name. */
int region_leaks_snapshot(int64_t *number, const struct report *report, const struct graph_snapshots *snapshots,
                          const struct named_region *named, const char *text);

/* 0 or -ENOMEM. `graph` is as leak_report_find() has left it. */
int region_leaks_take(struct region_leaks *of_region, const struct leaks *leaks, const struct graph_report *graph,
                      const struct named_region *named);
void region_leaks_free(struct region_leaks *of_region);

#endif
