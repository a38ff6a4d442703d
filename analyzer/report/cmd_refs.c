/* cmd_refs.c - `heapsake refs`: the refcount ledger of an object, of a type, of a site. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "model/count_balance.h"
#include "model/counts.h"
#include "model/frame_roles.h"
#include "report/graph_report.h"
#include "report/out_json.h"
#include "report/out_text.h"
#include "report/report_options.h"
#include "trace/watch_records.h"

#define TEXT_SITES 10
#define TEXT_CHANGES 40 /* of a longer history, as many from both ends together */
#define TEXT_FRAMES 4

static bool as_json;
static int64_t limit = -1;
static const char *type_wanted, *site_wanted;

static const struct option options[] = {
    {.name = "type",
     .kind = OPTION_STRING,
     .value_name = "T",
     .value = &type_wanted,
     .help = "the balance of all objects of type T (module.Class, or Class alone)"},
    {.name = "site",
     .kind = OPTION_STRING,
     .value_name = "S",
     .value = &site_wanted,
     .help = "the balance of all objects born at S: FILE:LINE or FUNCTION of the innermost Python frame"},
    REPORT_OPTION_JSON(as_json),
    REPORT_OPTION_LIMIT(limit,
                        "show N sites, and N changes of a history (default: 10 and 40 as text, all as JSON; 0: all)"),
    {0},
};

/* What the report is about. */
struct ledger {
    struct report *report;
    struct counts counts;
    struct graph_report graph;
    bool has_graph;
    const struct counted *object; /* the one that OBJECT names; NULL: many   */
    uint64_t changes, dead, alive;
    uint64_t by_source[HSK_COUNT_SOURCES]; /* objects */
    struct count_balance balance;
};

/* ---- the snapshot's word ---- */

static uint32_t node_of(const struct ledger *l, const struct counted *object)
{
    if (!l->has_graph)
        return UINT32_MAX;
    for (uint32_t n = 0; n < l->graph.graph.node_count; n++) {
        const struct ref_node *node = &l->graph.graph.nodes[n];
        if (ref_kind(node) != REF_OBJECT)
            continue;
        if (object->ordinal != COUNTED_NO_ORDINAL
                ? ref_ordinal(node) == object->ordinal && l->graph.own[n] > 0
                : ref_ordinal(node) == REF_NO_ORDINAL && node->address == object->address)
            return n;
    }
    return UINT32_MAX;
}

/* Types of objects whose births nobody told, by those that the last snapshot found alive. */
static bool take_types(struct ledger *l)
{
    struct map64 unnamed = MAP64_INIT;
    uint32_t index;
    char text[1024];
    bool done = true;
    for (size_t i = 0; i < l->counts.object_count && done; i++) {
        const struct counted *object = &l->counts.objects[i];
        if (object->type == 0 && !object->dead && object->ordinal != COUNTED_NO_ORDINAL)
            done = map64_put(&unnamed, object->ordinal, (uint32_t)i);
    }
    for (uint32_t n = 0; n < l->graph.graph.node_count && done && unnamed.count > 0; n++) {
        const struct ref_node *node = &l->graph.graph.nodes[n];
        if (ref_kind(node) != REF_OBJECT || l->graph.own[n] == 0 || !map64_get(&unnamed, ref_ordinal(node), &index))
            continue;
        ref_type_name(&l->graph.graph, node->type, text, sizeof text);
        done = (l->counts.objects[index].type = intern_string(&l->counts.type_names.names, text)) != 0;
    }
    map64_free(&unnamed);
    return done;
}

/* Its finalizer has run, and it lives. Of what the collector does not know, the type alone says that it has one. */
static bool was_finalized(const struct ref_graph *graph, const struct ref_node *node)
{
    uint32_t flags = node->type < graph->type_count ? graph->types[node->type].flags : 0;
    return flags & HSK_TYPE_FINALIZER && (!(flags & HSK_TYPE_GC) || node->flags & HSK_OBJECT_FINALIZED);
}

static bool ended_before_snapshot(const struct ledger *l, const struct counted *object)
{
    return object->kept > 0 && counts_of(&l->counts, object)[object->kept - 1].time_ns <= l->graph.snapshot->time_ns;
}

/*
 * A watch ends where the count comes to 0. A finalizer may have brought the object back: then it is in the snapshot,
 * and from 3.13 on it may have been watched again, as if born anew.
 */
