/* make_graph.c - see make_graph.h */
#include "make_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "graph_writer.h"
#include "record/encode.h"
#include "record/trace_writer.h"

#define WORDS 24

struct choice {
    const char *name;
    unsigned value;
};

static const struct choice edge_kinds[] = {
    {"reference", HSK_EDGE_REFERENCE},
    {"attribute", HSK_EDGE_ATTRIBUTE},
    {"key", HSK_EDGE_KEY},
    {"value", HSK_EDGE_VALUE},
    {"index", HSK_EDGE_INDEX},
    {"item", HSK_EDGE_ITEM},
    {"local", HSK_EDGE_LOCAL},
    {"cell", HSK_EDGE_CELL},
    {"special", HSK_EDGE_SPECIAL},
    {"weak", HSK_EDGE_WEAK},
    {"borrowed", HSK_EDGE_BORROWED},
    {"hidden", HSK_EDGE_HIDDEN},
    {"owns", HSK_EDGE_OWNS},
    {"pointer", HSK_EDGE_POINTER},
    {"interior", HSK_EDGE_INTERIOR},
    {NULL, 0},
};
static const struct choice root_kinds[] = {
    {"frame", HSK_ROOT_FRAME},
    {"data", HSK_ROOT_DATA},
    {"stack", HSK_ROOT_STACK},
    {"registers", HSK_ROOT_REGISTERS},
    {"interpreter", HSK_ROOT_INTERPRETER},
    {"tls", HSK_ROOT_TLS},
    {NULL, 0},
};
static const struct choice object_flags[] = {
    {"tracked", HSK_OBJECT_TRACKED},     {"frozen", HSK_OBJECT_FROZEN},
    {"immortal", HSK_OBJECT_IMMORTAL},   {"static", HSK_OBJECT_STATIC},
    {"finalized", HSK_OBJECT_FINALIZED}, {"weak", HSK_OBJECT_WEAK},
    {"opaque", HSK_OBJECT_OPAQUE},       {"type", HSK_OBJECT_TYPE},
    {"interned", HSK_OBJECT_INTERNED},   {NULL, 0},
};
static const struct choice type_flags[] = {
    {"gc", HSK_TYPE_GC}, {"heap", HSK_TYPE_HEAP}, {"finalizer", HSK_TYPE_FINALIZER}, {"recycles", HSK_TYPE_RECYCLES},
    {NULL, 0},
};
static const struct choice domains[] = {
    {"malloc", HSK_DOMAIN_MALLOC},
    {"mmap", HSK_DOMAIN_MMAP},
    {"py_raw", HSK_DOMAIN_PY_RAW},
    {"py_mem", HSK_DOMAIN_PY_MEM},
    {"py_object", HSK_DOMAIN_PY_OBJECT},
    {"arena", HSK_DOMAIN_ARENA},
    {NULL, 0},
};

struct maker {
    struct trace_writer *writer;
    struct encoder encoder;
    struct made_graph graph;
    struct intern stacks;
    struct buf codes, stack_nodes;
    uint64_t next_address;
    struct intern marks;     /* names of marks and regions */
    struct buf mark_records; /* what the next MARKS chunk says */
    char *words[WORDS];      /* in word_bytes, which is of the line that is read */
    char *word_bytes;
    int count;
};

static struct intern names; /* of the nodes: number - 1 */

int made_graph_node(const char *name)
{
    return (int)intern_find(&names, name, strlen(name)) - 1;
}

/* The byte of "\xNN" at `text`; -1: there is none. */
static int escaped(const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    if (length < 4 || text[0] != '\\' || text[1] != 'x' || !text[2] || !text[3])
        return -1;
    const char *high = strchr(digits, text[2]), *low = strchr(digits, text[3]);
    return high && low ? (int)((high - digits) << 4 | (low - digits)) : -1;
}

/* Splits a line into words; false: too many. */
static bool split(struct maker *maker, const char *line, size_t length)
{
    free(maker->word_bytes);
    char *at = maker->word_bytes = malloc(2 * length + 1); /* no word is longer than in the line, but for its end */
    maker->count = 0;
    if (!at)
        return false;
    for (size_t i = 0; i < length;) {
        if (line[i] == ' ') {
            i++;
            continue;
        }
        if (line[i] == '#')
            break;
        if (maker->count == WORDS)
            return false;
        maker->words[maker->count++] = at;
        bool quoted = false;
        for (; i < length && (quoted || line[i] != ' '); i++) {
            int byte = quoted ? escaped(line + i, length - i) : -1;
            if (line[i] == '\'') {
                quoted = !quoted;
            } else if (byte > 0) {
                *at++ = (char)byte;
                i += 3;
            } else {
                *at++ = line[i];
            }
        }
        *at++ = '\0';
    }
    return true;
}

