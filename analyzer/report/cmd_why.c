/* cmd_why.c - `heapsake why`: the path of references that keeps an object alive. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "command.h"
#include "model/path_text.h"
#include "report/graph_report.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report_options.h"

#define DEFAULT_OBJECTS 3
#define TEXT_FRAMES 12

static bool as_json;
static int64_t limit = -1, snapshot_number = -1;

static const struct option options[] = {
    REPORT_OPTION_SNAPSHOT(snapshot_number, "of snapshot N instead of the last whole one"),
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit, "of several objects show the N that keep most (default: 3; 0: all)"),
    {0},
};

/* The nodes that OBJECT names; those that keep most first. */
struct found {
    uint32_t *nodes;
    size_t count;
};

/* Which types are called so, by number; NULL when memory ran out. Two types may have one name. */
static uint8_t *types_named(const struct graph_report *g, const char *name)
{
    char text[1024];
    uint8_t *named = calloc(g->graph.type_count, 1);
    for (uint32_t t = 1; named && t < g->graph.type_count; t++)
        named[t] = strcmp(ref_type_name(&g->graph, t, text, sizeof text), name) == 0;
    return named;
}

/* The node at an address: its own, or the one in whose block it lies. */
static bool is_at(const struct graph_report *g, uint32_t node, uint64_t address)
{
    const struct ref_node *at = &g->graph.nodes[node];
    if (ref_kind(at) != REF_OBJECT && ref_kind(at) != REF_BLOCK)
        return false;
    const struct life_block *block = graph_report_block(g, node);
    uint64_t start = block ? block->address : at->address, size = block ? life_block_size(block) : at->size;
    return at->address == address || (g->own[node] > 0 && address - start < size);
}

