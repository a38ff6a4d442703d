/*
 * cycles.c - see cycles.h
 *
 * Which link to make weak: the one that leads back. That is one whose attribute is called so (parent, owner, root ...);
 * else, of the attributes, the one whose target has most other references to it, because that target will live without
 * this one; else a local variable (an exception and its frame), which is to be deleted; else what lies in a container.
 */
#include "model/cycles.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/intern.h"
#include "base/map64.h"

#define NONE UINT32_MAX

struct finder {
    const struct cycles_sources *from;
    uint32_t *members, *first; /* nodes by component: first[c] .. first[c + 1] */
    uint32_t *owner;           /* the component that a node is in or hangs on */
    uint32_t *parent;          /* of the search at hand, NONE outside         */
    uint64_t *parent_edge;
    uint32_t *queue;
    struct intern patterns; /* number - 1 is the group; the first byte tells whether it is garbage */
    struct cycle_group *groups;
    size_t count, capacity;    /* of groups */
    struct map64 stacks, best; /* (group, stack) -> how often; group -> of its commonest */
    bool failed;
};

/* ---- members, and what hangs on them ---- */

static bool sort_members(struct finder *f)
{
    const struct components *components = f->from->components;
    uint32_t count = f->from->graph->node_count;
    f->first = calloc((size_t)components->count + 2, sizeof *f->first);
    f->members = malloc(((size_t)count + 1) * sizeof *f->members);
    if (!f->first || !f->members)
        return false;
    for (uint32_t n = 0; n < count; n++)
        f->first[components->of[n] + 1]++;
    for (uint32_t c = 0; c <= components->count; c++)
        f->first[c + 1] += f->first[c];
    for (uint32_t n = 0; n < count; n++)
        f->members[f->first[components->of[n]]++] = n;
    memmove(f->first + 1, f->first, (size_t)components->count * sizeof *f->first);
    f->first[0] = 0;
    return true;
}

/* Up the dominators to the first node that is in a component. */
static bool find_owners(struct finder *f)
{
    const uint32_t *of = f->from->components->of, *immediate = f->from->dominators->immediate;
    uint32_t count = f->from->graph->node_count;
    f->owner = malloc(((size_t)count + 1) * sizeof *f->owner);
    if (!f->owner)
        return false;
    for (uint32_t n = 0; n < count; n++)
        f->owner[n] = of[n] ? of[n] : NONE;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t top = n, found;
        while (f->owner[top] == NONE && immediate[top] != NONE)
            top = immediate[top];
        found = f->owner[top] == NONE ? 0 : f->owner[top];
        for (uint32_t at = n; f->owner[at] == NONE; at = immediate[at]) {
            f->owner[at] = found;
            if (immediate[at] == NONE)
                break;
        }
    }
    return true;
}

/* ---- one way around ---- */

static bool is_container(const struct ref_graph *graph, uint32_t node)
{
    static const char *const names[] = {"dict", "list", "tuple", "set", "frozenset", "mappingproxy"};
    for (size_t i = 0; i < HS_COUNT_OF(names); i++)
        if (path_is_builtin(graph, node, names[i]))
            return true;
    return false;
}

/* How much the type of a node says to people; smaller is more. An object of the program's own, a class, others,
 * containers. */
static unsigned dullness(const struct ref_graph *graph, uint32_t node)
{
    const struct ref_node *at = &graph->nodes[node];
    if (ref_kind(at) != REF_OBJECT)
        return 4;
    if (is_container(graph, node))
        return 3;
    if (at->flags & HSK_OBJECT_TYPE)
        return 1;
    return graph->types[at->type].module == 0 ? 2 : 0;
}

