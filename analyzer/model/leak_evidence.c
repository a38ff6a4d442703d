/* leak_evidence.c - see leak_evidence.h */
#include "model/leak_evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/frame_roles.h"
#include "model/live_stacks.h"

static bool text_ends(struct text text, const char *string)
{
    size_t length = strlen(string);
    return text.bytes && text.length >= length && memcmp(text.bytes + text.length - length, string, length) == 0;
}

static struct text string_of(const struct ref_graph *graph, uint32_t number)
{
    return number < graph->string_count ? graph->strings[number] : (struct text){0};
}

/* --- types --- */

static enum type_kind kind_of_type(const struct ref_graph *graph, const struct ref_type *type)
{
    static const struct {
        const char *module, *name;
        enum type_kind kind;
    } known[] = {
        {"", "str", TYPE_ATOMIC},
        {"", "bytes", TYPE_ATOMIC},
        {"", "int", TYPE_ATOMIC},
        {"", "float", TYPE_ATOMIC},
        {"", "complex", TYPE_ATOMIC},
        {"", "bool", TYPE_ATOMIC},
        {"", "NoneType", TYPE_ATOMIC},
        {"", "module", TYPE_MODULE},
        {"", "generator", TYPE_GENERATOR},
        {"", "async_generator", TYPE_GENERATOR},
        {"", "coroutine", TYPE_COROUTINE},
        {"", "traceback", TYPE_TRACEBACK},
        {"", "frame", TYPE_FRAME},
        {"", "function", TYPE_FUNCTION},
        {"", "cell", TYPE_CELL},
        {"", "code", TYPE_CODE},
        {"", "tuple", TYPE_FIXED},
        {"", "frozenset", TYPE_FIXED},
        {"functools", "_lru_cache_wrapper", TYPE_LRU_CACHE},
        {"functools", "_lru_list_elem", TYPE_LRU_LINK},
        {"_thread", "_local", TYPE_THREAD_LOCAL},
        {"_thread", "_localdummy", TYPE_THREAD_LOCAL},
    };
    struct text module = string_of(graph, type->module), name = string_of(graph, type->name);
    for (size_t i = 0; i < HS_COUNT_OF(known); i++)
        if (text_is(name, known[i].name) &&
            (known[i].module[0] ? text_is(module, known[i].module) : module.length == 0))
            return known[i].kind;
    if (text_is(module, "weakref") || (module.length == 0 && text_is(name, "ReferenceType")))
        return TYPE_WEAKREF;
    bool of_python =
        type->flags & HSK_TYPE_HEAP && module.length > 0 && (module.bytes[0] != '_' || text_is(module, "__main__"));
    return of_python ? TYPE_OWN : TYPE_OTHER;
}

/* --- stacks --- */

static unsigned signs_of_frame(const struct frame *frame)
{
    if (frame->language != FRAME_PYTHON)
        return 0;
    bool imports = text_is(frame->file, "<frozen importlib._bootstrap>") ||
                   text_is(frame->file, "<frozen importlib._bootstrap_external>") ||
                   text_is(frame->file, "<frozen getpath>") || text_ends(frame->file, "/importlib/_bootstrap.py") ||
                   text_ends(frame->file, "/importlib/_bootstrap_external.py");
    return STACK_PYTHON | (imports ? STACK_IMPORTS : 0);
}

static bool starts_thread(const struct frame *frame)
{
    return (text_is(frame->function, "Thread.start") && text_ends(frame->file, "threading.py")) ||
           text_holds(frame->function, "pthread_create");
}

struct finding {
    struct evidence *evidence;
    bool stacks_only; /* first visit: resolve stacks, so that their number is known */
};

static void visit_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    struct finding *finding = context;
    struct evidence *evidence = finding->evidence;
    uint32_t stack = stacks_of_node(evidence->stacks, block->node);
    if (finding->stacks_only)
        return;
    if (life_block_domain(block) != HSK_DOMAIN_ARENA && ordinal >= evidence->lifetimes->inherited_end)
        evidence->live_bytes += life_block_size(block);
    if (ordinal < evidence->begin_ordinal && ordinal >= evidence->lifetimes->inherited_end &&
        (evidence->stack_signs[stack] & (STACK_PYTHON | STACK_IMPORTS)) == STACK_PYTHON)
        evidence->begin_ordinal = ordinal;
}

