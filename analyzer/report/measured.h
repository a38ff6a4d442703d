/*
 * measured.h - of one trace all that a limit can speak about.
 *
 * A trace is measured only when it can be relied on: whole, of a run that came to its end, without lost events, and,
 * where leaks are asked about, with a whole snapshot of that end. Anything else is EXIT_UNUSABLE, and said: what was
 * not seen must never pass.
 */
#ifndef HEAPSAKE_REPORT_MEASURED_H
#define HEAPSAKE_REPORT_MEASURED_H

#include "command.h"
#include "model/baseline.h"
#include "model/leak_causes.h"
#include "model/suppressions.h"
#include "report/graph_report.h"
#include "report/report.h"

struct measured {
    struct report report;
    struct graph_report graph;
    struct leaks leaks;
    bool has_leaks; /* they were asked for                                                        */
    size_t *sure;   /* indexes of leaks.list: those that count, the most important first           */
    size_t sure_count;
    uint64_t suppressed, suppressed_bytes;
    struct baseline state; /* totals and sure leaks, as a baseline would have them; leaked and leaks: if has_leaks */
};

/*
 * Opens and measures a trace; `suppressions` may be NULL. An enum exit_code; what is wrong has been printed. The caller
 * closes it in any case.
 */
int measured_open(struct measured *measured, const char *path, bool leaks, struct suppressions *suppressions);
void measured_close(struct measured *measured);

/* Where the most bytes were at the peak, where they are at the end, where most was allocated (count is of allocations).
 */
enum measured_sites { MEASURED_AT_PEAK, MEASURED_AT_END, MEASURED_ALLOCATED };

/* Fills `sites`, largest first (by count for MEASURED_ALLOCATED). Reads the trace again. The caller frees them. */
int measured_find_sites(struct measured *measured, enum measured_sites which, struct sites *sites);

#endif
