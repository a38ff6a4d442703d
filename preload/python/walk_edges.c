/*
 * walk_edges.c - the references of one object.
 *
 * tp_traverse visits a multiset of targets. Whoever knows a name says it with walk_edge(), which takes its target out
 * of the multiset; what is left over has no name. So each counted reference becomes one edge, whatever tells of it.
 */
#include <string.h>

#include "../arena.h"
#include "../snapshot/child.h"
#include "walk_parts.h"

#define VISITED_FIRST (1u << 12)
#define SEARCH_LINEAR 16u /* fewer targets than that are searched one by one */
#define NOWHERE UINT32_MAX

static struct {
    const void **targets; /* NULL: consumed */
    uint32_t count, room;
    uint32_t first; /* all before it are consumed                                          */
    bool direct;    /* nothing was traversed: all that is told counts                        */
    bool reaching;  /* no record is begun: targets are only made known                       */
    /* For many targets: chains of those with the same hash. */
    uint32_t *heads, *next;
    uint32_t mask;
    bool indexed;
} visited;

bool walk_edges_begin(void)
{
    visited.room = VISITED_FIRST;
    visited.targets = arena_map(VISITED_FIRST * sizeof(void *));
    visited.next = arena_map(VISITED_FIRST * sizeof(uint32_t));
    visited.heads = arena_map(VISITED_FIRST * sizeof(uint32_t));
    visited.mask = VISITED_FIRST - 1;
    return visited.targets && visited.next && visited.heads;
}

static bool grow(void)
{
    uint32_t room = 2 * visited.room;
    const void **targets = arena_map((size_t)room * sizeof(void *));
    uint32_t *next = arena_map((size_t)room * sizeof(uint32_t));
    uint32_t *heads = arena_map((size_t)room * sizeof(uint32_t));
    if (!targets || !next || !heads)
        return false;
    memcpy(targets, visited.targets, visited.count * sizeof(void *));
    arena_unmap(visited.targets, visited.room * sizeof(void *));
    arena_unmap(visited.next, visited.room * sizeof(uint32_t));
    arena_unmap(visited.heads, visited.room * sizeof(uint32_t));
    visited.targets = targets;
    visited.next = next;
    visited.heads = heads;
    visited.room = room;
    visited.mask = room - 1;
    return true;
}

static int visit(void *object, void *unused)
{
    (void)unused;
    if (!object || (visited.count == visited.room && !grow()))
        return 0;
    visited.targets[visited.count++] = object;
    return 0;
}

static uint32_t hash(const void *target)
{
    return (uint32_t)(((uintptr_t)target >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & visited.mask;
}

static void make_index(void)
{
    uint32_t cells = 64;
    while (cells < visited.count)
        cells *= 2;
    visited.mask = cells - 1;
    memset(visited.heads, 0xff, cells * sizeof(uint32_t));
    for (uint32_t i = visited.count; i-- > 0;) { /* so that chains begin with the first */
        uint32_t at = hash(visited.targets[i]);
        visited.next[i] = visited.heads[at];
        visited.heads[at] = i;
    }
    visited.indexed = true;
}

static bool consume_linear(const void *target)
{
    for (uint32_t i = visited.first; i < visited.count; i++) {
        if (visited.targets[i] == target) {
            visited.targets[i] = NULL;
            while (visited.first < visited.count && !visited.targets[visited.first])
                visited.first++;
            return true;
        }
    }
    return false;
}

static bool consume(const void *target)
{
    if (visited.count <= SEARCH_LINEAR)
        return consume_linear(target);
    /* A list's items come in their order, or backwards: try the next one first. */
    if (visited.first < visited.count && visited.targets[visited.first] == target) {
        visited.targets[visited.first++] = NULL;
        return true;
    }
    if (!visited.indexed)
        make_index();
    for (uint32_t *link = &visited.heads[hash(target)]; *link != NOWHERE; link = &visited.next[*link]) {
        uint32_t at = *link;
        if (visited.targets[at] == target) {
            visited.targets[at] = NULL;
            *link = visited.next[at];
            return true;
        }
    }
    return false;
}

void walk_edges_direct(void)
{
    visited.count = visited.first = 0;
    visited.direct = true;
    visited.reaching = false;
}

void walk_edges_reach(void)
{
    walk_edges_direct();
    visited.reaching = true;
}

bool walk_edges_traverse(const struct walk_shape *shape, const void *object)
{
    visited.count = visited.first = 0;
    visited.direct = visited.reaching = visited.indexed = false;
    struct child_guard guard;
    if (CHILD_GUARDED(&guard)) {
        shape->traverse((void *)object, visit, NULL);
        child_guard_end(&guard);
        return true;
    }
    return false;
}

void walk_edge(enum hsk_edge kind, uint64_t argument, const void *target, bool counted)
{
    if (!target)
        return;
    if (visited.reaching) {
        nodes_of_object(target);
        return;
    }
    if (!visited.direct && HSK_EDGE_COUNTED(kind) && !consume(target) && !counted)
        return;
    graph_edge(kind, argument, nodes_of_object(target));
}

void walk_edges_rest(bool indexed)
{
    uint64_t index = 0;
    for (uint32_t i = visited.first; i < visited.count; i++) {
        if (visited.targets[i])
            graph_edge(indexed ? HSK_EDGE_INDEX : HSK_EDGE_REFERENCE, indexed ? index++ : 0,
                       nodes_of_object(visited.targets[i]));
    }
}