static uint32_t choose_start(const struct finder *f, uint32_t component)
{
    const struct ref_graph *graph = f->from->graph;
    uint32_t best = f->members[f->first[component]];
    unsigned least = dullness(graph, best);
    for (uint32_t i = f->first[component] + 1; i < f->first[component + 1]; i++) {
        uint32_t n = f->members[i];
        unsigned dull = dullness(graph, n);
        if (dull < least || (dull == least && graph->nodes[n].type < graph->nodes[best].type)) {
            best = n;
            least = dull;
        }
    }
    return best;
}

/* Breadth first inside the component until an edge leads back to `start`. The last node before it; NONE:
 * there is none. */
static uint32_t search_back(struct finder *f, uint32_t start, uint64_t *last_edge, uint32_t *met)
{
    const struct ref_graph *graph = f->from->graph;
    const uint32_t *of = f->from->components->of;
    uint32_t begin = 0, end = 0, last = NONE;
    f->queue[end++] = start;
    f->parent[start] = start;
    while (begin < end && last == NONE) {
        uint32_t n = f->queue[begin++];
        for (uint64_t e = graph->first[n]; e < graph->first[n + 1] && last == NONE; e++) {
            uint32_t target = graph->edges[e].target;
            if (of[target] != of[start] || !components_follows(graph, f->from->reach, n, graph->edges[e]))
                continue;
            if (target == start) {
                last = n;
                *last_edge = e;
            } else if (f->parent[target] == NONE) {
                f->parent[target] = n;
                f->parent_edge[target] = e;
                f->queue[end++] = target;
            }
        }
    }
    *met = end;
    return last;
}

/* A shortest way from `start` around to itself. */
static int find_way(struct finder *f, uint32_t start, struct reach_path *way)
{
    uint64_t last_edge = 0;
    uint32_t met, last = search_back(f, start, &last_edge, &met);
    *way = (struct reach_path){0};
    if (last != NONE) {
        size_t length = 2;
        for (uint32_t n = last; n != start; n = f->parent[n])
            length++;
        way->nodes = malloc(length * sizeof *way->nodes);
        way->edges = malloc(length * sizeof *way->edges);
        if (way->nodes && way->edges) {
            way->length = length;
            way->nodes[--length] = start;
            way->edges[--length] = last_edge;
            for (uint32_t n = last; n != start; n = f->parent[n]) {
                way->nodes[length] = n;
                way->edges[--length] = f->parent_edge[n];
            }
            way->nodes[0] = start;
        } else {
            f->failed = true;
        }
    }
    for (uint32_t i = 0; i < met; i++)
        f->parent[f->queue[i]] = NONE;
    return way->length > 0 ? 0 : -ENOENT;
}

/* ---- what it looks like ---- */

/* ".children", "[]", " local x" */
static void add_name(char *name, const struct ref_graph *graph, const struct path_link *link)
{
    static const char closure[] = ".__closure__";
    size_t length = strlen(name);
    enum hsk_edge kind = ref_edge_kind(graph->edges[link->last_edge]);
    bool attribute = link->name[0] == '.';
    /* a variable of a closure is one of its function, not of the tuple between */
    if (kind == HSK_EDGE_CELL && length >= sizeof closure - 1 &&
        strcmp(name + length - (sizeof closure - 1), closure) == 0)
        name[length -= sizeof closure - 1] = '\0';
    if (!attribute &&
        (kind == HSK_EDGE_INDEX || kind == HSK_EDGE_KEY || kind == HSK_EDGE_VALUE || kind == HSK_EDGE_ITEM))
        snprintf(name + length, PATH_NAME_SIZE - length, "[]");
    else if (attribute)
        snprintf(name + length, PATH_NAME_SIZE - length, "%s", link->name);
    else
        snprintf(name + length, PATH_NAME_SIZE - length, "%s%s", kind == HSK_EDGE_SPECIAL ? "." : " ", link->name);
}