/* The word at `index`, "" when the line has fewer or it is "-". */
static const char *word(const struct maker *maker, int index)
{
    return index < maker->count && strcmp(maker->words[index], "-") != 0 ? maker->words[index] : "";
}

static bool choose(const struct choice *choices, const char *name, unsigned *value)
{
    for (; choices->name; choices++)
        if (strcmp(choices->name, name) == 0) {
            *value = choices->value;
            return true;
        }
    return false;
}

static struct made_node *node_of(struct maker *maker, const char *name)
{
    int node = made_graph_node(name);
    return node < 0 ? NULL : &maker->graph.nodes[node];
}

static struct made_node *add_node(struct maker *maker, enum hsk_graph_record record)
{
    if (maker->count < 2 || made_graph_node(maker->words[1]) >= 0)
        return NULL;
    struct made_graph *graph = &maker->graph;
    if (graph->node_count == graph->node_capacity) {
        graph->node_capacity = 2 * graph->node_capacity + 64;
        graph->nodes = reallocarray(graph->nodes, graph->node_capacity, sizeof *graph->nodes);
    }
    intern_string(&names, maker->words[1]);
    graph->nodes[graph->node_count] = (struct made_node){.record = record, .ordinal = NO_BLOCK};
    return &graph->nodes[graph->node_count++];
}

/* What objects and blocks have in common behind their first words; unknown words go to `flags`. */
static bool take_options(struct maker *maker, struct made_node *node, int first, unsigned domain)
{
    uint32_t stack = 0;
    bool no_block = false;
    node->address = maker->next_address;
    for (int i = first; i < maker->count; i++) {
        const char *text = maker->words[i], *value = strchr(text, '=');
        unsigned flag;
        if (strncmp(text, "size=", 5) == 0) {
            node->size = strtoull(value + 1, NULL, 0);
        } else if (strncmp(text, "at=", 3) == 0) {
            node->address = strtoull(value + 1, NULL, 0);
        } else if (strncmp(text, "refs=", 5) == 0) {
            node->refs_said = value[1] != '+';
            node->refs = strtoull(value + 2 - node->refs_said, NULL, 0);
        } else if (strncmp(text, "stack=", 6) == 0) {
            uint32_t before = maker->stacks.count;
            stack = intern_string(&maker->stacks, value + 1);
            if (stack > before)
                return false;
        } else if (strncmp(text, "domain=", 7) == 0) {
            if (!choose(domains, value + 1, &domain))
                return false;
        } else if (strncmp(text, "in=", 3) == 0) {
            const struct made_node *outer = node_of(maker, value + 1);
            if (!outer)
                return false;
            node->ordinal = outer->ordinal;
            node->address = outer->address + 16;
            no_block = true;
        } else if (strcmp(text, "noblock") == 0) {
            no_block = true;
        } else if (choose(object_flags, text, &flag)) {
            node->flags |= flag;
        } else {
            return false;
        }
    }
    maker->next_address += (node->size + 31) & ~UINT64_C(15);
    if (!no_block)
        node->ordinal = encoder_alloc(&maker->encoder, node->address, node->size, stack, domain, false);
    return true;
}

static bool take_object(struct maker *maker)
{
    struct made_node *node = add_node(maker, HSK_GRAPH_OBJECT);
    if (!node || maker->count < 3)
        return false;
    node->type = intern_string(&maker->graph.types, maker->words[2]);
    node->size = 48;
    return take_options(maker, node, 3, HSK_DOMAIN_PY_OBJECT);
}

static bool take_block(struct maker *maker)
{
    struct made_node *node = add_node(maker, HSK_GRAPH_BLOCK);
    if (!node || maker->count < 3)
        return false;
    node->size = strtoull(maker->words[2], NULL, 0);
    return take_options(maker, node, 3, HSK_DOMAIN_MALLOC);
}

static bool take_root(struct maker *maker)
{
    struct made_node *node = add_node(maker, HSK_GRAPH_ROOT);
    unsigned kind;
    if (!node || !choose(root_kinds, word(maker, 2), &kind))
        return false;
    node->flags = kind;
    node->name = word(maker, 3)[0] ? intern_string(&maker->graph.strings, word(maker, 3)) : 0;
    node->where = word(maker, 4)[0] ? intern_string(&maker->graph.strings, word(maker, 4)) : 0;
    node->line = strtoull(word(maker, 5), NULL, 0);
    return true;
}

