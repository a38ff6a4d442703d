/* cmd_cycles.c - `heapsake cycles`: objects that hold each other, by pattern. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "model/cycles.h"
#include "report/graph_report.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report_options.h"

#define TEXT_GROUPS 10
#define TEXT_FRAMES 12
#define REASONS 7

static bool as_json;
static int64_t limit = -1, snapshot_number = -1;

static const struct option options[] = {
    REPORT_OPTION_SNAPSHOT(snapshot_number, "of snapshot N instead of the last whole one"),
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "show the first N patterns only (default: 10 as text, all as JSON; 0: all)"),
    {0},
};

static uint32_t stack_of(void *context, uint32_t node)
{
    return graph_report_stack(context, node);
}

static void print_link(struct json *json, const char *key, const struct graph_report *g, const struct path_link *link)
{
    char text[PATH_NAME_SIZE];
    open_object(json, key);
    put_string(json, "from", path_node_name(&g->graph, link->from, text, sizeof text));
    put_string(json, "name", link->name);
    put_string(json, "to", path_node_name(&g->graph, link->to, text, sizeof text));
    close_object(json);
}

static void print_json(const struct graph_report *g, const struct cycles *cycles, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_unsigned(&json, "snapshot", g->snapshot->number);
    open_array(&json, "cycles");
    for (size_t i = 0; i < cycles->count && i < shown; i++) {
        const struct cycle_group *group = &cycles->groups[i];
        open_object(&json, NULL);
        put_string(&json, "status", group->garbage ? "garbage" : "reachable");
        put_unsigned(&json, "count", group->count);
        put_unsigned(&json, "objects", group->objects);
        put_unsigned(&json, "bytes", group->bytes);
        put_string(&json, "pattern", group->pattern);
        open_array(&json, "edges");
        for (size_t l = 0; l < group->link_count; l++)
            print_link(&json, NULL, g, &group->links[l]);
        close_array(&json);
        if (group->weaken >= 0)
            print_link(&json, "weaken", g, &group->links[group->weaken]);
        else
            put_null(&json, "weaken");
        put_stack(&json, "stack", g->report->stacks, group->stack);
        open_array(&json, "reasons");
        for (unsigned r = 0; r < REASONS; r++)
            if (group->reasons & 1u << r)
                put_string(&json, NULL, cycle_reason_text(1u << r));
        if (group->garbage && group->reasons == 0)
            put_string(&json, NULL, cycle_reason_text(0));
        close_array(&json);
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
}

/* "Child.parent", for people. */
static void print_name(const struct graph_report *g, const struct path_link *link)
{
    char type[PATH_NAME_SIZE];
    path_short_name(&g->graph, link->from, "class ", type, sizeof type);
    out_untrusted(stdout, type, strlen(type));
    out_untrusted(stdout, link->name, strlen(link->name));
}

static void print_group(const struct graph_report *g, const struct cycle_group *group)
{
    char bytes[OUT_NUMBER_SIZE], count[OUT_NUMBER_SIZE], objects[OUT_NUMBER_SIZE], type[PATH_NAME_SIZE];
    printf("\n%s%s%s in %s objects: %s %s cycle%s  %s", out_color(OUT_NUMBER), out_bytes(bytes, group->bytes),
           out_color(OUT_PLAIN), out_count(objects, group->objects), out_count(count, group->count),
           group->garbage ? "garbage" : "reachable", group->count == 1 ? "" : "s", out_color(OUT_PLACE));
    out_untrusted(stdout, group->pattern, strlen(group->pattern));
    printf("%s\n", out_color(OUT_PLAIN));
    for (unsigned r = 0; r < REASONS; r++)
        if (group->reasons & 1u << r)
            printf("    not collected: %s\n", cycle_reason_text(1u << r));
    if (group->garbage && group->reasons == 0)
        printf("    not collected: %s\n", cycle_reason_text(0));
    if (group->weaken >= 0) {
        const struct path_link *link = &group->links[group->weaken];
        printf("    %s ", strstr(link->name, "local ") ? "end:      " : "make weak:");
        print_name(g, link);
        putchar('\n');
    }
    if (group->stack) {
        printf("    where ");
        path_short_name(&g->graph, group->links[0].from, "class ", type, sizeof type);
        out_untrusted(stdout, type, strlen(type));
        printf(" was born%s:\n", group->count > 1 ? ", most often" : "");
        out_stack(g->report->stacks, group->stack, 8, TEXT_FRAMES);
    }
}