/* Links of the way with containers passed over. The array has room for way->length. */
static size_t join_links(const struct ref_graph *graph, const struct reach_path *way, struct path_link *links)
{
    size_t count = 0, at = 0;
    bool open = false;
    while (at + 1 < way->length) {
        struct path_link link;
        at = path_link_at(graph, way, at, &link);
        if (!open) {
            links[count] = link;
            links[count].name[0] = '\0';
        }
        add_name(links[count].name, graph, &link);
        links[count].to = link.to;
        links[count].last_edge = link.last_edge;
        open = at + 1 < way->length && is_container(graph, link.to);
        count += !open;
    }
    return count;
}

static bool leads_back(const char *name)
{
    static const char *const words[] = {"parent", "owner",     "root",    "container", "manager",  "controller",
                                        "prev",   "previous",  "back",    "backref",   "host",     "holder",
                                        "master", "enclosing", "context", "ctx",       "observed", "subject"};
    while (*name == '.' || *name == '_')
        name++;
    size_t length = strlen(name);
    for (size_t i = 0; i < HS_COUNT_OF(words); i++) {
        size_t word = strlen(words[i]);
        if (length >= word && strncmp(name + length - word, words[i], word) == 0 &&
            (length == word || name[length - word - 1] == '_'))
            return true;
    }
    return false;
}

/* How well a link can be made weak: see the head of the file. 0: not at all. */
static uint64_t weakness(const struct ref_graph *graph, const struct path_link *link)
{
    uint64_t others = graph->source_first[link->to + 1] - graph->source_first[link->to];
    enum hsk_edge last = ref_edge_kind(graph->edges[link->last_edge]);
    bool container = link->name[strlen(link->name) - 1] == ']';
    if (others > UINT32_MAX - 1)
        others = UINT32_MAX - 1;
    /* what Python sets itself (__closure__, __traceback__, cell_contents) is nobody's to change */
    bool attribute = link->name[0] == '.' && strncmp(link->name, ".__", 3) != 0 &&
                     ref_edge_kind(graph->edges[link->last_edge]) != HSK_EDGE_SPECIAL;
    if (attribute && leads_back(link->name))
        return UINT64_C(4) << 32;
    if (attribute && !container)
        return UINT64_C(3) << 32 | others;
    if (last == HSK_EDGE_LOCAL)
        return UINT64_C(2) << 32 | others;
    return attribute || last == HSK_EDGE_CELL ? UINT64_C(1) << 32 | others : 0;
}

static int choose_weak(const struct ref_graph *graph, const struct path_link *links, size_t count)
{
    int best = -1;
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t weak = weakness(graph, &links[i]);
        if (weak > 0 && weak >= most) {
            best = (int)i;
            most = weak;
        }
    }
    return best;
}

/* The link to make weak comes last: "Parent.children[] → Child.parent". */
static void rotate(struct path_link *links, size_t count, int *weaken)
{
    if (*weaken < 0)
        return;
    for (size_t steps = (size_t)*weaken + 1; steps > 0 && steps < count; steps--) {
        struct path_link first = links[0];
        memmove(links, links + 1, (count - 1) * sizeof *links);
        links[count - 1] = first;
    }
    *weaken = (int)count - 1;
}

static void describe(const struct ref_graph *graph, const struct path_link *links, size_t count, struct buf *pattern)
{
    char type[PATH_NAME_SIZE];
    for (size_t i = 0; i < count; i++)
        buf_printf(pattern, "%s%s%s", i > 0 ? " \xe2\x86\x92 " : "",
                   path_short_name(graph, links[i].from, "class ", type, sizeof type), links[i].name);
    buf_append_byte(pattern, '\0');
}

/* ---- why it is still there ---- */