static bool take_edge(struct maker *maker)
{
    int from = made_graph_node(word(maker, 1)), to = made_graph_node(word(maker, 2));
    unsigned kind;
    if (from < 0 || to < 0 || !choose(edge_kinds, word(maker, 3), &kind))
        return false;
    bool number = kind == HSK_EDGE_INDEX || kind >= HSK_EDGE_HIDDEN;
    uint32_t argument = number              ? (uint32_t)strtoul(word(maker, 4), NULL, 0)
                        : word(maker, 4)[0] ? intern_string(&maker->graph.strings, word(maker, 4))
                                            : 0;
    struct made_graph *graph = &maker->graph;
    if (graph->edge_count == graph->edge_capacity) {
        graph->edge_capacity = 2 * graph->edge_capacity + 64;
        graph->edges = reallocarray(graph->edges, graph->edge_capacity, sizeof *graph->edges);
    }
    graph->edges[graph->edge_count++] =
        (struct made_edge){.from = (uint32_t)from, .to = (uint32_t)to, .name = argument << 4 | kind};
    return true;
}

static void remove_edges(struct maker *maker, int from, int to)
{
    for (size_t i = 0; i < maker->graph.edge_count; i++) {
        struct made_edge *edge = &maker->graph.edges[i];
        edge->gone |= (from < 0 || edge->from == (uint32_t)from) && (to < 0 || edge->to == (uint32_t)to);
    }
}

static bool take_free(struct maker *maker)
{
    struct made_node *node = node_of(maker, word(maker, 1));
    if (!node || node->gone)
        return false;
    int number = (int)(node - maker->graph.nodes);
    node->gone = true;
    if (node->ordinal != NO_BLOCK)
        encoder_free(&maker->encoder, node->ordinal, false);
    remove_edges(maker, number, -1);
    remove_edges(maker, -1, number);
    return true;
}

static bool take_stack(struct maker *maker)
{
    /* one code unit, "no column, one line further": the line of offset 0 is first line + 1 */
    static const uint8_t table[] = {0xe8, 0x02};
    uint32_t caller = 0, before = maker->stacks.count;
    if (maker->count < 5)
        return false;
    if (word(maker, 5)[0] && (caller = intern_string(&maker->stacks, word(maker, 5))) > before)
        return false;
    uint32_t number = intern_string(&maker->stacks, maker->words[1]);
    if (number <= before)
        return false;
    buf_append_varint(&maker->codes, number);
    buf_append_varint(&maker->codes, strtoull(maker->words[4], NULL, 0) - 1);
    buf_append_varint(&maker->codes, 0);
    buf_append_varint(&maker->codes, 12);
    buf_append_varint(&maker->codes, 0);
    buf_append_string(&maker->codes, maker->words[3], strlen(maker->words[3]));
    buf_append_string(&maker->codes, maker->words[2], strlen(maker->words[2]));
    buf_append_string(&maker->codes, table, sizeof table);
    buf_append_varint(&maker->stack_nodes, HSK_NODE_PYTHON);
    buf_append_varint(&maker->stack_nodes, caller ? number - caller : 0);
    buf_append_signed(&maker->stack_nodes, 1); /* code: one more than that of the node before */
    buf_append_varint(&maker->stack_nodes, 0);
    return true;
}

/* --- marks and regions --- */

/* Names stand before what refers to them. */
static int flush_events(struct maker *maker, struct error *error)
{
    int code = 0;
    if (maker->mark_records.length > 0)
        code = trace_writer_buf(maker->writer, HSK_CHUNK_MARKS, &maker->mark_records, maker->encoder.first_time_ns,
                                maker->encoder.time_ns, error);
    buf_clear(&maker->mark_records);
    return code == 0 ? encoder_flush(&maker->encoder, maker->writer, error) : code;
}

static uint32_t mark_number(struct maker *maker, const char *name)
{
    uint32_t known = maker->marks.count, number = intern_string(&maker->marks, name);
    if (number > known) {
        buf_append_varint(&maker->mark_records, 0);
        buf_append_varint(&maker->mark_records, number);
        buf_append_string(&maker->mark_records, name, strlen(name));
    }
    return number;
}

