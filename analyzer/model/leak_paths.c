/* leak_paths.c - see leak_paths.h */
#include "model/leak_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/leak_limits.h"
#include "model/path_text.h"

const char *const path_reason_names[PATH_REASONS] = {
    [PATH_ORDINARY] = "a reference",
    [PATH_EXCEPTION] = "the traceback of an exception",
    [PATH_GENERATOR] = "a generator that was never finished",
    [PATH_COROUTINE] = "a coroutine that never came to its end",
    [PATH_DEFAULT] = "a default argument",
    [PATH_CLOSURE] = "a closure",
    [PATH_LRU_CACHE] = "functools.lru_cache",
    [PATH_LRU_BOUNDED] = "functools.lru_cache with a maxsize",
    [PATH_THREAD_LOCAL] = "a thread-local of a thread that lives",
    [PATH_CLASS] = "a class attribute",
    [PATH_LOCAL] = "a local variable of a running function",
};

const char *const path_reason_advice[PATH_REASONS] = {
    [PATH_ORDINARY] = "remove what is no longer needed, or let it hold weak references",
    [PATH_EXCEPTION] =
        "do not store the exception; or clear it with exc.__traceback__ = None or traceback.clear_frames()",
    [PATH_GENERATOR] = "run it to its end, or call close()",
    [PATH_COROUTINE] = "await it, or cancel and await the task",
    [PATH_DEFAULT] = "it is made once and shared by all calls: use None, and make a new one in the function",
    [PATH_CLOSURE] = "the function lives on and keeps its variables: let the function go, or do not close over it",
    [PATH_LRU_CACHE] = "give it a maxsize; on a method it keeps self as well",
    [PATH_LRU_BOUNDED] =
        "it grows until it is full; if that is too much, lower its maxsize; on a method it keeps self as well",
    [PATH_THREAD_LOCAL] = "delete it when the work is done: it lives as long as the thread",
    [PATH_CLASS] = "it lives as long as the class: remove what is no longer needed, or use a weakref.WeakSet or "
                   "WeakValueDictionary",
    [PATH_LOCAL] = "it goes when the function returns; if that is the program's main loop, it is a leak",
};

static bool argument_is(const struct ref_graph *graph, struct ref_edge edge, const char *name)
{
    uint32_t number = ref_edge_argument(edge);
    struct text text = number < graph->string_count ? graph->strings[number] : (struct text){0};
    return text.bytes && text.length == strlen(name) && memcmp(text.bytes, name, text.length) == 0;
}

/* A cache with a maxsize has its entries in links, in the order of their use, and refers to one of them. */
static enum path_reason reason_of_cache(const struct evidence *evidence, uint32_t cache)
{
    const struct ref_graph *graph = evidence->graph;
    for (uint64_t e = graph->first[cache]; e < graph->first[cache + 1]; e++)
        if (evidence_type_kind(evidence, graph->edges[e].target) == TYPE_LRU_LINK)
            return PATH_LRU_BOUNDED;
    return PATH_LRU_CACHE;
}

static enum path_reason reason_of_edge(const struct evidence *evidence, uint32_t source, struct ref_edge edge)
{
    const struct ref_graph *graph = evidence->graph;
    enum type_kind from = evidence_type_kind(evidence, source), to = evidence_type_kind(evidence, edge.target);
    enum hsk_edge kind = ref_edge_kind(edge);
    if (to == TYPE_TRACEBACK)
        return PATH_EXCEPTION;
    if (from == TYPE_GENERATOR && kind == HSK_EDGE_LOCAL)
        return PATH_GENERATOR;
    if (from == TYPE_COROUTINE && kind == HSK_EDGE_LOCAL)
        return PATH_COROUTINE;
    if (kind == HSK_EDGE_SPECIAL &&
        (argument_is(graph, edge, "__defaults__") || argument_is(graph, edge, "__kwdefaults__")))
        return PATH_DEFAULT;
    if (kind == HSK_EDGE_CELL || (kind == HSK_EDGE_SPECIAL && argument_is(graph, edge, "__closure__")))
        return PATH_CLOSURE;
    if (from == TYPE_LRU_CACHE)
        return reason_of_cache(evidence, source);
    if (from == TYPE_THREAD_LOCAL || to == TYPE_THREAD_LOCAL)
        return PATH_THREAD_LOCAL;
    if (evidence_is_object(evidence, source) && graph->nodes[source].flags & HSK_OBJECT_TYPE)
        return PATH_CLASS;
    return PATH_ORDINARY;
}

struct path_find path_reason(const struct evidence *evidence, const struct reach_path *path, size_t reach)
{
    struct path_find find = {.reason = PATH_ORDINARY};
    const struct ref_graph *graph = evidence->graph;
    if (path->length < 2)
        return find;
    size_t edges = path->length - 1, last = reach && reach < edges ? edges - reach : 0;
    for (size_t i = edges; i-- > last;) {
        enum path_reason reason = reason_of_edge(evidence, path->nodes[i], graph->edges[path->edges[i]]);
        /* nearer to the thing comes first, but a class is on many paths and says least */
        if (reason != PATH_ORDINARY && (find.reason == PATH_ORDINARY || find.reason == PATH_CLASS))
            find = (struct path_find){.reason = reason, .edge = i};
    }
    const struct ref_node *root = &graph->nodes[path->nodes[0]];
    enum hsk_edge first = ref_edge_kind(graph->edges[path->edges[0]]);
    if (find.reason == PATH_ORDINARY && ref_kind(root) == REF_ROOT &&
        ((root->type == HSK_ROOT_FRAME && (first == HSK_EDGE_LOCAL || first == HSK_EDGE_BORROWED)) ||
         root->type == HSK_ROOT_STACK || root->type == HSK_ROOT_REGISTERS))
        find = (struct path_find){.reason = PATH_LOCAL, .edge = 0};
    return find;
}

enum path_reason path_reason_of_holder(const struct evidence *evidence, uint32_t holder)
{
    bool cache = evidence_type_kind(evidence, holder) == TYPE_LRU_CACHE;
    return cache ? reason_of_cache(evidence, holder) : PATH_ORDINARY;
}

double path_reason_most(enum path_reason reason, uint64_t retained)
{
    if (reason == PATH_LOCAL)
        return GROW_LOCAL_CONFIDENCE;
    return reason == PATH_LRU_BOUNDED && retained < GROW_LARGE_BYTES ? GROW_BOUNDED_CONFIDENCE : 1;
}

int leak_why(struct leak *leak, const struct evidence *evidence, const struct reach_path *path)
{
    struct path_text text;
    if (path_text_make(&text, evidence->graph, path) != 0)
        return -ENOMEM;
    leak->why = text.pieces; /* taken over */
    leak->why_count = text.piece_count;
    text.pieces = NULL;
    text.piece_count = 0;
    path_text_free(&text);
    return 0;
}

const char *path_find_text(const struct evidence *evidence, const struct reach_path *path, struct path_find find,
                           char *text, size_t size)
{
    text[0] = '\0';
    if (path->length >= 2 && find.edge < path->length - 1)
        ref_edge_text(evidence->graph, evidence->graph->edges[path->edges[find.edge]], text, size);
    return text;
}
