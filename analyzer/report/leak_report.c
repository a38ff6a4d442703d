/* leak_report.c - see leak_report.h */
#include "report/leak_report.h"

#include <stdlib.h>
#include <string.h>

#include "model/counts.h"
#include "model/leak_culprits.h"
#include "model/leak_evidence.h"

#define MATCHED_FRAMES 256 /* of a stack, for suppressions */

/* 12 of "3.12.1"; 0: not known. */
static unsigned python_minor(const char *version)
{
    return version && strncmp(version, "3.", 2) == 0 ? (unsigned)strtoul(version + 2, NULL, 10) : 0;
}

/* Who took the references too many, where the trace has counts. */
static int find_culprits(struct leaks *leaks, const struct evidence *evidence, struct report *report,
                         struct error *error)
{
    struct counts counts;
    bool wanted = false;
    for (size_t i = 0; i < leaks->count; i++)
        wanted |= leaks->list[i].cause == LEAK_OVER_REFERENCED;
    if (!wanted || !counts_any(report->reader, &report->info))
        return 0;
    int code = counts_load(&counts, report->reader, error);
    if (code != 0)
        return code;
    code = leaks_find_culprits(leaks, evidence, &counts);
    counts_free(&counts);
    return code == 0 ? 0 : error_set(error, code, "%s: out of memory", report->reader->path);
}

int leak_report_find(struct leaks *leaks, struct graph_report *g, struct report *report, int64_t snapshot)
{
    struct error error = {0};
    int status = graph_report_open_history(g, report, snapshot);
    if (status != EXIT_DONE)
        return status;
    if ((status = graph_report_dominators(g)) != EXIT_DONE || (status = graph_report_components(g)) != EXIT_DONE)
        return status;
    struct earlier earlier = {0};
    bool attached = strcmp(g->snapshots.list[0].reason, "attach") == 0 && g->snapshots.list[0].whole &&
                    g->snapshot != &g->snapshots.list[0];
    if (attached && earlier_load(&earlier, report->reader, &g->snapshots.list[0], &g->graph, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    struct evidence evidence = {
        .graph = &g->graph,
        .reach = &g->reach,
        .snapshot = g->snapshot,
        .lifetimes = g->lifetimes,
        .objects = g->objects,
        .stacks = report->stacks,
        .history = g->history,
        .python = report->info.python_version != NULL,
        .python_minor = python_minor(report->info.python_version),
        .components = g->components,
        .dominators = g->dominators,
        .own = g->own,
        .regions = report->regions,
        .earlier = attached ? &earlier : NULL,
    };
    int code = evidence_prepare(&evidence, &error);
    if (code == 0)
        code = leaks_find(leaks, &evidence, &error);
    if (code == 0)
        code = find_culprits(leaks, &evidence, report, &error);
    evidence_free(&evidence);
    earlier_free(&earlier);
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}

bool leak_report_suppressed(struct suppressions *suppressions, const struct stacks *stacks, const struct leak *leak,
                            uint32_t stack, uint64_t bytes)
{
    struct frame frames[MATCHED_FRAMES];
    size_t count = 0;
    if (suppressions->count == 0)
        return false;
    for (; stack != 0 && count < MATCHED_FRAMES; stack = stacks_caller(stacks, stack))
        frames[count++] = stacks_frame(stacks, stack);
    struct suppression_subject subject = {
        .cause = leak ? leak_cause_names[leak->cause] : NULL,
        .type = leak ? leak->type : NULL,
        .kind = leak && leak->kind ? leak->kind : SUPPRESSION_REACHABLE,
        .frames = frames,
        .frame_count = count,
    };
    return suppressions_match(suppressions, &subject, bytes);
}