static int by_retained(const void *left, const void *right, void *context)
{
    const struct graph_report *g = context;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (g->dominators.retained[a] != g->dominators.retained[b])
        return g->dominators.retained[a] > g->dominators.retained[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* False: it is no number. */
static bool number_of(const char *text, int base, uint64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoull(text, &end, base);
    return *text >= '0' && *end == '\0' && end > text && errno == 0;
}

/* Does an object of this number, at this address or of these types stand at node n? */
struct wanted {
    bool by_ordinal, by_address, exact;
    uint64_t number;
    uint8_t *types;
};

static bool is_wanted(const struct graph_report *g, uint32_t n, const struct wanted *wanted)
{
    const struct ref_node *node = &g->graph.nodes[n];
    if (ref_kind(node) != REF_OBJECT && ref_kind(node) != REF_BLOCK)
        return false;
    if (wanted->by_ordinal)
        return ref_ordinal(node) == wanted->number;
    if (wanted->by_address)
        return wanted->exact ? node->address == wanted->number : is_at(g, n, wanted->number);
    return ref_kind(node) == REF_OBJECT && wanted->types[node->type];
}

static bool add(struct found *found, size_t *capacity, uint32_t node)
{
    if (!grow((void **)&found->nodes, found->count, capacity, sizeof *found->nodes))
        return false;
    found->nodes[found->count++] = node;
    return true;
}

static int find(struct graph_report *g, const char *name, struct found *found)
{
    struct wanted wanted = {.by_ordinal = name[0] == '#', .by_address = strncmp(name, "0x", 2) == 0};
    if ((wanted.by_ordinal && !number_of(name + 1, 10, &wanted.number)) ||
        (wanted.by_address && !number_of(name, 16, &wanted.number))) {
        message_print("why: %s is no object: give #ORDINAL, 0xADDRESS or a type", name);
        return EXIT_USAGE;
    }
    wanted.types = types_named(g, name);
    bool done = wanted.types != NULL;
    size_t capacity = 0;
    /* what begins at the address comes before what merely has it inside */
    for (uint32_t n = 0; n < g->graph.node_count && wanted.by_address; n++)
        wanted.exact |= g->graph.nodes[n].address == wanted.number && ref_kind(&g->graph.nodes[n]) != REF_ROOT;
    for (uint32_t n = 0; n < g->graph.node_count && done; n++)
        done = !is_wanted(g, n, &wanted) || add(found, &capacity, n);
    free(wanted.types);
    if (!done) {
        message_print("%s: out of memory", g->report->reader->path);
        return EXIT_UNUSABLE;
    }
    if (found->count > 0)
        qsort_r(found->nodes, found->count, sizeof *found->nodes, by_retained, g);
    return EXIT_DONE;
}

/* ---- why an object is there that nothing leads to ---- */

static const char *garbage_text(const struct graph_report *g, uint32_t node)
{
    const struct ref_node *at = &g->graph.nodes[node];
    if (ref_kind(at) == REF_BLOCK)
        return g->reach.class[node] == REACH_INDIRECT ? "only lost memory or garbage points to it"
                                                      : "nothing points to it: it is lost";
    if (g->components.of[node] != 0)
        return "nothing that is alive leads to it: it is part of a garbage cycle (heapsake cycles)";
    if (g->reach.unexplained[node] > 0)
        return "nothing leads to it, but it has references: more were taken than given back, or C code holds it where "
               "the snapshot could not look";
    return "nothing that is alive leads to it: it is garbage";
}

/* ---- output ---- */

static void json_object(struct json *json, const struct graph_report *g, uint32_t node)
{
    char text[PATH_NAME_SIZE];
    const struct ref_node *at = &g->graph.nodes[node];
    open_object(json, "object");
    if (ref_ordinal(at) == REF_NO_ORDINAL)
        put_null(json, "ordinal");
    else
        put_unsigned(json, "ordinal", ref_ordinal(at));
    if (ref_kind(at) == REF_OBJECT)
        put_string(json, "type", ref_type_name(&g->graph, at->type, text, sizeof text));
    else
        put_null(json, "type");
    put_address(json, "address", at->address);
    put_unsigned(json, "bytes", g->own[node]);
    put_unsigned(json, "retained_bytes", g->dominators.retained[node]);
    if (ref_kind(at) == REF_OBJECT) {
        put_unsigned(json, "refcount", at->refcount);
        put_signed(json, "unexplained", g->reach.unexplained[node]);
    }
    put_stack(json, "stack", g->report->stacks, graph_report_stack(g, node));
    close_object(json);
}

static void json_path(struct json *json, const struct graph_report *g, const struct path_text *text)
{
    char name[PATH_NAME_SIZE];
    struct buf line = BUF_INIT;
    open_object(json, NULL);
    put_string(json, "root", text->root);
    open_array(json, "edges");
    for (size_t i = 0; i < text->link_count; i++) {
        open_object(json, NULL);
        put_string(json, "from", path_node_name(&g->graph, text->links[i].from, name, sizeof name));
        put_string(json, "name", text->links[i].name);
        put_string(json, "to", path_node_name(&g->graph, text->links[i].to, name, sizeof name));
        close_object(json);
    }
    close_array(json);
    for (size_t i = 0; i < text->piece_count; i++)
        buf_printf(&line, "%s%s", i > 0 ? " \xe2\x86\x92 " : "", text->pieces[i]);
    put_bytes(json, "text", (const char *)line.data, line.length);
    buf_free(&line);
    close_object(json);
}

/* The text of a node's path, empty when nothing leads to it; false when memory ran out. */
static bool path_of(const struct graph_report *g, uint32_t node, struct path_text *text)
{
    struct reach_path path;
    if (reach_path(&g->reach, &g->graph, node, &path) != 0)
        return false;
    int code = path_text_make(text, &g->graph, &path);
    reach_path_free(&path);
    return code == 0;
}

/* The document of cli.md is about one object; more of the same type follow in "others". */
static bool json_found(struct json *json, const struct graph_report *g, uint32_t node)
{
    struct path_text text;
    if (!path_of(g, node, &text))
        return false;
    json_object(json, g, node);
    open_array(json, "paths");
    if (text.piece_count > 0)
        json_path(json, g, &text);
    close_array(json);
    if (text.piece_count == 0)
        put_string(json, "unreachable", garbage_text(g, node));
    path_text_free(&text);
    return true;
}

static bool print_json(const struct graph_report *g, const struct found *found, size_t shown)
{
    struct json json = JSON_INIT(stdout);
    bool done = true;
    open_object(&json, NULL);
    put_unsigned(&json, "snapshot", g->snapshot->number);
    put_unsigned(&json, "count", found->count);
    done &= json_found(&json, g, found->nodes[0]);
    open_array(&json, "others");
    for (size_t i = 1; i < found->count && i < shown; i++) {
        open_object(&json, NULL);
        done &= json_found(&json, g, found->nodes[i]);
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
    return done;
}

static void print_path(const struct path_text *text)
{
    fputs("    ", stdout);
    for (size_t i = 0; i < text->piece_count; i++) {
        fputs(i > 0 ? " \xe2\x86\x92 " : out_color(OUT_PLACE), stdout);
        out_untrusted(stdout, text->pieces[i], strlen(text->pieces[i]));
        if (i == 0)
            fputs(out_color(OUT_PLAIN), stdout);
    }
    putchar('\n');
}

static bool print_found(const struct graph_report *g, uint32_t node)
{
    char name[PATH_NAME_SIZE], own[OUT_NUMBER_SIZE], retained[OUT_NUMBER_SIZE];
    const struct ref_node *at = &g->graph.nodes[node];
    struct path_text text;
    if (!path_of(g, node, &text))
        return false;
    path_node_name(&g->graph, node, name, sizeof name);
    putchar('\n');
    fputs(out_color(OUT_NUMBER), stdout);
    out_untrusted(stdout, name, strlen(name));
    fputs(out_color(OUT_PLAIN), stdout);
    if (ref_ordinal(at) != REF_NO_ORDINAL)
        printf(" #%" PRIu64, ref_ordinal(at));
    printf(" at 0x%" PRIx64 ", %s, keeps %s", at->address, out_bytes(own, g->own[node]),
           out_bytes(retained, g->dominators.retained[node]));
    if (ref_kind(at) == REF_OBJECT && !(at->flags & HSK_OBJECT_IMMORTAL)) {
        printf(", %" PRIu32 " reference%s", at->refcount, at->refcount == 1 ? "" : "s");
        if (g->reach.unexplained[node] > 0)
            printf(" (%" PRId32 " unexplained)", g->reach.unexplained[node]);
    }
    putchar('\n');
    if (text.piece_count > 0)
        print_path(&text);
    else
        printf("    %s\n", garbage_text(g, node));
    if (g->reach.class[node] == REACH_POSSIBLE)
        printf("    (through a pointer into the midst of a block only)\n");
    path_text_free(&text);
    uint32_t stack = graph_report_stack(g, node);
    if (stack) {
        printf("    allocated at:\n");
        out_stack(g->report->stacks, stack, 8, TEXT_FRAMES);
    }
    return true;
}

static bool print_text(const struct graph_report *g, const struct found *found, size_t shown)
{
    bool done = true;
    char count[OUT_NUMBER_SIZE], when[OUT_NUMBER_SIZE];
    if (found->count > 1)
        out_heading("%s objects in snapshot %" PRIu32 " (%s, %s); those that keep most first",
                    out_count(count, found->count), g->snapshot->number, g->snapshot->reason,
                    out_seconds(when, g->snapshot->time_ns));
    else
        out_heading("In snapshot %" PRIu32 " (%s, %s)", g->snapshot->number, g->snapshot->reason,
                    out_seconds(when, g->snapshot->time_ns));
    for (size_t i = 0; i < found->count && i < shown; i++)
        done &= print_found(g, found->nodes[i]);
    if (shown < found->count)
        printf("\n%zu more: --limit 0 shows all\n", found->count - shown);
    return done;
}

static int report_why(struct graph_report *g, const char *name)
{
    struct found found = {0};
    int status = graph_report_components(g);
    if (status == EXIT_DONE)
        status = graph_report_dominators(g);
    if (status == EXIT_DONE)
        status = find(g, name, &found);
    if (status == EXIT_DONE && found.count == 0) {
        message_print("%s: snapshot %" PRIu32 " has no object %s", g->report->reader->path, g->snapshot->number, name);
        status = EXIT_UNUSABLE;
    }
    if (status == EXIT_DONE) {
        size_t shown = limit == 0 ? SIZE_MAX : limit > 0 ? (size_t)limit : DEFAULT_OBJECTS;
        out_begin(!as_json);
        bool done = as_json ? print_json(g, &found, shown) : print_text(g, &found, shown);
        status = out_end();
        if (!done) {
            message_print("%s: out of memory: the report is not complete", g->report->reader->path);
            status = EXIT_UNUSABLE;
        }
    }
    free(found.nodes);
    return status;
}

static int run(int argc, char **argv)
{
    struct report report;
    struct graph_report g;
    if (argc != 2) {
        message_print("why: %s (see heapsake why --help)",
                      argc < 2 ? "give a trace and an object" : "give one trace and one object");
        return EXIT_USAGE;
    }
    int status = report_open(&report, argv[0]);
    if (status != EXIT_DONE)
        return status;
    if ((status = graph_report_open(&g, &report, snapshot_number)) == EXIT_DONE) {
        status = report_why(&g, argv[1]);
        graph_report_close(&g);
    }
    report_close(&report);
    return status;
}

const struct command command_why = {
    .name = "why",
    .synopsis = "[OPTION...] TRACE OBJECT",
    .summary = "the path of references that keeps an object alive",
    .description =
        "Shows how a snapshot's roots (modules, running frames, the interpreter, data and stacks of native code) lead "
        "to an "
        "object: a shortest path, written as a person reads code. OBJECT is #ORDINAL (the number of its allocation in "
        "this "
        "trace), 0xADDRESS, or the full name of a type (module.Class; builtins without a module). Of a type's objects, "
        "those "
        "that keep the most memory are shown.\n"
        "\n"
        "What an object keeps is what would be freed if it went: its retained size. Of an object that nothing leads "
        "to, the "
        "report says what it is then: garbage, part of a garbage cycle, or one with references that nothing explains.",
    .examples = "$ heapsake why app.hsk app.Session\n"
                "why the sessions that keep most are still there\n"
                "$ heapsake why app.hsk '#48211'\n"
                "why the block of allocation 48211 is\n"
                "$ heapsake why --json app.hsk 0x7f3a5c0d2e40\n"
                "the object at an address, for a script",
    .options = options,
    .run = run,
};