/* The block of a node. NULL: it has none, or is static, or older than the recording. */
static const struct life_block *block_of(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    bool has_block = (ref_kind(n) == REF_OBJECT || ref_kind(n) == REF_BLOCK) && ref_ordinal(n) != REF_NO_ORDINAL;
    return has_block ? lifetimes_find(evidence->lifetimes, ref_ordinal(n)) : NULL;
}

/* All that read_stacks() asks for. */
static void expect_stacks(const struct evidence *evidence)
{
    if (!stacks_have_name_source(evidence->stacks))
        return;
    live_stacks_expect(evidence->stacks, evidence->lifetimes);
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        const struct life_block *block = block_of(evidence, node);
        if (block)
            stacks_expect(evidence->stacks, evidence_birth_node(evidence, node, block));
    }
}

/* What each stack says, and where the program's own code begins. */
static bool read_stacks(struct evidence *evidence)
{
    expect_stacks(evidence);
    struct finding finding = {.evidence = evidence, .stacks_only = true};
    lifetimes_visit(evidence->lifetimes, visit_block, &finding);
    for (uint32_t node = 0; node < evidence->graph->node_count; node++) {
        const struct life_block *block = block_of(evidence, node);
        if (block) /* an object's may be that of no block */
            evidence->stack[node] = stacks_of_node(evidence->stacks, evidence_birth_node(evidence, node, block));
    }
    uint32_t count = stacks_count(evidence->stacks);
    evidence->stack_signs = calloc((size_t)count + 1, 1);
    if (!evidence->stack_signs || stacks_failed(evidence->stacks))
        return false;
    for (uint32_t stack = 1; stack <= count; stack++) {
        struct frame frame = stacks_frame(evidence->stacks, stack);
        /* what libc calls for it is part of starting a thread */
        unsigned lasting = frame_acts_for_others(&frame) ? ~0u : ~(unsigned)STACK_THREAD;
        evidence->stack_signs[stack] =
            (uint8_t)(signs_of_frame(&frame) |
                      (evidence->stack_signs[stacks_caller(evidence->stacks, stack)] & lasting));
        if (starts_thread(&frame))
            evidence->stack_signs[stack] |= STACK_THREAD;
    }
    finding.stacks_only = false;
    evidence->begin_ordinal = evidence->python ? evidence->end_ordinal : 0;
    lifetimes_visit(evidence->lifetimes, visit_block, &finding);
    return true;
}

/* --- nodes --- */

/* The life of the object at a node, where the trace tells it. What lies in the block of something else has none. */
static const struct object_life *life_of(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    if (!evidence->objects || ref_kind(n) != REF_OBJECT || ref_ordinal(n) == REF_NO_ORDINAL || evidence->own[node] == 0)
        return NULL;
    return object_lives_find(evidence->objects, ref_ordinal(n));
}

static void read_node(struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    if (ref_kind(n) != REF_OBJECT && ref_kind(n) != REF_BLOCK)
        return;
    if (!block_of(evidence, node) || evidence_birth_ordinal(evidence, node) < evidence->begin_ordinal ||
        evidence->stack_signs[evidence->stack[node]] & STACK_IMPORTS)
        evidence->marks[node] |= EVIDENCE_STARTUP;
}

/* Modules, types, and the dicts that are their namespaces. */
static void mark_namespaces(struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    const struct ref_node *n = &graph->nodes[node];
    bool interpreter = ref_kind(n) == REF_ROOT && n->type == HSK_ROOT_INTERPRETER;
    bool namespace =
        evidence_type_kind(evidence, node) == TYPE_MODULE || (ref_kind(n) == REF_OBJECT && n->flags & HSK_OBJECT_TYPE);
    if (namespace)
        evidence->marks[node] |= EVIDENCE_NAMESPACE;
    if (!namespace && !interpreter)
        return;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
        struct ref_edge edge = graph->edges[e];
        bool is_namespace = interpreter || (ref_edge_kind(edge) == HSK_EDGE_SPECIAL &&
                                            text_is(string_of(graph, ref_edge_argument(edge)), "__dict__"));
        if (is_namespace && evidence_is_object(evidence, edge.target))
            evidence->marks[edge.target] |= EVIDENCE_NAMESPACE;
    }
}

