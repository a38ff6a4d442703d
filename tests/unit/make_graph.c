/* make_graph.c - see make_graph.h */
#include "make_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "record/encode.h"
#include "record/trace_writer.h"

#define WORDS 24
#define NO_ORDINAL UINT64_MAX

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

struct made_edge {
    uint32_t from, to, name; /* argument << 4 | kind, as in the file */
    bool gone;
};

struct made_node {
    enum hsk_graph_record record; /* OBJECT, BLOCK, ROOT */
    uint64_t address, size, ordinal, refs;
    uint32_t type, flags; /* ROOT: kind in flags */
    uint32_t name, where; /* ROOT: strings       */
    uint64_t line;
    bool refs_said; /* else `refs` are added to the edges that are counted */
    bool gone, left_out, split;
};

struct maker {
    struct trace_writer *writer;
    struct encoder encoder;
    struct made_node *nodes;
    struct made_edge *edges;
    size_t node_capacity, edge_count, edge_capacity;
    struct intern strings, types, stacks;
    uint32_t type_flags[256], type_nodes[256]; /* node of the type object + 1 */
    struct buf codes, stack_nodes;
    uint32_t snapshot;
    uint64_t parts, next_address;
    struct buf problems;
    struct intern marks;     /* names of marks and regions */
    struct buf mark_records; /* what the next MARKS chunk says */
    bool not_whole;
    char *words[WORDS]; /* in word_bytes, which is of the line that is read */
    char *word_bytes;
    int count;
};

static struct intern names; /* of the nodes: number - 1 */

int made_graph_node(const char *name)
{
    for (uint32_t i = 1; i <= names.count; i++)
        if (strcmp(intern_get(&names, i, NULL), name) == 0)
            return (int)i - 1;
    return -1;
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
    return node < 0 ? NULL : &maker->nodes[node];
}

static struct made_node *add_node(struct maker *maker, enum hsk_graph_record record)
{
    if (maker->count < 2 || made_graph_node(maker->words[1]) >= 0)
        return NULL;
    if (names.count == maker->node_capacity) {
        maker->node_capacity = 2 * maker->node_capacity + 64;
        maker->nodes = reallocarray(maker->nodes, maker->node_capacity, sizeof *maker->nodes);
    }
    uint32_t number = intern_string(&names, maker->words[1]);
    maker->nodes[number - 1] = (struct made_node){.record = record, .ordinal = NO_ORDINAL};
    return &maker->nodes[number - 1];
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
    node->type = intern_string(&maker->types, maker->words[2]);
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
    node->name = word(maker, 3)[0] ? intern_string(&maker->strings, word(maker, 3)) : 0;
    node->where = word(maker, 4)[0] ? intern_string(&maker->strings, word(maker, 4)) : 0;
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
                        : word(maker, 4)[0] ? intern_string(&maker->strings, word(maker, 4))
                                            : 0;
    if (maker->edge_count == maker->edge_capacity) {
        maker->edge_capacity = 2 * maker->edge_capacity + 64;
        maker->edges = reallocarray(maker->edges, maker->edge_capacity, sizeof *maker->edges);
    }
    maker->edges[maker->edge_count++] =
        (struct made_edge){.from = (uint32_t)from, .to = (uint32_t)to, .name = argument << 4 | kind};
    return true;
}

static void remove_edges(struct maker *maker, int from, int to)
{
    for (size_t i = 0; i < maker->edge_count; i++) {
        struct made_edge *edge = &maker->edges[i];
        edge->gone |= (from < 0 || edge->from == (uint32_t)from) && (to < 0 || edge->to == (uint32_t)to);
    }
}

