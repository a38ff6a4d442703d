/* path_text.c - see path_text.h */
#include "model/path_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool path_is_builtin(const struct ref_graph *graph, uint32_t node, const char *name)
{
    const struct ref_node *at = &graph->nodes[node];
    if (ref_kind(at) != REF_OBJECT)
        return false;
    const struct ref_type *type = &graph->types[at->type];
    return type->module == 0 && type->name != 0 && text_is(graph->strings[type->name], name);
}

const char *path_short_type(const struct ref_graph *graph, uint32_t type, char *text, size_t size)
{
    uint32_t name = type < graph->type_count ? graph->types[type].name : 0;
    struct text said = graph->strings[name];
    if (name == 0 || !said.bytes)
        snprintf(text, size, "?");
    else
        snprintf(text, size, "%.*s", (int)said.length, said.bytes);
    return text;
}

/* The type that a type object is; 0: it is none, or the graph does not say. */
static uint32_t type_at(const struct ref_graph *graph, uint32_t node)
{
    uint32_t t = graph->nodes[node].flags & HSK_OBJECT_TYPE ? graph->type_count - 1 : 0;
    while (t > 0 && graph->types[t].node != node)
        t--;
    return t;
}

const char *path_short_name(const struct ref_graph *graph, uint32_t node, const char *prefix, char *text, size_t size)
{
    const struct ref_node *at = &graph->nodes[node];
    char name[PATH_NAME_SIZE];
    if (ref_kind(at) != REF_OBJECT)
        return path_node_name(graph, node, text, size);
    uint32_t type = type_at(graph, node);
    if (type != 0) {
        snprintf(text, size, "%s%s", prefix, path_short_type(graph, type, name, sizeof name));
        return text;
    }
    return path_short_type(graph, at->type, text, size);
}

const char *path_node_name(const struct ref_graph *graph, uint32_t node, char *text, size_t size)
{
    const struct ref_node *at = &graph->nodes[node];
    switch (ref_kind(at)) {
    case REF_OBJECT:
        return ref_type_name(graph, at->type, text, size);
    case REF_ROOT:
        return ref_root_text(graph, node, text, size);
    case REF_BLOCK:
        snprintf(text, size, "memory");
        return text;
    case REF_MISSING:
    default:
        snprintf(text, size, "?");
        return text;
    }
}

/* The dict of the attributes of what comes before it, and the way goes on by one of them. */
static bool is_attributes(const struct ref_graph *graph, const struct reach_path *path, size_t at)
{
    if (at + 2 >= path->length || !path_is_builtin(graph, path->nodes[at + 1], "dict"))
        return false;
    struct ref_edge to_dict = graph->edges[path->edges[at]], onward = graph->edges[path->edges[at + 1]];
    return ref_edge_kind(to_dict) == HSK_EDGE_SPECIAL &&
           (ref_edge_kind(onward) == HSK_EDGE_KEY || ref_edge_kind(onward) == HSK_EDGE_ATTRIBUTE) &&
           text_is(graph->strings[ref_edge_argument(to_dict)], "__dict__");
}

/* "sys" where the interpreter holds the dict of that module's names itself, and the way goes on by one of them; else
 * empty. */
static struct text held_module(const struct ref_graph *graph, const struct reach_path *path)
{
    static const char tail[] = ".__dict__";
    const struct ref_node *root = &graph->nodes[path->nodes[0]];
    if (path->length < 3 || ref_kind(root) != REF_ROOT || root->type != HSK_ROOT_INTERPRETER ||
        !path_is_builtin(graph, path->nodes[1], "dict") || ref_edge_kind(graph->edges[path->edges[1]]) != HSK_EDGE_KEY)
        return (struct text){0};
    struct text name = root->refcount < graph->string_count ? graph->strings[root->refcount] : (struct text){0};
    size_t length = name.length - (name.length < sizeof tail ? name.length : sizeof tail - 1);
    if (length == 0 || memcmp(name.bytes + length, tail, sizeof tail - 1) != 0)
        return (struct text){0};
    return (struct text){name.bytes, length};
}

size_t path_link_at(const struct ref_graph *graph, const struct reach_path *path, size_t at, struct path_link *link)
{
    size_t last = at;
    struct ref_edge edge = graph->edges[path->edges[at]];
    bool attributes = is_attributes(graph, path, at);
    if (attributes) {
        last = at + 1;
        edge = graph->edges[path->edges[last]];
    }
    if (attributes || (at == 1 && held_module(graph, path).length > 0))
        edge.name = (edge.name & ~UINT32_C(15)) | HSK_EDGE_ATTRIBUTE;
    *link = (struct path_link){.from = path->nodes[at],
                               .to = path->nodes[last + 1],
                               .first_edge = path->edges[at],
                               .last_edge = path->edges[last]};
    ref_edge_text(graph, edge, link->name, sizeof link->name);
    return last + 1;
}

/*
 * The module that the way comes to by its name in a dict of modules that a root holds: where people begin. Its
 * place in the path, or 0.
 */
static size_t first_module(const struct ref_graph *graph, const struct reach_path *path)
{
    if (path->length == 0 || ref_kind(&graph->nodes[path->nodes[0]]) != REF_ROOT)
        return 0;
    for (size_t i = 1; i < path->length && i <= 2; i++) {
        struct ref_edge edge = graph->edges[path->edges[i - 1]];
        if (path_is_builtin(graph, path->nodes[i], "module") && ref_edge_kind(edge) == HSK_EDGE_KEY)
            return i;
    }
    return 0;
}

