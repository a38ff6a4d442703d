/* out_snapshots.c - see out_snapshots.h */
#include "report/out_snapshots.h"

#include <inttypes.h>
#include <string.h>

#include "report/out_text.h"

/* What is 0 is not known: the program, or the child, was gone before it could say. */
static void put_measured(struct json *json, const char *key, uint64_t value, bool seconds)
{
    if (value == 0)
        put_null(json, key);
    else if (seconds)
        put_seconds(json, key, value);
    else
        put_unsigned(json, key, value);
}

static void put_snapshot(struct json *json, const struct snapshot_info *info)
{
    open_object(json, NULL);
    put_unsigned(json, "number", info->number);
    put_string(json, "reason", info->reason);
    put_seconds(json, "time", info->time_ns);
    put_unsigned(json, "objects", info->nodes);
    put_unsigned(json, "edges", info->edges);
    put_measured(json, "pause", info->pause_ns, true);
    put_measured(json, "walk", info->walk_ns, true);
    put_measured(json, "copied_bytes", info->copied_bytes, false);
    put_measured(json, "resident_bytes", info->resident_bytes, false);
    put_bool(json, "whole", info->whole);
    open_array(json, "problems");
    for (size_t i = 0; i < info->problem_count; i++)
        put_string(json, NULL, info->problems[i]);
    close_array(json);
    close_object(json);
}

void out_snapshots_json(struct json *json, const struct graph_snapshots *snapshots)
{
    open_array(json, "snapshots");
    for (size_t i = 0; i < snapshots->count; i++)
        put_snapshot(json, &snapshots->list[i]);
    close_array(json);
}

static void print_problem(const char *before, const char *sentence)
{
    printf("%s%s", before, out_color(OUT_WARNING));
    out_untrusted(stdout, sentence, strlen(sentence));
    printf("%s\n", out_color(OUT_PLAIN));
}

void out_snapshots_text(const struct graph_snapshots *snapshots)
{
    if (snapshots->count == 0)
        return;
    out_heading("Snapshots");
    printf("  %4s %-8s %10s %12s %10s %10s %11s\n", "", "reason", "at", "objects", "pause", "walk", "copied");
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct snapshot_info *info = &snapshots->list[i];
        char at[OUT_NUMBER_SIZE], objects[OUT_NUMBER_SIZE], pause[OUT_NUMBER_SIZE], walk[OUT_NUMBER_SIZE],
            copied[OUT_NUMBER_SIZE];
        printf("  %4" PRIu32 " %-8s %10s %12s %10s %10s %11s%s\n", info->number, info->reason,
               out_seconds(at, info->time_ns), out_count(objects, info->nodes),
               info->pause_ns ? out_seconds(pause, info->pause_ns) : "-",
               info->walk_ns ? out_seconds(walk, info->walk_ns) : "-",
               info->copied_bytes ? out_bytes(copied, info->copied_bytes) : "-", info->whole ? "" : "  not whole");
        for (size_t p = 0; p < info->problem_count; p++)
            print_problem("       ", info->problems[p]);
    }
}

void out_snapshots_problems(const struct graph_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct snapshot_info *info = &snapshots->list[i];
        char at[OUT_NUMBER_SIZE];
        if (info->whole)
            continue;
        printf("  snapshot %" PRIu32 " (%s, at %s) is not whole%s\n", info->number, info->reason,
               out_seconds(at, info->time_ns), info->problem_count ? ":" : "");
        for (size_t p = 0; p < info->problem_count; p++)
            print_problem("    ", info->problems[p]);
    }
}
