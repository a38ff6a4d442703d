/*
 * profile_format.h - a format that profiles are exported in: one file out_*.c each, and its row in cmd_export.c.
 */
#ifndef HEAPSAKE_REPORT_PROFILE_FORMAT_H
#define HEAPSAKE_REPORT_PROFILE_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

#include "report/profile.h"

struct profile_format {
    const char *name;
    const char *opened_by; /* a command line or a place, with the word FILE in it; NULL: nothing to say */
    bool binary;           /* not for terminals */
    /*
     * Writes all of the profile. Names in it are not to be trusted: whatever they are, the output is valid, and
     * harmless where it is shown. False when memory runs out; whether the stream took everything is for the caller to
     * see.
     */
    bool (*write)(FILE *to, const struct profile *profile);
};

extern const struct profile_format format_pprof, format_folded, format_speedscope, format_csv, format_jsonl;

#endif
