/*
 * report.h - what the reports share: opening a trace, and its state at the end.
 *
 * The functions print what is wrong and return an enum exit_code: EXIT_DONE or EXIT_UNUSABLE.
 */
#ifndef HEAPSAKE_REPORT_REPORT_H
#define HEAPSAKE_REPORT_REPORT_H

#include <stdbool.h>

#include "amend/early_names.h"
#include "command.h"
#include "model/lifetimes.h"
#include "model/object_lives.h"
#include "model/ref_graph.h"
#include "model/regions.h"
#include "model/sites.h"
#include "model/stacks.h"
#include "model/trace_moment.h"
#include "model/type_names.h"
#include "trace/trace_info.h"
#include "trace/trace_reader.h"

struct report {
    struct trace_reader *reader;
    struct trace_info info;
    struct lifetimes *lifetimes;
    struct stacks *stacks;           /* NULL until report_load_stacks() */
    struct early_names *early_names; /* NULL: not needed */

    /*
     * "At the end": when the program was done (the last HSK_MARK_FINALIZE), before
     * an interpreter tears itself down; without that mark, the last event. After
     * report_replay_to() with another moment, what was so at that moment.
     */
    struct life_totals end;
    uint64_t end_ns;
    bool finalized;
    struct sites end_sites; /* filled by the replay when asked for */

    /* After report_load_objects(); the end is filled in by the replay. */
    struct type_names type_names;
    struct object_lives *objects;
    struct object_type *end_objects; /* objects->type_count of them */

    /* After report_load_regions(); the replay fills them. NULL: not loaded. */
    struct mark_table marks;
    struct regions *regions;

    /* NULL, or the replay adds all allocations on its way to them; belong to who set it. */
    struct sites *allocated;
    bool warned; /* report_warn() has been heard, or its line is another's to print */
};

/* Reads the one operand of a report command. EXIT_USAGE, and says so, when it is not exactly one. */
int report_operand(const struct command *command, int argc, char **argv, const char **path);

int report_open(struct report *report, const char *path);
/* Runs all events; fills lifetimes, end and, if `sites`, end_sites (to be finished by the caller). */
int report_replay(struct report *report, bool sites);
/* The same up to a moment; lifetimes are as of then (at the end: behind the last event). */
int report_replay_to(struct report *report, const struct trace_moment *moment, bool sites);
int report_replay_to_peak(struct report *report);
/* Before the replay, which then follows births and deaths of objects, too. */
int report_load_objects(struct report *report);
/* Before the replay, which then follows marks and regions, too. */
int report_load_regions(struct report *report);
/* After it: the region of that name. EXIT_UNUSABLE, and says what there is instead, when there is none. */
int report_find_region(const struct report *report, const char *text, const struct named_region **named);
/* Where the trace has no end, and so no names, native frames get them from the files that are
 * here now (early_names.h). */
int report_load_stacks(struct report *report);
/* Which there are (ref_graph.h); the caller frees the list, also when this fails. */
int report_load_snapshots(const struct report *report, struct graph_snapshots *snapshots);
void report_close(struct report *report);

/* A line on standard error when the file is not whole, and one when tracing began in a process that
 * ran already; once. */
void report_warn(struct report *report);

/* Bytes of live blocks that a forked child inherited; a line on standard output when there are any. */
void report_print_inherited(const struct life_totals *totals);

#endif