static bool take_free(struct maker *maker)
{
    struct made_node *node = node_of(maker, word(maker, 1));
    if (!node || node->gone)
        return false;
    int number = (int)(node - maker->nodes);
    node->gone = true;
    if (node->ordinal != NO_ORDINAL)
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

/* The state of one GRAPH chunk that is being made. */
struct part {
    struct buf raw;
    uint64_t number, records;
    uint64_t node, address, ordinal;
};

static void begin_part(struct maker *maker, struct part *part)
{
    part->raw = BUF_INIT;
    buf_append_varint(&part->raw, maker->snapshot);
    buf_append_varint(&part->raw, part->number++);
    part->records = part->node = part->address = part->ordinal = 0;
}

static int end_part(struct maker *maker, struct part *part, struct error *error)
{
    uint64_t now = maker->encoder.time_ns;
    int code = trace_writer_buf(maker->writer, HSK_CHUNK_GRAPH, &part->raw, now, now, error);
    buf_free(&part->raw);
    return code;
}

static void put_strings(struct maker *maker, struct part *part)
{
    size_t length;
    for (uint32_t i = 1; i <= maker->strings.count; i++) {
        const char *text = intern_get(&maker->strings, i, &length);
        buf_append_varint(&part->raw, HSK_GRAPH_STRING);
        buf_append_varint(&part->raw, i);
        buf_append_string(&part->raw, text, length);
    }
    for (uint32_t i = 1; i <= maker->types.count; i++) {
        const char *text = intern_get(&maker->types, i, &length), *dot = strchr(text, '.');
        size_t module = dot ? (size_t)(dot - text) : 0;
        buf_append_varint(&part->raw, HSK_GRAPH_TYPE);
        buf_append_varint(&part->raw, i);
        buf_append_varint(&part->raw, maker->type_flags[i & 255]);
        buf_append_varint(&part->raw, 16);
        buf_append_varint(&part->raw, maker->type_nodes[i & 255]);
        buf_append_string(&part->raw, text, module);
        buf_append_string(&part->raw, dot ? dot + 1 : text, dot ? length - module - 1 : length);
    }
}

/* The head of a record, up to its edges. */
static void put_head(struct maker *maker, struct part *part, uint32_t number, uint64_t refcount)
{
    const struct made_node *node = &maker->nodes[number];
    buf_append_varint(&part->raw, node->record == HSK_GRAPH_BLOCK ? HSK_GRAPH_BLOCK : node->record | node->flags << 3);
    buf_append_signed(&part->raw, (int64_t)number - (int64_t)part->node);
    part->node = number;
    if (node->record == HSK_GRAPH_ROOT) {
        buf_append_varint(&part->raw, node->name);
        buf_append_varint(&part->raw, node->where);
        buf_append_varint(&part->raw, node->line);
        return;
    }
    int64_t delta = (int64_t)(node->address - part->address);
    part->address = node->address;
    buf_append_varint(&part->raw, delta % 8 == 0 ? zigzag(delta / 8) * 2 : zigzag(delta) * 2 + 1);
    if (node->ordinal == NO_ORDINAL) {
        buf_append_varint(&part->raw, 0);
        buf_append_varint(&part->raw, node->size);
    } else {
        buf_append_varint(&part->raw, 1 + zigzag((int64_t)(node->ordinal - part->ordinal)));
        part->ordinal = node->ordinal;
    }
    if (node->record == HSK_GRAPH_OBJECT) {
        buf_append_varint(&part->raw, node->type);
        buf_append_varint(&part->raw, refcount);
    }
}

static void put_node(struct maker *maker, struct part *part, uint32_t number)
{
    const struct made_node *node = &maker->nodes[number];
    uint64_t edges = 0, refcount = node->refs;
    for (size_t i = 0; i < maker->edge_count; i++) {
        const struct made_edge *edge = &maker->edges[i];
        edges += !edge->gone && edge->from == number;
        refcount += !edge->gone && edge->to == number && HSK_EDGE_COUNTED(edge->name & 15) && !node->refs_said;
    }
    put_head(maker, part, number, refcount);
    if (!node->split)
        buf_append_varint(&part->raw, edges);
    uint32_t target = number;
    for (size_t i = 0; i < maker->edge_count; i++) {
        const struct made_edge *edge = &maker->edges[i];
        if (edge->gone || edge->from != number)
            continue;
        if (node->split) {
            buf_append_varint(&part->raw, 1);
            target = number;
        }
        buf_append_varint(&part->raw, edge->name);
        buf_append_signed(&part->raw, (int64_t)edge->to - (int64_t)target);
        target = edge->to;
        if (node->split)
            put_head(maker, part, number, 0);
    }
    if (node->split)
        buf_append_varint(&part->raw, 0);
    part->records++;
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

static int write_snapshot(struct maker *maker, struct error *error)
{
    struct part part = {0};
    uint64_t nodes = 0, edges = 0, now = maker->encoder.time_ns;
    maker->snapshot++;
    int code = flush_events(maker, error);
    begin_part(maker, &part);
    put_strings(maker, &part);
    for (uint32_t i = 0; i < names.count && code == 0; i++) {
        if (maker->nodes[i].gone || maker->nodes[i].left_out)
            continue;
        if (maker->parts && part.records >= maker->parts) {
            code = end_part(maker, &part, error);
            begin_part(maker, &part);
        }
        put_node(maker, &part, i);
        nodes++;
    }
    for (size_t i = 0; i < maker->edge_count; i++)
        edges += !maker->edges[i].gone;
    if (code == 0)
        code = end_part(maker, &part, error);
    struct buf fields = BUF_INIT;
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NUMBER, maker->snapshot);
    trace_field_string(&fields, HSK_FIELD_SNAPSHOT_REASON, word(maker, 1)[0] ? word(maker, 1) : "asked");
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_TIME, now);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_EVENT, maker->encoder.allocations + maker->encoder.frees);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_NODES, nodes);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_EDGES, edges);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PAUSE, 1500000);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_RESIDENT, 64 << 20);
    trace_field_number(&fields, HSK_FIELD_SNAPSHOT_PARTS, part.number);
    if (!maker->not_whole)
        trace_field_number(&fields, HSK_FIELD_SNAPSHOT_WHOLE, 1);
    buf_append(&fields, maker->problems.data, maker->problems.length);
    buf_clear(&maker->problems);
    maker->not_whole = false;
    if (code == 0)
        code = trace_writer_buf(maker->writer, HSK_CHUNK_SNAPSHOT, &fields, now, now, error);
    buf_free(&fields);
    return code;
}