/* mark NAME; begin OCCURRENCE NAME [all]; end OCCURRENCE */
static bool take_mark(struct maker *maker)
{
    if (strcmp(maker->words[0], "mark") == 0) {
        encoder_mark(&maker->encoder, HSK_MARK_NAMED, mark_number(maker, word(maker, 1)));
        return maker->count == 2;
    }
    uint64_t occurrence = strtoull(word(maker, 1), NULL, 0);
    bool begins = strcmp(maker->words[0], "begin") == 0;
    if (begins) {
        uint32_t number = mark_number(maker, word(maker, 2));
        buf_append_varint(&maker->mark_records, 1);
        buf_append_varint(&maker->mark_records, occurrence);
        buf_append_varint(&maker->mark_records, number);
        buf_append_varint(&maker->mark_records, strcmp(word(maker, 3), "all") == 0 ? HSK_REGION_ALL_THREADS : 0);
    }
    encoder_mark(&maker->encoder, begins ? HSK_MARK_REGION_BEGIN : HSK_MARK_REGION_END, occurrence);
    return occurrence > 0;
}

static int take_snapshot(struct maker *maker, struct error *error)
{
    const struct made_moment moment = {.reason = word(maker, 1)[0] ? word(maker, 1) : "asked",
                                       .time_ns = maker->encoder.time_ns,
                                       .event = maker->encoder.allocations + maker->encoder.frees};
    int code = flush_events(maker, error);
    return code == 0 ? graph_writer_snapshot(&maker->graph, maker->writer, &moment, error) : code;
}

static bool take_flags(struct maker *maker)
{
    uint32_t type = intern_string(&maker->graph.types, word(maker, 1));
    for (int i = 2; i < maker->count; i++) {
        unsigned flag = 0;
        int node = strncmp(maker->words[i], "node=", 5) == 0 ? made_graph_node(maker->words[i] + 5) : -1;
        if (node >= 0)
            maker->graph.type_nodes[type & 255] = (uint32_t)node + 1;
        else if (!choose(type_flags, maker->words[i], &flag))
            return false;
        maker->graph.type_flags[type & 255] |= flag;
    }
    return true;
}

/* The rest of the words, separated by spaces, as a problem of the next snapshot. */
static bool take_problem(struct maker *maker)
{
    struct buf text = BUF_INIT;
    for (int i = 1; i < maker->count; i++)
        buf_printf(&text, "%s%s", i > 1 ? " " : "", maker->words[i]);
    trace_field_bytes(&maker->graph.problems, HSK_FIELD_SNAPSHOT_PROBLEM, text.data, text.length);
    buf_free(&text);
    return true;
}

static bool take_node_word(struct maker *maker)
{
    struct made_node *node = node_of(maker, word(maker, 1));
    if (node && strcmp(maker->words[0], "leave-out") == 0)
        node->left_out = true;
    else if (node)
        node->split = true;
    return node != NULL;
}

static bool take_cut(struct maker *maker)
{
    int from = made_graph_node(word(maker, 1)), to = made_graph_node(word(maker, 2));
    if (from >= 0 && to >= 0)
        remove_edges(maker, from, to);
    return from >= 0 && to >= 0;
}

/* One line; false: it is wrong. */
static bool take_line(struct maker *maker, int *code, struct error *error)
{
    const char *what = maker->words[0];
    if (strcmp(what, "object") == 0)
        return take_object(maker);
    if (strcmp(what, "block") == 0)
        return take_block(maker);
    if (strcmp(what, "root") == 0)
        return take_root(maker);
    if (strcmp(what, "edge") == 0)
        return take_edge(maker);
    if (strcmp(what, "cut") == 0)
        return take_cut(maker);
    if (strcmp(what, "free") == 0)
        return take_free(maker);
    if (strcmp(what, "stack") == 0)
        return take_stack(maker);
    if (strcmp(what, "type") == 0)
        return take_flags(maker);
    if (strcmp(what, "problem") == 0)
        return take_problem(maker);
    if (strcmp(what, "leave-out") == 0 || strcmp(what, "split") == 0)
        return take_node_word(maker);
    if (strcmp(what, "mark") == 0 || strcmp(what, "begin") == 0 || strcmp(what, "end") == 0)
        return take_mark(maker);
    if (strcmp(what, "time") == 0)
        encoder_tick(&maker->encoder, strtoull(word(maker, 1), NULL, 0) * 1000000);
    else if (strcmp(what, "parts") == 0)
        maker->graph.part_records = strtoull(word(maker, 1), NULL, 0);
    else if (strcmp(what, "thread") == 0)
        encoder_thread(&maker->encoder, (uint32_t)strtoul(word(maker, 1), NULL, 0));
    else if (strcmp(what, "finalize") == 0)
        encoder_mark(&maker->encoder, HSK_MARK_FINALIZE, 0);
    else if (strcmp(what, "not-whole") == 0)
        maker->graph.not_whole = true;
    else if (strcmp(what, "snapshot") == 0)
        *code = take_snapshot(maker, error);
    else
        return false;
    return true;
}