static bool find_brought_back(struct ledger *l)
{
    struct map64 watched = MAP64_INIT; /* by ordinal: the last watch there */
    struct counted *objects = l->counts.objects;
    uint32_t last;
    bool done = true;
    for (size_t i = 0; i < l->counts.object_count && done; i++)
        if (objects[i].watch && objects[i].ordinal != COUNTED_NO_ORDINAL)
            done = map64_put(&watched, objects[i].ordinal, (uint32_t)i);
    for (uint32_t n = 0; n < l->graph.graph.node_count && done && watched.count > 0; n++) {
        const struct ref_node *node = &l->graph.graph.nodes[n];
        if (ref_kind(node) == REF_OBJECT && l->graph.own[n] > 0 && was_finalized(&l->graph.graph, node) &&
            map64_get(&watched, ref_ordinal(node), &last))
            objects[last].brought_back = !objects[last].dead || ended_before_snapshot(l, &objects[last]);
    }
    for (size_t i = 0; i < l->counts.object_count && done; i++) {
        if (!objects[i].watch || !map64_get(&watched, objects[i].ordinal, &last) || !objects[last].brought_back)
            continue;
        objects[i].brought_back = true;
        objects[i].continued = last != i;
        objects[i].dead = false;
    }
    map64_free(&watched);
    return done;
}

/* ---- choosing ---- */

static const char *type_of(const struct ledger *l, const struct counted *object)
{
    return object->type ? type_names_text(&l->counts.type_names, object->type) : NULL;
}

/* "module.Class", or its last part. */
static bool is_type(const char *name, const char *wanted)
{
    if (!name)
        return false;
    size_t length = strlen(name), wanted_length = strlen(wanted);
    return length >= wanted_length && strcmp(name + length - wanted_length, wanted) == 0 &&
           (length == wanted_length || name[length - wanted_length - 1] == '.');
}

static bool ends_with(struct text text, const char *end, size_t length, char before)
{
    return text.bytes && text.length >= length && memcmp(text.bytes + text.length - length, end, length) == 0 &&
           (text.length == length || text.bytes[text.length - length - 1] == before);
}

/* FILE:LINE or FUNCTION against the innermost Python frame of a birth; without one, against the innermost frame. */
static bool is_site(const struct ledger *l, uint32_t node, const char *wanted)
{
    const struct stacks *stacks = l->report->stacks;
    uint32_t stack = stacks_of_node(l->report->stacks, node), chosen = stack;
    for (; stack; stack = stacks_caller(stacks, stack))
        if (stacks_frame(stacks, stack).language == FRAME_PYTHON) {
            chosen = stack;
            break;
        }
    if (!chosen)
        return false;
    struct frame frame = stacks_frame(stacks, chosen);
    const char *colon = strrchr(wanted, ':');
    char *end;
    if (colon && colon[1]) {
        unsigned long line = strtoul(colon + 1, &end, 10);
        if (*end == '\0')
            return frame.line == line && ends_with(frame.file, wanted, (size_t)(colon - wanted), '/');
    }
    return ends_with(frame.function, wanted, strlen(wanted), '.');
}

/* The object that OBJECT names: the one with the longest history, when there are several. EXIT_DONE also for a type. */
static int choose_object(struct ledger *l, const char *name)
{
    const char *path = l->report->reader->path;
    char *end = NULL;
    uint64_t number = 0;
    bool by_ordinal = name[0] == '#', by_address = strncmp(name, "0x", 2) == 0;
    if (!by_ordinal && !by_address) {
        if (type_wanted) {
            message_print("refs: give one type: %s, or --type %s", name, type_wanted);
            return EXIT_USAGE;
        }
        type_wanted = name;
        return EXIT_DONE;
    }
    const char *digits = by_ordinal ? name + 1 : name + 2;
    errno = 0;
    number = strtoull(digits, &end, by_ordinal ? 10 : 16);
    /* strtoull takes signs, blanks and a second 0x, too; the highest number stands for no ordinal, and 0
     * for no address */
    if (!isxdigit((unsigned char)digits[0]) || end == digits || *end != '\0' || errno != 0 ||
        (by_ordinal ? number == COUNTED_NO_ORDINAL : number == 0 || (digits[1] | 32) == 'x')) {
        message_print("refs: %s is no object: give #ORDINAL, 0xADDRESS or a type", name);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < l->counts.object_count; i++) {
        const struct counted *object = &l->counts.objects[i];
        bool same = by_ordinal ? object->ordinal == number : object->address == number;
        if (same && !object->shadowed && (!l->object || object->length > l->object->length))
            l->object = object;
    }
    if (l->object)
        return EXIT_DONE;
    message_print("%s: the count of %s was not recorded: give one that heapsake refs %s lists, or record again with "
                  "--watch",
                  path, name, path);
    return EXIT_UNUSABLE;
}

