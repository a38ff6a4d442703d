/* ref_names.c - what types, edges and roots of a graph are called; see ref_graph.h */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/ref_graph.h"

/* Lengths are clipped for printf's int; names are at most 1 MiB. */
#define STRING(text) (int)(text).length, (text).bytes ? (text).bytes : ""

static struct text string_of(const struct ref_graph *graph, uint32_t number)
{
    struct text text = number < graph->string_count ? graph->strings[number] : (struct text){0};
    return text.bytes ? text : (struct text){"?", 1}; /* its part of the file is missing */
}

static const char *print(char *text, size_t size, const char *format, ...) HS_PRINTF(3, 4);

static const char *print(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, size, format, arguments);
    va_end(arguments);
    return text;
}

const char *ref_type_name(const struct ref_graph *graph, uint32_t type, char *text, size_t size)
{
    if (type == 0 || type >= graph->type_count || graph->types[type].name == 0)
        return print(text, size, "?");
    struct text module = string_of(graph, graph->types[type].module);
    struct text name = string_of(graph, graph->types[type].name);
    if (graph->types[type].module == 0)
        return print(text, size, "%.*s", STRING(name));
    return print(text, size, "%.*s.%.*s", STRING(module), STRING(name));
}

const char *ref_edge_text(const struct ref_graph *graph, struct ref_edge edge, char *text, size_t size)
{
    uint32_t argument = ref_edge_argument(edge);
    struct text name = string_of(graph, argument);
    switch (ref_edge_kind(edge)) {
    case HSK_EDGE_ATTRIBUTE:
        return print(text, size, ".%.*s", STRING(name));
    case HSK_EDGE_KEY:
        return print(text, size, "['%.*s']", STRING(name));
    case HSK_EDGE_VALUE:
        return print(text, size, "[<%.*s>]", STRING(name));
    case HSK_EDGE_INDEX:
        return print(text, size, "[%" PRIu32 "]", argument);
    case HSK_EDGE_ITEM:
        return print(text, size, "{}");
    case HSK_EDGE_LOCAL:
        return print(text, size, "local %.*s", STRING(name));
    case HSK_EDGE_CELL:
        return print(text, size, "closure variable %.*s", STRING(name));
    case HSK_EDGE_SPECIAL:
        return print(text, size, "%.*s", STRING(name));
    case HSK_EDGE_WEAK:
        return print(text, size, "weak reference");
    case HSK_EDGE_BORROWED:
        return argument ? print(text, size, "local %.*s (borrowed)", STRING(name)) : print(text, size, "borrowed");
    case HSK_EDGE_HIDDEN:
        return print(text, size, "hidden at +%" PRIu32, argument);
    case HSK_EDGE_OWNS:
        return print(text, size, "memory at +%" PRIu32, argument);
    case HSK_EDGE_POINTER:
        return print(text, size, "pointer at +%" PRIu32, argument);
    case HSK_EDGE_INTERIOR:
        return print(text, size, "inner pointer at +%" PRIu32, argument);
    case HSK_EDGE_REFERENCE:
    default:
        return print(text, size, "reference");
    }
}

const char *ref_root_text(const struct ref_graph *graph, uint32_t node, char *text, size_t size)
{
    if (node >= graph->node_count || ref_kind(&graph->nodes[node]) != REF_ROOT)
        return print(text, size, "?");
    const struct ref_node *root = &graph->nodes[node];
    struct text name = string_of(graph, root->refcount), file = text_base_name(string_of(graph, root->flags));
    switch (root->type) {
    case HSK_ROOT_FRAME:
        return print(text, size, "frame %.*s() %.*s:%" PRIu64, STRING(name), STRING(file), root->address);
    case HSK_ROOT_DATA:
        return print(text, size, "data of %.*s+0x%" PRIx64, STRING(file), root->address);
    case HSK_ROOT_STACK:
        return print(text, size, "stack of thread %" PRIu64 "%s%.*s", root->address, name.length ? " " : "",
                     STRING(name));
    case HSK_ROOT_REGISTERS:
        return print(text, size, "registers");
    case HSK_ROOT_TLS:
        return print(text, size, "thread-local storage%s%.*s", name.length ? " of " : "", STRING(name));
    case HSK_ROOT_INTERPRETER:
        return print(text, size, "%.*s", STRING(name));
    default:
        return print(text, size, "root of an unknown kind");
    }
}
