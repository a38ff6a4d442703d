/*
 * profile.h - what an export holds: bytes and blocks by site, of one moment or of the whole run.
 *
 *     status = profile_open(&profile, path, &wishes);
 *     if (status == EXIT_DONE)
 *         ... format->write(stream, &profile) (profile_format.h)
 *     profile_close(&profile);
 */
#ifndef HEAPSAKE_REPORT_PROFILE_H
#define HEAPSAKE_REPORT_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/leak_causes.h"
#include "report/report.h"

/* All as the options of `heapsake export` have them. */
struct profile_wishes {
    const char *what;      /* "live", "peak", "leaked", "allocated", "temporary" */
    const char *stacks;    /* "python", "native", "hybrid"                       */
    const char *weight;    /* "bytes", "blocks": of formats that know only one   */
    double min_confidence; /* of "leaked"                                        */
};

struct profile_sample {
    struct site site;        /* of a leak only stack, count and bytes */
    const struct leak *leak; /* NULL: it is no leak                   */
};

struct profile {
    struct profile_wishes wishes;
    struct report report;
    struct leaks leaks;
    struct profile_sample *samples; /* most bytes first; of leaks the most important first */
    size_t count;
    uint64_t total_count, total_bytes;
    bool has_time; /* it is of one moment: */
    uint64_t time_ns;
};

/* An enum exit_code; what is wrong has been printed. To be closed in every case. */
int profile_open(struct profile *profile, const char *path, const struct profile_wishes *wishes);
void profile_close(struct profile *profile);

/* "live at the end": what it is of, for people. */
const char *profile_title(const struct profile *profile);

#endif
