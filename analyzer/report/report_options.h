/*
 * report_options.h - the options that several reports have: one row of a table each (command.h).
 */
#ifndef HEAPSAKE_REPORT_REPORT_OPTIONS_H
#define HEAPSAKE_REPORT_REPORT_OPTIONS_H

#include "command.h"

#define REPORT_OPTION_JSON(flag)                                                                                       \
    {                                                                                                                  \
        .name = "json", .kind = OPTION_FLAG, .value = &(flag), .help = "print one JSON document"                       \
    }

/* `says`: what is limited, and what holds without it. */
#define REPORT_OPTION_LIMIT(number, says)                                                                              \
    {                                                                                                                  \
        .letter = 'n', .name = "limit", .kind = OPTION_INTEGER, .value_name = "N", .value = &(number), .help = says    \
    }

/* `says`: what is told of snapshot N. */
#define REPORT_OPTION_SNAPSHOT(number, says)                                                                           \
    {                                                                                                                  \
        .name = "snapshot", .kind = OPTION_INTEGER, .value_name = "N", .value = &(number), .help = says                \
    }

#endif