static size_t begin_path(struct path_text *text, const struct ref_graph *graph, const struct reach_path *path)
{
    struct text held = held_module(graph, path);
    if (held.length > 0) {
        snprintf(text->root, sizeof text->root, "module %.*s", (int)held.length, held.bytes);
        return 1;
    }
    size_t module = first_module(graph, path);
    if (module > 0) {
        struct text name = graph->strings[ref_edge_argument(graph->edges[path->edges[module - 1]])];
        snprintf(text->root, sizeof text->root, "module %.*s", name.bytes ? (int)name.length : 1,
                 name.bytes ? name.bytes : "?");
    } else {
        uint32_t root = path->nodes[0];
        char name[PATH_NAME_SIZE - 32];
        path_node_name(graph, root, name, sizeof name);
        if (ref_kind(&graph->nodes[root]) == REF_OBJECT)
            snprintf(text->root, sizeof text->root, "%s %s",
                     graph->nodes[root].flags & HSK_OBJECT_STATIC ? "static" : "immortal", name);
        else
            snprintf(text->root, sizeof text->root, "%s", name);
    }
    return module;
}

static bool is_kind(const struct ref_graph *graph, const struct path_link *link, enum hsk_edge kind)
{
    return ref_edge_kind(graph->edges[link->last_edge]) == kind;
}

/* Is a link read as Type.name: an attribute, or what Python calls so? */
static bool is_dotted(const struct ref_graph *graph, const struct path_link *link)
{
    return link->name[0] == '.' || is_kind(graph, link, HSK_EDGE_SPECIAL);
}

/*
 * What stands before the dot of a link. A class that has no instances is called as the one before it in the way
 * (`before`, NULL at the beginning) calls it.
 */
static const char *owner_name(const struct ref_graph *graph, const struct path_link *before,
                              const struct path_link *link, char *text, size_t size)
{
    bool class = (graph->nodes[link->from].flags & HSK_OBJECT_TYPE) != 0;
    if (!class || type_at(graph, link->from) != 0 || !before || before->name[0] != '.')
        return path_short_name(graph, link->from, "", text, size);
    snprintf(text, size, "%s", before->name + 1);
    return text;
}

/* A module, or the dict of one's names. */
static bool is_module(const struct ref_graph *graph, uint32_t node)
{
    return path_is_builtin(graph, node, "module") || path_is_builtin(graph, node, "dict");
}

/* "Session.user", "cache (dict)", "['u42']": `before` and `next` are the links around it, NULL at the ends. */
static void piece(const struct ref_graph *graph, const struct path_link *before, const struct path_link *link,
                  const struct path_link *next, char *text, size_t size)
{
    char type[PATH_NAME_SIZE], behind[PATH_NAME_SIZE + 4] = "";
    const struct ref_node *from = &graph->nodes[link->from], *to = &graph->nodes[link->to];
    bool dot = link->name[0] == '.';
    if (next && !is_dotted(graph, next) && ref_kind(to) == REF_OBJECT)
        snprintf(behind, sizeof behind, " (%s)", path_short_type(graph, to->type, type, sizeof type));
    if (!is_dotted(graph, link) || ref_kind(from) != REF_OBJECT)
        snprintf(text, size, "%s%s", link->name + dot, behind);
    else if (is_module(graph, link->from))
        snprintf(text, size, "%s%s", link->name + dot, behind);
    else
        snprintf(text, size, "%s.%s%s", owner_name(graph, before, link, type, sizeof type), link->name + dot, behind);
}

static int add_pieces(struct path_text *text, const struct ref_graph *graph)
{
    char made[3 * PATH_NAME_SIZE];
    text->pieces = calloc(text->link_count + 1, sizeof *text->pieces);
    if (!text->pieces || !(text->pieces[0] = strdup(text->root)))
        return -ENOMEM;
    text->piece_count = 1;
    for (size_t i = 0; i < text->link_count; i++) {
        piece(graph, i > 0 ? &text->links[i - 1] : NULL, &text->links[i],
              i + 1 < text->link_count ? &text->links[i + 1] : NULL, made, sizeof made);
        if (!(text->pieces[text->piece_count] = strdup(made)))
            return -ENOMEM;
        text->piece_count++;
    }
    return 0;
}

int path_text_make(struct path_text *result, const struct ref_graph *graph, const struct reach_path *path)
{
    struct path_text text = {0};
    int code = 0;
    if (path->length > 0) {
        size_t at = begin_path(&text, graph, path);
        text.links = reallocarray(NULL, path->length, sizeof *text.links);
        if (!text.links)
            return -ENOMEM;
        while (at + 1 < path->length)
            at = path_link_at(graph, path, at, &text.links[text.link_count++]);
        code = add_pieces(&text, graph);
    }
    if (code != 0)
        path_text_free(&text);
    else
        *result = text;
    return code;
}

void path_text_free(struct path_text *text)
{
    for (size_t i = 0; i < text->piece_count; i++)
        free(text->pieces[i]);
    free(text->pieces);
    free(text->links);
    *text = (struct path_text){0};
}