static void print_text(const struct graph_report *g, const struct cycles *cycles, size_t shown)
{
    uint64_t count[2] = {0, 0}, total[2] = {0, 0};
    char when[OUT_NUMBER_SIZE], bytes[2][OUT_NUMBER_SIZE], counts[2][OUT_NUMBER_SIZE];
    for (size_t i = 0; i < cycles->count; i++) {
        count[cycles->groups[i].garbage] += cycles->groups[i].count;
        total[cycles->groups[i].garbage] += cycles->groups[i].bytes;
    }
    out_heading("Cycles in snapshot %" PRIu32 " (%s, %s): %s garbage (%s), %s reachable (%s)", g->snapshot->number,
                g->snapshot->reason, out_seconds(when, g->snapshot->time_ns), out_count(counts[1], count[1]),
                out_bytes(bytes[1], total[1]), out_count(counts[0], count[0]), out_bytes(bytes[0], total[0]));
    for (size_t i = 0; i < cycles->count && i < shown; i++)
        print_group(g, &cycles->groups[i]);
    if (shown < cycles->count)
        printf("\n%zu more patterns: --limit 0 shows all\n", cycles->count - shown);
}

static int report_cycles(struct graph_report *g)
{
    struct error error = {0};
    struct cycles cycles;
    int status;
    if ((status = graph_report_components(g)) != EXIT_DONE || (status = graph_report_dominators(g)) != EXIT_DONE)
        return status;
    const struct cycles_sources sources = {.graph = &g->graph,
                                           .reach = &g->reach,
                                           .components = &g->components,
                                           .dominators = &g->dominators,
                                           .own = g->own,
                                           .stack_of = stack_of,
                                           .context = g};
    if (cycles_find(&cycles, &sources, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : as_json ? SIZE_MAX : TEXT_GROUPS;
    out_begin(!as_json);
    if (as_json)
        print_json(g, &cycles, shown);
    else
        print_text(g, &cycles, shown);
    status = out_end();
    cycles_free(&cycles);
    return status;
}

static int run(int argc, char **argv)
{
    const char *path;
    struct report report;
    struct graph_report g;
    int status = report_operand(&command_cycles, argc, argv, &path);
    if (status != EXIT_DONE || (status = report_open(&report, path)) != EXIT_DONE)
        return status;
    if ((status = graph_report_open(&g, &report, snapshot_number)) == EXIT_DONE) {
        status = report_cycles(&g);
        graph_report_close(&g);
    }
    report_close(&report);
    return status;
}

const struct command command_cycles = {
    .name = "cycles",
    .synopsis = "[OPTION...] TRACE",
    .summary = "Python objects that hold each other, by pattern",
    .description =
        "Lists cycles of references between Python objects in a snapshot: groups of objects that all lead to each "
        "other. Garbage ones are those that nothing else leads to: only the cyclic garbage collector could free them, "
        "and the report says why it did not, as far as the snapshot tells. Reachable ones are still held by something; "
        "when it "
        "lets go they stay until the collector runs.\n"
        "\n"
        "Cycles that look the same are one line. Each has what hangs on the cycles alone counted with it, the stack on "
        "which the first object was born, and the reference that leads back and is the one to make weak.\n"
        "\n"
        "From what is reachable, references to types, modules and globals are left out, because through them nearly "
        "all of a "
        "program is one cycle.",
    .examples = "$ heapsake cycles app.hsk\n"
                "the ten largest patterns of the last snapshot, garbage first\n"
                "$ heapsake cycles --json --snapshot 2 app.hsk\n"
                "all patterns of snapshot 2, for a script",
    .options = options,
    .run = run,
};
