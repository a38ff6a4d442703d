/* type_totals.c - see type_totals.h */
#include "report/type_totals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void type_totals_free(struct type_totals *totals)
{
    free(totals->list);
    *totals = TYPE_TOTALS_INIT;
}

/* From births and deaths; the events have been replayed. */
static int from_births(struct type_totals *totals, const struct report *report)
{
    const struct object_lives *objects = report->objects;
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

/* From the last snapshot before the end. -ENODATA: there is none. */
static int from_snapshot(struct type_totals *totals, struct report *report)
{
    (void)totals;
    (void)report;
    return -ENODATA;
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
    *totals = TYPE_TOTALS_INIT;
    int code = -ENODATA;
    if (report->objects && report->end_objects && report->objects->created > 0)
        code = from_births(totals, report);
    if (code == -ENODATA)
        code = from_snapshot(totals, report);
    if (code == -ENODATA)
        return explain_absence(report, error);
    return code ? error_set(error, code, "%s: out of memory", report->reader->path) : 0;
}