static int take_text(struct maker *maker, const char *text, struct error *error)
{
    int code = 0;
    for (unsigned line = 1; *text && code == 0; line++) {
        size_t length = strcspn(text, "\n");
        if (!split(maker, text, length) || (maker->count > 0 && !take_line(maker, &code, error)))
            code = error_set(error, -EINVAL, "line %u: %.*s", line, (int)length, text);
        text += length + (text[length] == '\n');
        if (encoder_full(&maker->encoder) && code == 0)
            code = flush_events(maker, error);
    }
    return code;
}

static int write_rest(struct maker *maker, struct error *error)
{
    struct buf raw = BUF_INIT;
    uint64_t now = maker->encoder.time_ns;
    int code = flush_events(maker, error);
    if (code == 0)
        code = trace_writer_buf(maker->writer, HSK_CHUNK_CODES, &maker->codes, now, now, error);
    if (code == 0 && maker->stacks.count > 0) {
        buf_append_varint(&raw, 1);
        buf_append(&raw, maker->stack_nodes.data, maker->stack_nodes.length);
        code = trace_writer_buf(maker->writer, HSK_CHUNK_NODES, &raw, now, now, error);
        buf_clear(&raw);
    }
    trace_field_string(&raw, HSK_FIELD_PYTHON_VERSION, "3.12.1");
    trace_field_number(&raw, HSK_FIELD_DURATION, now);
    trace_field_number(&raw, HSK_FIELD_EXIT_STATUS, 0);
    trace_field_string(&raw, HSK_FIELD_ENDED_BY, "exit");
    trace_field_number(&raw, HSK_FIELD_ALLOCATIONS, maker->encoder.allocations);
    trace_field_number(&raw, HSK_FIELD_FREES, maker->encoder.frees);
    trace_field_number(&raw, HSK_FIELD_LOST, 0);
    if (code == 0)
        code = trace_writer_buf(maker->writer, HSK_CHUNK_END, &raw, now, now, error);
    buf_free(&raw);
    return code;
}

static int write_process(struct maker *maker, struct error *error)
{
    struct buf raw = BUF_INIT;
    trace_field_string(&raw, HSK_FIELD_RECORDER_VERSION, "0.1.0");
    trace_field_number(&raw, HSK_FIELD_PID, 4321);
    trace_field_number(&raw, HSK_FIELD_PARENT_PID, 4320);
    trace_field_string(&raw, HSK_FIELD_ARGUMENT, "python3");
    trace_field_string(&raw, HSK_FIELD_ARGUMENT, "app.py");
    trace_field_string(&raw, HSK_FIELD_EXECUTABLE, "/usr/bin/python3.12");
    trace_field_number(&raw, HSK_FIELD_START_TIME, UINT64_C(1700000000000000000));
    int code = trace_writer_buf(maker->writer, HSK_CHUNK_PROCESS, &raw, 0, 0, error);
    buf_free(&raw);
    return code;
}

int made_graph_write(const char *path, const char *text)
{
    struct error error = {0};
    struct maker *maker = calloc(1, sizeof *maker);
    if (!maker)
        return -ENOMEM;
    maker->next_address = UINT64_C(0x7f0000000000);
    intern_free(&names);
    names = INTERN_INIT;
    int code = encoder_init(&maker->encoder, 0, 0);
    if (code == 0)
        code = trace_writer_open(&maker->writer, path, true, &error);
    if (code == 0)
        code = write_process(maker, &error);
    if (code == 0)
        code = take_text(maker, text, &error);
    if (code == 0)
        code = write_rest(maker, &error);
    if (code == 0)
        code = trace_writer_finish(maker->writer, &error);
    else
        trace_writer_abandon(maker->writer);
    if (code != 0)
        error_print(&error);
    encoder_destroy(&maker->encoder);
    graph_writer_free(&maker->graph);
    intern_free(&maker->stacks);
    buf_free(&maker->codes);
    buf_free(&maker->stack_nodes);
    intern_free(&maker->marks);
    buf_free(&maker->mark_records);
    free(maker->word_bytes);
    free(maker);
    return code;
}