/*
 * None, a static type: no block of its own, so it never goes. Who takes a reference to it and returns that is told, and
 * the interpreter, which gives it back, is not.
 */
static bool is_fixture(const struct counted *object)
{
    return object->ordinal == COUNTED_NO_ORDINAL &&
           (object->source == HSK_COUNT_INSTRUMENTED || object->source == HSK_COUNT_ENTRY_POINT);
}

static int choose(struct ledger *l, const char *name)
{
    int status = name ? choose_object(l, name) : EXIT_DONE;
    bool any = false;
    for (size_t i = 0; i < l->counts.object_count && status == EXIT_DONE; i++) {
        const struct counted *object = &l->counts.objects[i];
        bool chosen = !object->shadowed && (l->object ? object == l->object : !is_fixture(object)) &&
                      (!type_wanted || is_type(type_of(l, object), type_wanted)) &&
                      (!site_wanted || is_site(l, object->birth_node, site_wanted));
        if (!chosen)
            continue;
        any = true;
        l->by_source[object->source < HSK_COUNT_SOURCES ? object->source : 0]++;
        l->changes += object->length;
        l->dead += object->dead;
        l->alive += !object->dead && !object->continued;
        balance_add(&l->balance, &l->counts, object);
    }
    if (status == EXIT_DONE && !any) {
        message_print("%s: no object%s%s%s%s had its count recorded", l->report->reader->path,
                      type_wanted ? " of type " : "", type_wanted ? type_wanted : "", site_wanted ? " born at " : "",
                      site_wanted ? site_wanted : "");
        status = EXIT_UNUSABLE;
    }
    return status;
}

/* ---- JSON ---- */

static void json_object(struct json *json, struct ledger *l, uint32_t node)
{
    const struct counted *object = l->object;
    if (!object) {
        put_null(json, "object");
        return;
    }
    open_object(json, "object");
    if (object->ordinal == COUNTED_NO_ORDINAL)
        put_null(json, "ordinal");
    else
        put_unsigned(json, "ordinal", object->ordinal);
    put_string(json, "type", type_of(l, object));
    put_address(json, "address", object->address);
    if (node != UINT32_MAX)
        put_unsigned(json, "bytes", l->graph.own[node]);
    else
        put_null(json, "bytes");
    put_string(json, "source", count_source_name(object->source));
    put_bool(json, "from_birth", object->flags & HSK_WATCH_BORN);
    put_bool(json, "alive", !object->dead);
    put_bool(json, "brought_back", object->brought_back);
    put_stack(json, "stack", l->report->stacks, stacks_of_node(l->report->stacks, object->birth_node));
    close_object(json);
}

static void json_counts(struct json *json, const struct ledger *l, uint32_t node)
{
    if (node != UINT32_MAX) {
        int64_t refcount = l->graph.graph.nodes[node].refcount, unexplained = l->graph.reach.unexplained[node];
        put_signed(json, "refcount", refcount);
        put_signed(json, "explained", refcount - unexplained);
        put_signed(json, "unexplained", unexplained);
        return;
    }
    if (l->object)
        put_unsigned(json, "refcount", l->object->count);
    else
        put_null(json, "refcount");
    put_null(json, "explained");
    put_null(json, "unexplained");
}

static size_t shown_of(size_t count, size_t by_default)
{
    size_t wanted = limit < 0 ? by_default : limit == 0 ? SIZE_MAX : (size_t)limit;
    return count < wanted ? count : wanted;
}