/* Words that look like references beside the counted ones. */
static void mark_pointed(struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    const struct ref_node *n = &graph->nodes[node];
    unsigned mark = EVIDENCE_POINTED_MEMORY;
    if (evidence_type_kind(evidence, node) == TYPE_WEAKREF)
        return; /* its word owns nothing */
    if (ref_kind(n) == REF_ROOT) {
        evidence->threads += n->type == HSK_ROOT_STACK;
        evidence->collector_off |=
            n->type == HSK_ROOT_INTERPRETER && text_is(string_of(graph, n->refcount), "gc.disabled");
    }
    if (ref_kind(n) == REF_ROOT)
        mark =
            n->type == HSK_ROOT_STACK || n->type == HSK_ROOT_REGISTERS ? EVIDENCE_POINTED_STACK : EVIDENCE_POINTED_DATA;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
        enum hsk_edge kind = ref_edge_kind(graph->edges[e]);
        if (kind == HSK_EDGE_BORROWED || kind == HSK_EDGE_HIDDEN || kind == HSK_EDGE_POINTER ||
            kind == HSK_EDGE_INTERIOR)
            evidence->marks[graph->edges[e].target] |= (uint8_t)mark;
    }
}

/* BLOCKs that Python objects point to, directly or through other blocks: theirs, so never lost. */
static void mark_owned(struct evidence *evidence)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t *queue = evidence->queue;
    uint64_t head = 0, tail = 0;
    for (uint32_t node = 0; node < graph->node_count; node++) {
        if (evidence_is_object(evidence, node))
            queue[tail++] = node; /* each node enters once: objects here, blocks when they are marked */
    }
    while (head < tail) {
        uint32_t node = queue[head++];
        for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (ref_kind(&graph->nodes[target]) != REF_BLOCK || evidence_has(evidence, target, EVIDENCE_OF_OBJECT))
                continue;
            evidence->marks[target] |= EVIDENCE_OF_OBJECT;
            queue[tail++] = target;
        }
    }
}

int evidence_prepare(struct evidence *evidence, struct error *error)
{
    const struct ref_graph *graph = evidence->graph;
    size_t count = (size_t)graph->node_count + 1;
    evidence->queue = malloc(count * sizeof *evidence->queue);
    evidence->end_ordinal = evidence->history->end_ordinal;
    evidence->stack = calloc(count, sizeof *evidence->stack);
    evidence->asked = calloc(count, sizeof *evidence->asked);
    evidence->round = 1;
    evidence->marks = calloc(count, 1);
    evidence->type_kinds = calloc((size_t)graph->type_count + 1, 1);
    bool ready = evidence->queue && evidence->stack && evidence->asked && evidence->marks && evidence->type_kinds &&
                 read_stacks(evidence);
    if (ready) {
        for (uint32_t type = 1; type < graph->type_count; type++)
            evidence->type_kinds[type] = (uint8_t)kind_of_type(graph, &graph->types[type]);
        for (uint32_t node = 0; node < graph->node_count; node++) {
            read_node(evidence, node);
            mark_namespaces(evidence, node);
            mark_pointed(evidence, node);
        }
        mark_owned(evidence);
    }
    if (ready)
        return 0;
    evidence_free(evidence);
    return error_set(error, -ENOMEM, "out of memory");
}

void evidence_free(struct evidence *evidence)
{
    free(evidence->queue);
    free(evidence->stack);
    free(evidence->asked);
    free(evidence->marks);
    free(evidence->stack_signs);
    free(evidence->type_kinds);
    evidence->own = NULL;
    evidence->queue = evidence->stack = evidence->asked = NULL;
    evidence->marks = evidence->stack_signs = evidence->type_kinds = NULL;
}

uint64_t evidence_birth_ns(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    const struct object_life *life = life_of(evidence, node);
    if (life)
        return life->birth_ns;
    const struct life_block *block =
        ref_ordinal(n) != REF_NO_ORDINAL ? lifetimes_find(evidence->lifetimes, ref_ordinal(n)) : NULL;
    return block ? block->time_ns : 0;
}

