/* type_totals.c - see type_totals.h */
#include "report/type_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report/graph_report.h"

#define TYPE_NAME_SIZE 1024

void type_totals_free(struct type_totals *totals)
{
    free(totals->list);
    intern_free(&totals->names);
    *totals = TYPE_TOTALS_INIT;
}

bool type_totals_has_births(const struct report *report)
{
    return report->objects && report->end_objects && report->objects->created > 0;
}

int type_totals_of_births(struct type_totals *totals, const struct report *report)
{
    const struct object_lives *objects = report->objects;
    *totals = TYPE_TOTALS_INIT;
    totals->births = true;
    totals->list = calloc(objects->type_count, sizeof *totals->list);
    if (!totals->list)
        return -ENOMEM;
    for (size_t i = 0; i < objects->type_count; i++) {
        const struct object_type *type = &report->end_objects[i];
        if (type->created == 0)
            continue;
        totals->list[totals->count++] = (struct type_total){
            .name = type_names_text(&report->type_names, (uint32_t)i),
            .live = type->live,
            .live_bytes = type->live_bytes,
            .created = type->created,
            .died = type->died,
            .median_ns = type->died ? object_type_median(type) : 0,
        };
    }
    return 0;
}

/* The numbers of the types' names, by type; NULL when memory runs out. Types of one name are one. */
static uint32_t *name_types(struct type_totals *totals, const struct ref_graph *graph)
{
    uint32_t *names = calloc((size_t)graph->type_count + 1, sizeof *names);
    char text[TYPE_NAME_SIZE];
    for (uint32_t t = 0; names && t < graph->type_count; t++) {
        names[t] = intern_string(&totals->names, ref_type_name(graph, t, text, sizeof text));
        if (names[t] == 0) {
            free(names);
            return NULL;
        }
    }
    return names;
}

static int count_nodes(struct type_totals *totals, const struct graph_report *g)
{
    uint32_t *names = name_types(totals, &g->graph);
    totals->count = totals->names.count;
    totals->list = calloc(totals->count + 1, sizeof *totals->list);
    if (!names || !totals->list) {
        free(names);
        return -ENOMEM;
    }
    for (uint32_t n = 0; n < g->graph.node_count; n++) {
        const struct ref_node *node = &g->graph.nodes[n];
        if (ref_kind(node) != REF_OBJECT || node->flags & HSK_OBJECT_STATIC)
            continue;
        struct type_total *type = &totals->list[names[node->type] - 1];
        type->live++;
        type->live_bytes += g->own[n];
    }
    free(names);
    size_t kept = 0;
    for (uint32_t i = 0; i < totals->count; i++) {
        totals->list[i].name = intern_get(&totals->names, i + 1, NULL);
        if (totals->list[i].live > 0)
            totals->list[kept++] = totals->list[i];
    }
    totals->count = kept;
    return 0;
}

int type_totals_of_snapshot(struct type_totals *totals, struct report *report, int64_t snapshot)
{
    struct graph_snapshots snapshots;
    *totals = TYPE_TOTALS_INIT;
    if (!report->info.python_version)
        return -ENODATA;
    if (report_load_snapshots(report, &snapshots) != EXIT_DONE)
        return -EBADMSG;
    bool any = snapshots.count > 0;
    graph_snapshots_free(&snapshots);
    if (!any)
        return -ENODATA;
    struct graph_report g;
    if (graph_report_open(&g, report, snapshot) != EXIT_DONE)
        return -EBADMSG;
    totals->snapshot = g.snapshot->number;
    totals->time_ns = g.snapshot->time_ns;
    memcpy(totals->reason, g.snapshot->reason, sizeof totals->reason);
    int code = count_nodes(totals, &g);
    graph_report_close(&g);
    if (code != 0)
        type_totals_free(totals);
    return code;
}

static bool has_option(const struct trace_info *info, const char *option)
{
    for (size_t i = 0; i < info->options.count; i++)
        if (strcmp(info->options.texts[i], option) == 0)
            return true;
    return false;
}

static bool tells_births(const char *python_version)
{
    unsigned long minor = strncmp(python_version, "3.", 2) == 0 ? strtoul(python_version + 2, NULL, 10) : 0;
    return minor >= 13;
}

static int explain_absence(const struct report *report, struct error *error)
{
    const struct trace_info *info = &report->info;
    const char *path = report->reader->path;
    if (!info->python_version)
        return error_set(error, -ENODATA, "%s: no Python was seen in this process: it has no objects to tell of", path);
    if (has_option(info, "no-snapshot"))
        return error_set(error, -ENODATA,
                         "%s: it was recorded with --no-snapshot, and has allocations alone: record it without", path);
    if (!tells_births(info->python_version))
        return error_set(error, -ENODATA,
                         "%s: Python %s does not tell when objects are born, and there is no snapshot of those that "
                         "live: record one (heapsake snapshot, or let the program end by itself)",
                         path, info->python_version);
    if (has_option(info, "no-objects"))
        return error_set(error, -ENODATA,
                         "%s: it was recorded with --no-objects, and there is no snapshot: record it without", path);
    return error_set(error, -ENODATA, "%s: neither births of objects nor a snapshot were recorded", path);
}

int type_totals_get(struct type_totals *totals, struct report *report, struct error *error)
{
    int code = type_totals_has_births(report) ? type_totals_of_births(totals, report)
                                              : type_totals_of_snapshot(totals, report, -1);
    if (code == 0)
        return 0;
    if (code == -ENODATA)
        return explain_absence(report, error);
    return code == -ENOMEM ? error_set(error, code, "%s: out of memory", report->reader->path) : code;
}