static void json_history(struct json *json, struct ledger *l)
{
    open_array(json, "history");
    size_t count = l->object ? shown_of(l->object->length, SIZE_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        const struct count_change *change = &counts_of(&l->counts, l->object)[i];
        open_object(json, NULL);
        put_seconds(json, "time", change->time_ns);
        put_signed(json, "delta", change->delta);
        put_unsigned(json, "refcount", change->count);
        put_bool(json, "birth", change->birth);
        if (change->birth)
            put_null(json, "thread");
        else
            put_unsigned(json, "thread", change->thread);
        put_bool(json, "teardown", i >= l->object->kept);
        put_stack(json, "stack", l->report->stacks, stacks_of_node(l->report->stacks, change->node));
        close_object(json);
    }
    close_array(json);
}

static void json_sites(struct json *json, const struct ledger *l)
{
    open_array(json, "sites");
    for (size_t i = 0; i < shown_of(l->balance.site_count, SIZE_MAX); i++) {
        const struct balance_site *site = &l->balance.sites[i];
        open_object(json, NULL);
        put_unsigned(json, "increments", site->increments);
        put_unsigned(json, "decrements", site->decrements + site->unpaired);
        put_signed(json, "net", site->net);
        put_unsigned(json, "objects", site->objects);
        put_stack(json, "stack", l->report->stacks, site->stack);
        close_object(json);
    }
    close_array(json);
}

/* ---- coverage ---- */

struct seen {
    const char *increments; /* "all", "some" or "none" */
    const char *how;
};

static struct seen seen_of(unsigned long flags)
{
    if (flags & HSK_COVERAGE_INSTRUMENTED)
        return (struct seen){"all", "compiled with heapsake's Python.h"};
    if (flags & HSK_COVERAGE_ENTRY_POINTS)
        return (struct seen){"some", "its calls of counting functions are seen, inlined counting is not"};
    return (struct seen){"none", "its counting is inlined, or done by calls that --refs sees; --watch sees all"};
}

static void json_coverage(struct json *json, const struct ledger *l)
{
    const struct text_list *coverage = &l->report->info.coverage;
    open_array(json, "coverage");
    if (l->by_source[HSK_COUNT_WATCH] > 0) {
        open_object(json, NULL);
        put_string(json, "module", "*");
        put_string(json, "increments", "all");
        put_string(json, "how", "of watched objects a watchpoint sees every change, whoever makes it");
        close_object(json);
    }
    for (size_t i = 0; i < coverage->count; i++) {
        char *path;
        struct seen seen = seen_of(strtoul(coverage->texts[i], &path, 10));
        open_object(json, NULL);
        put_string(json, "module", *path == ' ' ? path + 1 : path);
        put_string(json, "increments", seen.increments);
        put_string(json, "how", seen.how);
        close_object(json);
    }
    close_array(json);
}

static void print_coverage(const struct ledger *l)
{
    const struct text_list *coverage = &l->report->info.coverage;
    if (l->by_source[HSK_COUNT_WATCH] > 0 && l->alive + l->dead == l->by_source[HSK_COUNT_WATCH])
        return; /* every change */
    out_heading("What could be seen");
    for (size_t i = 0; i < coverage->count; i++) {
        char *path;
        struct seen seen = seen_of(strtoul(coverage->texts[i], &path, 10));
        struct text name = out_base_name((struct text){path, strlen(path)});
        printf("  %-4s  ", seen.increments);
        out_untrusted(stdout, name.bytes, name.length);
        printf(": %s\n", seen.how);
    }
    if (coverage->count == 0)
        printf("  Only what the sources tell: record with --watch to see every change.\n");
}

/* ---- text ---- */

/* On one line: the innermost frame, and of its callers down to Python those that do not act for others. */
static void print_places(const struct stacks *stacks, uint32_t stack)
{
    for (unsigned shown = 0; stack && shown < TEXT_FRAMES; stack = stacks_caller(stacks, stack)) {
        struct frame frame = stacks_frame(stacks, stack);
        if (shown == 0 ? frame_only_counts(&frame) : frame_acts_for_others(&frame))
            continue;
        if (shown++ > 0)
            fputs(" \xe2\x86\x90 ", stdout);
        out_frame(stdout, &frame);
        if (frame.language == FRAME_PYTHON)
            break;
    }
}

