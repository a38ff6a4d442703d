/* leak_report.c - see leak_report.h */
#include "report/leak_report.h"

#include <stdlib.h>
#include <string.h>

#include "model/leak_evidence.h"

/* 12 of "3.12.1"; 0: not known. */
static unsigned python_minor(const char *version)
{
    return version && strncmp(version, "3.", 2) == 0 ? (unsigned)strtoul(version + 2, NULL, 10) : 0;
}

int leak_report_find(struct leaks *leaks, struct graph_report *g, struct report *report, int64_t snapshot)
{
    struct error error = {0};
    int status = graph_report_open_history(g, report, snapshot);
    if (status != EXIT_DONE)
        return status;
    if ((status = graph_report_dominators(g)) != EXIT_DONE || (status = graph_report_components(g)) != EXIT_DONE)
        return status;
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
    };
    int code = evidence_prepare(&evidence, &error);
    if (code == 0)
        code = leaks_find(leaks, &evidence, &error);
    evidence_free(&evidence);
    if (code == 0)
        return EXIT_DONE;
    error_print(&error);
    return EXIT_UNUSABLE;
}
