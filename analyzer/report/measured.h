/*
 * measured.h - of one trace all that a limit can speak about.
 *
 * A trace is measured only when it can be relied on: whole, of a run that came to its end, without lost events, and,
 * where leaks are asked about, with a whole snapshot of that end, or of the moment after a region. Anything else is
 * EXIT_UNUSABLE, and said: what was not seen must never pass.
 *
 * While a trace is still being written, limits of regions that have ended, and of marks, can be checked: no others.
 */
#ifndef HEAPSAKE_REPORT_MEASURED_H
#define HEAPSAKE_REPORT_MEASURED_H

#include "command.h"
#include "model/baseline.h"
#include "model/leak_causes.h"
#include "model/limits.h"
#include "model/suppressions.h"
#include "report/graph_report.h"
#include "report/region_leaks.h"
#include "report/report.h"

/* What was born in a region and leaked, as far as it counts. */
struct measured_region {
    struct region_leaks leaks;
    size_t *sure; /* indexes of leaks.list, as below */
    size_t sure_count;
    uint64_t leaked;
};

struct measured {
    struct report report;
    struct graph_report graph;
    struct leaks leaks;
    bool growing;   /* the trace is still being written                                           */
    bool has_leaks; /* they were asked for                                                        */
    size_t *sure;   /* indexes of leaks.list: those that count, the most important first           */
    size_t sure_count;
    uint64_t suppressed, suppressed_bytes;
    struct measured_region *regions; /* those of which a limit asks for leaks, in the order of the limits */
    size_t region_count;
    struct leaks *region_leaks; /* of the snapshots that they are judged at */
    size_t region_leaks_count;
    struct baseline state; /* totals and sure leaks, as a baseline would have them; leaked and leaks: if has_leaks */
};

/*
 * Opens and measures a trace: all of it, with its leaks if `leaks`, and what `limits` (NULL: none) ask of regions and
 * marks; `suppressions` may be NULL. An enum exit_code; what is wrong has been printed. The caller closes it in any
 * case.
 */
int measured_open(struct measured *measured, const char *path, bool leaks, const struct limits *limits,
                  struct suppressions *suppressions);
void measured_close(struct measured *measured);

/* Of a limit of a region or of marks, which measured_open() has found: what has that name. */
const struct named_region *measured_named(const struct measured *measured, const struct limit *limit);
/* Its leaks, of a limit that asks for them. */
const struct measured_region *measured_region(const struct measured *measured, const struct limit *limit);

#endif