static uint32_t reasons_of(const struct finder *f, uint32_t component, const struct reach_path *way, uint32_t *odd)
{
    const struct ref_graph *graph = f->from->graph;
    uint32_t reasons = 0;
    for (uint32_t i = f->first[component]; i < f->first[component + 1]; i++) {
        uint32_t n = f->members[i], before = reasons;
        const struct ref_node *node = &graph->nodes[n];
        if (ref_kind(node) != REF_OBJECT)
            continue;
        bool gc = (graph->types[node->type].flags & HSK_TYPE_GC) != 0;
        if (f->from->reach->unexplained[n] > 0)
            reasons |= CYCLE_REFERENCES;
        if (node->type != 0 && !gc)
            reasons |= CYCLE_NO_GC;
        if (node->flags & HSK_OBJECT_OPAQUE)
            reasons |= CYCLE_OPAQUE;
        if (gc && !(node->flags & (HSK_OBJECT_TRACKED | HSK_OBJECT_FROZEN)))
            reasons |= CYCLE_UNTRACKED;
        if (reasons != before)
            *odd = n;
        if (node->flags & HSK_OBJECT_FROZEN)
            reasons |= CYCLE_FROZEN;
        if (node->flags & HSK_OBJECT_FINALIZED)
            reasons |= CYCLE_FINALIZED;
    }
    for (size_t i = 0; i + 1 < way->length; i++) {
        if (ref_edge_kind(graph->edges[way->edges[i]]) == HSK_EDGE_HIDDEN) {
            reasons |= CYCLE_HIDDEN;
            *odd = way->nodes[i];
        }
    }
    /* a word in a member that the collector does not know is one of the references that it cannot explain */
    if (reasons & CYCLE_HIDDEN)
        reasons &= ~(uint32_t)CYCLE_REFERENCES;
    return reasons;
}

const char *cycle_reason_text(enum cycle_reason reason)
{
    switch (reason) {
    case CYCLE_REFERENCES:
        return "one of its objects has more references than any referrer explains, so the collector takes it for alive";
    case CYCLE_NO_GC:
        return "an object on it is of a type that takes no part in collection (no Py_TPFLAGS_HAVE_GC)";
    case CYCLE_HIDDEN:
        return "it leads over a reference that the type's tp_traverse does not tell the collector";
    case CYCLE_OPAQUE:
        return "an object on it has a type whose tp_traverse is missing or fails";
    case CYCLE_UNTRACKED:
        return "an object on it is not tracked by the collector";
    case CYCLE_FROZEN:
        return "gc.freeze() took it out of collection";
    case CYCLE_FINALIZED:
        return "its finalizers have run, and it lived on";
    default:
        return "the collector has not run since it became garbage, or is disabled";
    }
}

/* ---- groups ---- */

/* The group of a pattern; NULL when memory runs out. A new one takes the links. */
static struct cycle_group *group_of(struct finder *f, bool garbage, const char *pattern, struct path_link **links,
                                    size_t link_count)
{
    struct buf key = BUF_INIT;
    buf_printf(&key, "%c%s", garbage ? 'g' : 'r', pattern);
    uint32_t before = f->patterns.count, number = key.failed ? 0 : intern_bytes(&f->patterns, key.data, key.length);
    buf_free(&key);
    if (number == 0)
        return NULL;
    if (number <= before)
        return &f->groups[number - 1];
    if (!grow((void **)&f->groups, f->count, &f->capacity, sizeof *f->groups))
        return NULL;
    struct cycle_group *group = &f->groups[f->count++];
    *group = (struct cycle_group){
        .garbage = garbage, .pattern = strdup(pattern), .links = *links, .link_count = link_count, .odd_node = NONE};
    *links = NULL;
    return group->pattern ? group : NULL;
}

static void count_stack(struct finder *f, struct cycle_group *group, uint32_t node)
{
    uint32_t index = (uint32_t)(group - f->groups), times = 0, best = 0;
    uint32_t stack = f->from->stack_of ? f->from->stack_of(f->from->context, node) : 0;
    uint64_t key = (uint64_t)index << 32 | stack;
    if (stack == 0)
        return;
    map64_get(&f->stacks, key, &times);
    map64_get(&f->best, index, &best);
    times++;
    f->failed |= !map64_put(&f->stacks, key, times);
    if (times > best) {
        f->failed |= !map64_put(&f->best, index, times);
        group->stack = stack;
    }
}

