/*
 * path_text.h - a way through the graph as a person reads code.
 *
 *     module app → cache (dict) → ['u42'] → Session.user
 *
 * Steps that nobody writes down are left out: the dict between an instance or a module and its attributes, the dict of
 * all modules before a module. What is left is a list of links, and the same as pieces of text. Texts are copies and
 * may hold any bytes of the trace; long names are cut.
 */
#ifndef HEAPSAKE_MODEL_PATH_TEXT_H
#define HEAPSAKE_MODEL_PATH_TEXT_H

#include "model/reach.h"

#define PATH_NAME_SIZE 256

/* An edge, or several that one name stands for. */
struct path_link {
    uint32_t from, to;              /* nodes                                                */
    uint64_t first_edge, last_edge; /* in graph->edges                                       */
    char name[PATH_NAME_SIZE];      /* ".user", "['u42']", "[3]", "local x", "hidden at +16" ... */
};

struct path_text {
    char root[PATH_NAME_SIZE]; /* "module app", "frame handle() app.py:12" ...        */
    struct path_link *links;
    size_t link_count;
    char **pieces; /* "module app", "cache (dict)", "['u42']", "Session.user" */
    size_t piece_count;
};

/* 0 or -ENOMEM. An empty path gives an empty text. */
int path_text_make(struct path_text *text, const struct ref_graph *graph, const struct reach_path *path);
void path_text_free(struct path_text *text);

/*
 * The link that begins at path->nodes[at], and where it ends: a dict that only holds attributes is passed over. `at`
 * must not be the last node.
 */
size_t path_link_at(const struct ref_graph *graph, const struct reach_path *path, size_t at, struct path_link *link);

/* What a node is: a type's name, "memory", or what the root is called. Writes at most `size` bytes; returns text. */
const char *path_node_name(const struct ref_graph *graph, uint32_t node, char *text, size_t size);

/* The part of a type's name that people say: without its module. */
const char *path_short_type(const struct ref_graph *graph, uint32_t type, char *text, size_t size);

/* Is it an object of this builtin type ("dict", "module" ...)? */
bool path_is_builtin(const struct ref_graph *graph, uint32_t node, const char *name);

#endif