static void print_change(struct ledger *l, const struct count_change *change, bool teardown)
{
    char when[OUT_NUMBER_SIZE], delta[24];
    uint32_t stack = stacks_of_node(l->report->stacks, change->node);
    snprintf(delta, sizeof delta, "%+" PRId32, change->delta);
    printf("  %10s  %s%5" PRIu64 "%s  %-5s ", out_seconds(when, change->time_ns), out_color(OUT_NUMBER), change->count,
           out_color(OUT_PLAIN), change->birth ? "born" : delta);
    print_places(l->report->stacks, stack);
    puts(teardown ? "  (teardown)" : "");
}

static void print_history(struct ledger *l)
{
    const struct counted *object = l->object;
    const struct count_change *changes = counts_of(&l->counts, object);
    size_t shown = shown_of(object->length, TEXT_CHANGES), head = (shown + 1) / 2;
    out_heading("Its count");
    printf("  %10s  %5s  %-5s %s\n", "time", "count", "", "where");
    for (size_t i = 0; i < object->length; i++) {
        if (i == head && shown < object->length) {
            printf("  %s... %zu more: --limit 0 shows all%s\n", out_color(OUT_DIM), object->length - shown,
                   out_color(OUT_PLAIN));
            i = object->length - (shown - head);
            if (i >= object->length)
                break;
        }
        print_change(l, &changes[i], i >= object->kept);
    }
}

static void print_object(const struct ledger *l, uint32_t node)
{
    const struct counted *object = l->object;
    const char *type = type_of(l, object);
    out_heading("The count of one object");
    fputs("  ", stdout);
    out_untrusted(stdout, type ? type : "an object", strlen(type ? type : "an object"));
    if (object->ordinal != COUNTED_NO_ORDINAL)
        printf(" #%" PRIu64, object->ordinal);
    if (object->address)
        printf(" at 0x%" PRIx64, object->address);
    printf(", told by %s%s\n", count_source_name(object->source),
           object->flags & HSK_WATCH_BORN ? " from its birth on" : "");
    if (object->dead)
        printf("  It died before the program was done.\n");
    else if (object->brought_back && object->count == 0)
        printf("  It came to 0, and its finalizer brought it back; %s",
               object->continued ? "from then on another watch tells of it"
                                 : "what its count did from then on was not followed");
    else
        printf("  %" PRIu64 " reference%s at the end", object->count, object->count == 1 ? "" : "s");
    if (!object->dead && node != UINT32_MAX) {
        int32_t unexplained = l->graph.reach.unexplained[node];
        printf("; in the last snapshot %" PRIu32 ", of which %" PRId32 " unexplained",
               l->graph.graph.nodes[node].refcount, unexplained);
    }
    if (!object->dead)
        puts(".");
    if (object->begin_count > 0)
        printf("  %" PRIu64 " of its references %s from before the recording of its count.\n", object->begin_count,
               object->begin_count == 1 ? "is" : "are");
}

static void print_summary(const struct ledger *l)
{
    char objects[OUT_NUMBER_SIZE], changes[OUT_NUMBER_SIZE];
    out_heading("Counts");
    printf("  %s objects, %" PRIu64 " died and %" PRIu64 " are alive; %s changes of their counts\n",
           out_count(objects, l->alive + l->dead), l->dead, l->alive, out_count(changes, l->changes));
    for (unsigned source = 0; source < HSK_COUNT_SOURCES; source++)
        if (l->by_source[source] > 0)
            printf("  %" PRIu64 " told by %s\n", l->by_source[source], count_source_name(source));
}

static void print_sites(const struct ledger *l)
{
    char number[OUT_NUMBER_SIZE];
    size_t open = 0, shown;
    while (open < l->balance.site_count && l->balance.sites[open].net != 0)
        open++;
    shown = shown_of(open, TEXT_SITES);
    out_heading("Not undone");
    if (open == 0)
        printf("  Every increment that was seen was undone.\n");
    for (size_t i = 0; i < shown; i++) {
        const struct balance_site *site = &l->balance.sites[i];
        printf("\n  %s%+" PRId64 "%s  ", out_color(OUT_NUMBER), site->net, out_color(OUT_PLAIN));
        if (site->net < 0)
            printf("given back here, and never seen being taken\n");
        else
            printf("of %s increment%s, in %" PRIu64 " object%s\n", out_count(number, site->increments),
                   site->increments == 1 ? "" : "s", site->objects, site->objects == 1 ? "" : "s");
        fputs("      ", stdout);
        print_places(l->report->stacks, site->stack);
        putchar('\n');
    }
    if (shown < open)
        printf("\n  %zu more: --limit 0 shows all\n", open - shown);
}

