/*
 * run_options.h - the options that `heapsake run` and `heapsake record` share, and `heapsake attach` in part.
 */
#ifndef HEAPSAKE_RECORD_RUN_OPTIONS_H
#define HEAPSAKE_RECORD_RUN_OPTIONS_H

#include "command.h"
#include "record/recorder.h"

struct run_options {
    const char *output;
    bool force, native, no_snapshot, no_exit_snapshot, no_objects, record_values, refs;
    struct option_strings watch, ref_functions;
    const char *on_full, *children;
    double snapshot_every;
    uint64_t snapshot_on_growth;
    int snapshot_signal;
};

#define RUN_OPTIONS_DEFAULT                                                                                            \
    {                                                                                                                  \
        .on_full = "wait", .children = "all"                                                                           \
    }

/* Rows of the tables of options, in which each stands where it is to be shown. Those that attach has, too: */
#define RUN_OPTIONS_FILE(options)                                                                                      \
    {.letter = 'o',                                                                                                    \
     .name = "output",                                                                                                 \
     .kind = OPTION_STRING,                                                                                            \
     .value_name = "FILE",                                                                                             \
     .value = &(options).output,                                                                                       \
     .help = "write the trace to FILE instead of heapsake.PROGRAM.PID.hsk"},                                           \
    {.name = "force", .kind = OPTION_FLAG, .value = &(options).force, .help = "replace FILE when it exists"}

#define RUN_OPTIONS_EVENTS(options)                                                                                    \
    {.name = "native",                                                                                                 \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).native,                                                                                       \
     .help = "native frames also in the stacks of Python programs"},                                                   \
    {.name = "on-full",                                                                                                \
     .kind = OPTION_CHOICE,                                                                                            \
     .value_name = "wait|drop",                                                                                        \
     .value = &(options).on_full,                                                                                      \
     .help = "when the recorder cannot keep up: let the program wait (default), or drop events and count them"}

#define RUN_OPTIONS_SNAPSHOTS(options)                                                                                 \
    {.name = "snapshot-every",                                                                                         \
     .kind = OPTION_SECONDS,                                                                                           \
     .value_name = "SECONDS",                                                                                          \
     .value = &(options).snapshot_every,                                                                               \
     .help = "take a snapshot of the object graph every so often"},                                                    \
    {.name = "snapshot-on-growth",                                                                                     \
     .kind = OPTION_SIZE,                                                                                              \
     .value_name = "SIZE",                                                                                             \
     .value = &(options).snapshot_on_growth,                                                                           \
     .help = "take one whenever the resident set has grown by SIZE (64M)"}

#define RUN_OPTIONS_VALUES(options)                                                                                    \
    {.name = "record-values",                                                                                          \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).record_values,                                                                                \
     .help = "let snapshots hold the values of keys of dicts, which may be secrets (default: names alone)"}

#define RUN_OPTIONS_LESS(options)                                                                                      \
    {.name = "no-objects",                                                                                             \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).no_objects,                                                                                   \
     .help = "do not record births and deaths of Python objects (3.13 and later)"},                                    \
    {.name = "no-snapshot",                                                                                            \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).no_snapshot,                                                                                  \
     .help = "allocations alone: no snapshots of the object graph, no births and deaths of objects"}

/* `terms`: that a SPEC may have there. */
#define RUN_OPTIONS_WATCH(options, terms)                                                                              \
    {.name = "watch",                                                                                                  \
     .kind = OPTION_STRINGS,                                                                                           \
     .value_name = "SPEC",                                                                                             \
     .value = &(options).watch,                                                                                        \
     .help = "record every change of a reference count: " terms}

/* All that run and record share. */
#define RUN_OPTIONS_TABLE(options)                                                                                     \
    RUN_OPTIONS_FILE(options),                                                                                         \
    RUN_OPTIONS_EVENTS(options),                                                                                       \
    {.name = "children",                                                                                               \
     .kind = OPTION_CHOICE,                                                                                            \
     .value_name = "all|python|none",                                                                                  \
     .value = &(options).children,                                                                                     \
     .help = "which child processes are traced, too (default: all)"},                                                  \
    RUN_OPTIONS_SNAPSHOTS(options),                                                                                    \
    {.name = "snapshot-signal",                                                                                        \
     .kind = OPTION_SIGNAL,                                                                                            \
     .value_name = "SIGNAL",                                                                                           \
     .value = &(options).snapshot_signal,                                                                              \
     .help = "take one when the program gets SIGNAL (USR2), which is then heapsake's"},                                \
    {.name = "no-exit-snapshot",                                                                                       \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).no_exit_snapshot,                                                                             \
     .help = "take none when the program ends: it is done sooner, and leaks are told from those that were asked for"}, \
    RUN_OPTIONS_VALUES(options),                                                                                       \
    RUN_OPTIONS_WATCH(options, "type:NAME, site:FILE:LINE, site:FUNCTION, leak:TRACE#N, symbol:NAME, with ,every:N "   \
                               "a sample"),                                                                            \
    {.name = "refs",                                                                                                   \
     .kind = OPTION_FLAG,                                                                                              \
     .value = &(options).refs,                                                                                         \
     .help = "record calls of Py_IncRef, Py_DecRef, g_object_ref, g_object_unref and their kin"},                      \
    {.name = "ref-functions",                                                                                          \
     .kind = OPTION_STRINGS,                                                                                           \
     .value_name = "ref=NAME,unref=NAME[,arg=N]",                                                                      \
     .value = &(options).ref_functions,                                                                                \
     .help = "record calls of a pair of functions that count references to their argument N (default 1)"},             \
    RUN_OPTIONS_LESS(options)

/* What the options mean for a recorder. The texts stay the caller's. */
void run_options_apply(const struct run_options *from, struct recorder_options *to);

#endif