static void take_cycle(struct finder *f, uint32_t component, uint32_t *group_by_component)
{
    const struct ref_graph *graph = f->from->graph;
    uint32_t start = choose_start(f, component), odd = NONE;
    struct reach_path way;
    struct buf pattern = BUF_INIT;
    if (dullness(graph, start) == 4 || find_way(f, start, &way) != 0)
        return; /* of blocks only */
    struct path_link *links = reallocarray(NULL, way.length, sizeof *links);
    size_t count = links ? join_links(graph, &way, links) : 0;
    int weaken = choose_weak(graph, links, count);
    rotate(links, count, &weaken);
    describe(graph, links, count, &pattern);
    bool garbage = !reach_alive(f->from->reach, start);
    uint32_t first = count > 0 ? links[0].from : start;
    struct cycle_group *group =
        links && !pattern.failed ? group_of(f, garbage, (const char *)pattern.data, &links, count) : NULL;
    if (group) {
        group->weaken = weaken;
        group->count++;
        group->reasons |= garbage ? reasons_of(f, component, &way, &odd) : 0;
        if (group->odd_node == NONE)
            group->odd_node = odd;
        count_stack(f, group, first);
        group_by_component[component] = (uint32_t)(group - f->groups) + 1;
    } else {
        f->failed = true;
    }
    free(links);
    buf_free(&pattern);
    reach_path_free(&way);
}

static int by_size(const void *left, const void *right)
{
    const struct cycle_group *a = left, *b = right;
    if (a->garbage != b->garbage)
        return a->garbage ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return strcmp(a->pattern, b->pattern);
}

static void take_all(struct finder *f)
{
    const struct ref_graph *graph = f->from->graph;
    uint32_t components = f->from->components->count;
    uint32_t *group = calloc((size_t)components + 1, sizeof *group);
    f->failed |= !group;
    for (uint32_t c = 1; c < components && !f->failed; c++)
        take_cycle(f, c, group);
    for (uint32_t n = 0; n < graph->node_count && !f->failed; n++) {
        uint32_t index = group[f->owner[n]];
        if (f->owner[n] == 0 || index == 0 || ref_kind(&graph->nodes[n]) == REF_ROOT)
            continue;
        f->groups[index - 1].objects += ref_kind(&graph->nodes[n]) == REF_OBJECT;
        f->groups[index - 1].bytes += f->from->own[n];
    }
    free(group);
}

int cycles_find(struct cycles *cycles, const struct cycles_sources *sources, struct error *error)
{
    size_t count = (size_t)sources->graph->node_count + 1;
    struct finder f = {.from = sources,
                       .parent = malloc(count * sizeof *f.parent),
                       .parent_edge = malloc(count * sizeof *f.parent_edge),
                       .queue = malloc(count * sizeof *f.queue)};
    f.failed = !f.parent || !f.parent_edge || !f.queue || !sort_members(&f) || !find_owners(&f);
    if (!f.failed) {
        memset(f.parent, 0xff, count * sizeof *f.parent);
        take_all(&f);
    }
    struct cycles found = {.groups = f.groups, .count = f.count};
    free(f.parent);
    free(f.parent_edge);
    free(f.queue);
    free(f.members);
    free(f.first);
    free(f.owner);
    intern_free(&f.patterns);
    map64_free(&f.stacks);
    map64_free(&f.best);
    if (f.failed) {
        cycles_free(&found);
        return error_set(error, -ENOMEM, "out of memory: the cycles of the graph do not fit");
    }
    if (found.count > 1)
        qsort(found.groups, found.count, sizeof *found.groups, by_size);
    *cycles = found;
    return 0;
}

void cycles_free(struct cycles *cycles)
{
    for (size_t i = 0; i < cycles->count; i++) {
        free(cycles->groups[i].pattern);
        free(cycles->groups[i].links);
    }
    free(cycles->groups);
    *cycles = (struct cycles){0};
}