/* ---- the command ---- */

static int print(struct ledger *l)
{
    uint32_t node = l->object ? node_of(l, l->object) : UINT32_MAX;
    out_begin(!as_json);
    if (as_json) {
        struct json json = JSON_INIT(stdout);
        open_object(&json, NULL);
        json_object(&json, l, node);
        put_unsigned(&json, "objects", l->alive + l->dead);
        put_unsigned(&json, "changes", l->changes);
        json_counts(&json, l, node);
        json_history(&json, l);
        json_sites(&json, l);
        json_coverage(&json, l);
        close_object(&json);
        put_end(&json);
    } else {
        if (l->object) {
            print_object(l, node);
            print_history(l);
        } else {
            print_summary(l);
        }
        print_sites(l);
        print_coverage(l);
    }
    return out_end();
}

static int load(struct ledger *l)
{
    struct report *report = l->report;
    struct error error = {0};
    struct graph_snapshots snapshots = {0};
    if (!counts_any(report->reader, &report->info)) {
        report_warn(report);
        message_print("%s: no counts were recorded: record with --watch type:NAME (see heapsake run --help), or with "
                      "--refs",
                      report->reader->path);
        return EXIT_UNUSABLE;
    }
    if (counts_load(&l->counts, report->reader, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    int status = report_load_stacks(report);
    if (status == EXIT_DONE)
        status = report_load_snapshots(report, &snapshots);
    if (status == EXIT_DONE && snapshots.count > 0) {
        status = graph_report_open(&l->graph, report, -1); /* warns, too */
        l->has_graph = status == EXIT_DONE;
    } else if (status == EXIT_DONE) {
        report_warn(report);
    }
    graph_snapshots_free(&snapshots);
    return status;
}

static int report_refs(struct ledger *l, const char *name)
{
    int status = load(l);
    bool memory = true;
    if (status == EXIT_DONE) {
        balance_begin(&l->balance, l->report->stacks);
        memory = !l->has_graph || (take_types(l) && find_brought_back(l));
    }
    if (status == EXIT_DONE && memory)
        status = choose(l, name);
    if (status == EXIT_DONE && memory && (memory = balance_finish(&l->balance)))
        status = print(l);
    if (!memory) {
        message_print("%s: out of memory", l->report->reader->path);
        status = EXIT_UNUSABLE;
    }
    balance_free(&l->balance);
    if (l->has_graph)
        graph_report_close(&l->graph);
    counts_free(&l->counts);
    return status;
}

static int run(int argc, char **argv)
{
    if (argc < 1 || argc > 2) {
        message_print("refs: %s (see heapsake refs --help)",
                      argc < 1 ? "give a trace" : "give one trace and at most one object");
        return EXIT_USAGE;
    }
    struct report report;
    int status = report_open(&report, argv[0]);
    if (status != EXIT_DONE)
        return status;
    struct ledger ledger = {.report = &report};
    status = report_refs(&ledger, argc > 1 ? argv[1] : NULL);
    report_close(&report);
    return status;
}

const struct command command_refs = {
    .name = "refs",
    .synopsis = "[OPTION...] TRACE [OBJECT]",
    .summary = "the refcount ledger: who took references and did not give them back",
    .description =
        "Shows how the reference counts went that a recording with --watch, --refs or instrumented extensions has "
        "followed. Of one OBJECT: every change, with the count that it left and where it was made. Of a type, of a "
        "site or of all: the balance. Each decrement is paired with the increment that it most likely undoes; what is "
        "left over are the references that still stood when the program was done, by where they were taken. A call "
        "that forgets its Py_DECREF stands at the top, with as many as it has forgotten.\n"
        "\n"
        "OBJECT is #ORDINAL (the number of its allocation, as why and leaks show it), 0xADDRESS, or a type. With a "
        "snapshot, the report says how many of an object's references the object graph explains.",
    .examples = "$ heapsake refs app.hsk\n"
                "which references of all watched objects were never given back\n"
                "$ heapsake refs --type app.Session app.hsk\n"
                "the same of the sessions alone\n"
                "$ heapsake refs app.hsk '#48211'\n"
                "the history of one object's count",
    .options = options,
    .run = run,
};