uint32_t evidence_birth_node(const struct evidence *evidence, uint32_t node, const struct life_block *block)
{
    const struct object_life *life = life_of(evidence, node);
    return life && life->node != OBJECT_LIFE_SAME ? life->node : block->node;
}

uint64_t evidence_birth_ordinal(const struct evidence *evidence, uint32_t node)
{
    const struct object_life *life = life_of(evidence, node);
    return life ? life->birth_ordinal : ref_ordinal(&evidence->graph->nodes[node]);
}

uint32_t evidence_culprit(const struct evidence *evidence, uint32_t stack, bool *native)
{
    uint32_t python = 0;
    for (; stack != 0; stack = stacks_caller(evidence->stacks, stack)) {
        struct frame frame = stacks_frame(evidence->stacks, stack);
        *native = frame.language == FRAME_NATIVE;
        if (*native && frame.module.bytes && !frame_acts_for_others(&frame))
            return stack;
        if (frame.language == FRAME_PYTHON && !python)
            python = stack;
    }
    *native = false;
    return python;
}

void evidence_mark_explained(struct evidence *evidence, uint32_t node)
{
    if (evidence->round_used)
        evidence->round++; /* what was answered may be another way now */
    evidence->round_used = false;
    evidence->marks[node] |= EVIDENCE_EXPLAINED;
}

bool evidence_is_explained(struct evidence *evidence, uint32_t node)
{
    const uint32_t *up = evidence->dominators.immediate;
    uint32_t *asked = evidence->asked, round = evidence->round, at = node;
    while (at != UINT32_MAX && asked[at] >> 1 != round && !evidence_has(evidence, at, EVIDENCE_EXPLAINED))
        at = up[at];
    bool explained = at != UINT32_MAX && (asked[at] >> 1 != round || (asked[at] & 1));
    for (uint32_t stop = at; node != stop; node = up[node])
        asked[node] = round << 1 | explained;
    evidence->round_used = true;
    return explained;
}

uint64_t evidence_explain(struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t *queue = evidence->queue;
    uint64_t head = 0, tail = 0, bytes = evidence->own[node];
    evidence_mark_explained(evidence, node);
    if (evidence_reachable(evidence, node))
        return evidence->dominators.retained[node];
    queue[tail++] = node;
    while (head < tail) {
        uint32_t from = queue[head++];
        for (uint64_t e = graph->first[from]; e < graph->first[from + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            enum ref_kind kind = ref_kind(&graph->nodes[target]);
            if ((kind != REF_OBJECT && kind != REF_BLOCK) || evidence_reachable(evidence, target) ||
                evidence_has(evidence, target, EVIDENCE_EXPLAINED) ||
                !reach_holds(graph, evidence->reach, from, graph->edges[e]))
                continue;
            evidence_mark_explained(evidence, target);
            bytes += evidence->own[target];
            queue[tail++] = target;
        }
    }
    return bytes;
}

/* Boyer and Moore's vote, which finds the stack that more than half have; else that of the last node. */
uint32_t evidence_main_stack(const struct evidence *evidence, const uint32_t *nodes, size_t count)
{
    uint32_t stack = 0;
    size_t votes = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t own = evidence->stack[nodes[i]];
        if (votes == 0)
            stack = own;
        votes = own == stack ? votes + 1 : votes - 1;
    }
    return stack;
}

uint32_t evidence_payload(const struct evidence *evidence, uint32_t node)
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t at = node;
    for (unsigned steps = 0; steps < 12 && evidence_type_kind(evidence, at) != TYPE_OWN; steps++) {
        uint32_t best = UINT32_MAX;
        bool best_own = false;
        for (uint64_t e = graph->first[at]; e < graph->first[at + 1]; e++) {
            uint32_t target = graph->edges[e].target;
            if (!evidence_is_object(evidence, target) || !evidence_is_born(evidence, target) ||
                evidence->dominators.immediate[target] != at)
                continue;
            bool own = evidence_type_kind(evidence, target) == TYPE_OWN;
            if (best == UINT32_MAX || (own && !best_own) ||
                (own == best_own && evidence->dominators.retained[target] > evidence->dominators.retained[best])) {
                best = target;
                best_own = own;
            }
        }
        if (best == UINT32_MAX)
            return node;
        at = best;
    }
    return evidence_type_kind(evidence, at) == TYPE_OWN ? at : node;
}