static bool take_flags(struct maker *maker)
{
    uint32_t type = intern_string(&maker->types, word(maker, 1));
    for (int i = 2; i < maker->count; i++) {
        unsigned flag = 0;
        int node = strncmp(maker->words[i], "node=", 5) == 0 ? made_graph_node(maker->words[i] + 5) : -1;
        if (node >= 0)
            maker->type_nodes[type & 255] = (uint32_t)node + 1;
        else if (!choose(type_flags, maker->words[i], &flag))
            return false;
        maker->type_flags[type & 255] |= flag;
    }
    return true;
}

/* The rest of the words, separated by spaces, as a problem of the next snapshot. */
static bool take_problem(struct maker *maker)
{
    struct buf text = BUF_INIT;
    for (int i = 1; i < maker->count; i++)
        buf_printf(&text, "%s%s", i > 1 ? " " : "", maker->words[i]);
    trace_field_bytes(&maker->problems, HSK_FIELD_SNAPSHOT_PROBLEM, text.data, text.length);
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
        maker->parts = strtoull(word(maker, 1), NULL, 0);
    else if (strcmp(what, "thread") == 0)
        encoder_thread(&maker->encoder, (uint32_t)strtoul(word(maker, 1), NULL, 0));
    else if (strcmp(what, "finalize") == 0)
        encoder_mark(&maker->encoder, HSK_MARK_FINALIZE, 0);
    else if (strcmp(what, "not-whole") == 0)
        maker->not_whole = true;
    else if (strcmp(what, "snapshot") == 0)
        *code = write_snapshot(maker, error);
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
    intern_free(&maker->strings);
    intern_free(&maker->types);
    intern_free(&maker->stacks);
    buf_free(&maker->codes);
    buf_free(&maker->stack_nodes);
    buf_free(&maker->problems);
    intern_free(&maker->marks);
    buf_free(&maker->mark_records);
    free(maker->word_bytes);
    free(maker->nodes);
    free(maker->edges);
    free(maker);
    return code;
}
