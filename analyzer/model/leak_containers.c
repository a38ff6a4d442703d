/*
 * leak_containers.c - containers in use that only get more members.
 *
 * First every container with many members, by the births of its own members. Then those that are alike (held in the
 * same way, with members of the same type from the same site) but have stopped, or have few: each of ten workers'
 * lists may rest for a while, and it is still one leak. Alike ones are measured together, and are one entry.
 */
#include "model/leak_causes.h"
#include "model/leak_evidence.h"
#include "model/leak_gathered.h"
#include "model/leak_groups.h"
#include "model/leak_growth.h"
#include "model/leak_limits.h"

#include <errno.h>
#include <stdlib.h>

struct container {
    uint32_t node, type, stack; /* type and site of its members */
    bool grows;                 /* by itself */
    uint64_t bytes;
};

struct containers {
    struct container *list;
    size_t count, capacity;
};

/* How a container is held, and what it has: containers of which one of these is equal are alike. */
struct likeness {
    uint64_t owner;           /* a type, or with OWNER_ITSELF a node                  */
    uint32_t container, name; /* its type; what its owner calls it, or the kind of edge */
    uint32_t type, stack;     /* of the members                                       */
};
#define OWNER_ITSELF (UINT64_C(1) << 32)
#define LIKENESSES 2 /* at most, of one container */

struct finder {
    struct leaks *leaks;
    struct evidence *evidence;
    struct containers containers;
    struct likeness *likenesses; /* of those that grow, sorted */
    size_t likeness_count;
    uint32_t *members; /* scratch: room for all nodes */
    bool failed;
};

/* What a member costs: all that hangs on it alone when it is this container's, else itself. */
static uint64_t cost(const struct evidence *evidence, uint32_t container, uint32_t member)
{
    return evidence->dominators.immediate[member] == container ? evidence->dominators.retained[member]
                                                               : evidence->own[member];
}

/*
 * Born by the program's own code: of what a freelist keeps the block may be as old as the interpreter, while what it
 * wraps is new.
 */
static bool is_born(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    if (evidence_is_born(evidence, node))
        return true;
    bool recycled = !evidence->objects && n->type < evidence->graph->type_count &&
                    evidence->graph->types[n->type].flags & HSK_TYPE_RECYCLES && ref_ordinal(n) != REF_NO_ORDINAL;
    return recycled && evidence_payload(evidence, node) != node;
}

/*
 * Is the edge one from the container to a member that may count? A member may have several. Of an lru_cache the cache
 * itself leads to what its links are for.
 */
static bool leads_to_member(const struct evidence *evidence, uint32_t container, struct ref_edge edge)
{
    enum type_kind kind = evidence_type_kind(evidence, edge.target);
    return gathered_leads(edge) && evidence_is_object(evidence, edge.target) && edge.target != container &&
           kind != TYPE_WEAKREF && kind != TYPE_LRU_LINK &&
           !evidence_has(evidence, edge.target, EVIDENCE_NAMESPACE | EVIDENCE_TAKEN) && is_born(evidence, edge.target);
}

static void leave(struct evidence *evidence, const uint32_t *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        evidence->marks[nodes[i]] &= (uint8_t)~EVIDENCE_TAKEN;
}

/*
 * The members of one type, born by the program's own code, into finder->members: of the type that costs most, where
 * plain values count least: keys are not what people look for.
 */
static size_t main_members(struct finder *finder, uint32_t node, uint64_t *bytes)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    struct groups groups = GROUPS_INIT;
    for (uint64_t e = graph->first[node]; e < graph->first[node + 1]; e++) {
        uint32_t target = graph->edges[e].target;
        if (!leads_to_member(evidence, node, graph->edges[e]))
            continue;
        groups_add(&groups, graph->nodes[target].type, target);
        evidence->marks[target] |= EVIDENCE_TAKEN; /* once, however often it is in there */
    }
    for (size_t i = 0; i < groups.count; i++)
        leave(evidence, &groups.members[i].node, 1);
    groups_sort(&groups);
    finder->failed |= groups.failed;
    size_t best = 0, best_count = 0;
    uint64_t best_cost = 0;
    for (size_t from = 0, end; from < groups.count; from = end) {
        uint64_t sum = 0;
        end = groups_end(&groups, from);
        for (size_t i = from; i < end; i++)
            sum += cost(evidence, node, groups.members[i].node);
        if (evidence_type_kind(evidence, groups.members[from].node) == TYPE_ATOMIC)
            sum /= 16;
        if (end - from >= GROW_MIN_EACH && sum >= best_cost) {
            best = from;
            best_count = end - from;
            best_cost = sum;
        }
    }
    *bytes = 0;
    for (size_t i = 0; i < best_count; i++) {
        finder->members[i] = groups.members[best + i].node;
        *bytes += cost(evidence, node, finder->members[i]);
    }
    groups_free(&groups);
    return best_count;
}

/* The members of the container's type, into `members`; marked as taken until leave(). */
static size_t take_members(struct evidence *evidence, const struct container *container, uint32_t *members)
{
    const struct ref_graph *graph = evidence->graph;
    size_t count = 0;
    for (uint64_t e = graph->first[container->node]; e < graph->first[container->node + 1]; e++) {
        uint32_t target = graph->edges[e].target;
        if (graph->nodes[target].type != container->type ||
            !leads_to_member(evidence, container->node, graph->edges[e]) ||
            evidence_has(evidence, target, EVIDENCE_EXPLAINED))
            continue;
        evidence->marks[target] |= EVIDENCE_TAKEN;
        members[count++] = target;
    }
    return count;
}

/* --- which grow --- */

static void add_container(struct finder *finder, struct container container)
{
    struct containers *all = &finder->containers;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? 2 * all->capacity : 64;
        struct container *grown = reallocarray(all->list, capacity, sizeof *grown);
        if (!grown) {
            finder->failed = true;
            return;
        }
        all->list = grown;
        all->capacity = capacity;
    }
    all->list[all->count++] = container;
}

static void find_growing(struct finder *finder)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    for (uint32_t node = 0; node < graph->node_count && !finder->failed; node++) {
        struct growth growth;
        uint64_t bytes;
        if (graph->first[node + 1] - graph->first[node] < GROW_MIN_EACH || !gathered_can_hold(evidence, node))
            continue;
        size_t count = main_members(finder, node, &bytes);
        if (count < GROW_MIN_EACH)
            continue;
        if (growth_measure(&growth, evidence, finder->members, count) != 0)
            finder->failed = true;
        else if (growth.grows &&
                 !earlier_replaced(evidence->earlier, graph, node, graph->nodes[finder->members[0]].type, count))
            add_container(finder, (struct container){.node = node,
                                                     .type = graph->nodes[finder->members[0]].type,
                                                     .stack = evidence_main_stack(evidence, finder->members, count),
                                                     .grows = true,
                                                     .bytes = bytes});
    }
}

/* --- which are like them --- */

/* By which people call what it leads to. */
static bool is_name(struct ref_edge edge)
{
    enum hsk_edge kind = ref_edge_kind(edge);
    return kind == HSK_EDGE_ATTRIBUTE || kind == HSK_EDGE_KEY || kind == HSK_EDGE_LOCAL || kind == HSK_EDGE_CELL ||
           kind == HSK_EDGE_SPECIAL;
}

/* Is it one of many, in a container whose keys or places mean nothing? The __dict__ of an object is no such one. */
static bool is_one_of_many(const struct evidence *evidence, uint32_t owner, struct ref_edge edge)
{
    const struct reach *reach = evidence->reach;
    enum hsk_edge kind = ref_edge_kind(edge);
    bool within = kind == HSK_EDGE_KEY || kind == HSK_EDGE_VALUE || kind == HSK_EDGE_INDEX || kind == HSK_EDGE_ITEM;
    return within && gathered_can_hold(evidence, owner) &&
           (reach->parent[owner] == UINT32_MAX ||
            ref_edge_kind(evidence->graph->edges[reach->parent_edge[owner]]) != HSK_EDGE_SPECIAL);
}

/* How it can be like another one: what owners of one type call by the same name; or both in the same container. */
static size_t likenesses_of(const struct evidence *evidence, const struct container *container,
                            struct likeness likenesses[LIKENESSES])
{
    const struct ref_graph *graph = evidence->graph;
    uint32_t owner = evidence->reach->parent[container->node];
    if (owner == UINT32_MAX)
        return 0;
    struct ref_edge edge = graph->edges[evidence->reach->parent_edge[container->node]];
    struct likeness likeness = {.owner = ref_kind(&graph->nodes[owner]) == REF_OBJECT ? graph->nodes[owner].type : 0,
                                .container = graph->nodes[container->node].type,
                                .name = edge.name,
                                .type = container->type,
                                .stack = container->stack};
    size_t count = 0;
    if (is_name(edge))
        likenesses[count++] = likeness;
    if (is_one_of_many(evidence, owner, edge)) {
        likeness.owner = OWNER_ITSELF | owner;
        likeness.name = ref_edge_kind(edge);
        likenesses[count++] = likeness;
    }
    return count;
}

/* By what is known of a container without looking at its members, then by those. */
static int by_likeness(const void *left, const void *right)
{
    const struct likeness *a = left, *b = right;
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    if (a->container != b->container)
        return a->container < b->container ? -1 : 1;
    if (a->name != b->name)
        return a->name < b->name ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->stack > b->stack) - (a->stack < b->stack);
}

static bool sort_likenesses(struct finder *finder)
{
    const struct containers *all = &finder->containers;
    finder->likenesses = calloc(LIKENESSES * all->count + 1, sizeof *finder->likenesses);
    if (!finder->likenesses)
        return false;
    size_t count = 0, different = 0;
    for (size_t i = 0; i < all->count; i++)
        count += likenesses_of(finder->evidence, &all->list[i], &finder->likenesses[count]);
    if (count > 1)
        qsort(finder->likenesses, count, sizeof *finder->likenesses, by_likeness);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || by_likeness(&finder->likenesses[i], &finder->likenesses[different - 1]) != 0)
            finder->likenesses[different++] = finder->likenesses[i];
    finder->likeness_count = different;
    return true;
}

/* The first one that is held as `sought` is; its members come first in the order. */
static size_t first_likeness(const struct finder *finder, struct likeness sought)
{
    size_t low = 0, high = finder->likeness_count;
    sought.type = sought.stack = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_likeness(&finder->likenesses[middle], &sought) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Has the container members like those of one that grows, which is held in the same way? Then adds it. */
static bool add_alike(struct finder *finder, uint32_t node, const struct likeness *held)
{
    struct evidence *evidence = finder->evidence;
    for (size_t i = first_likeness(finder, *held); i < finder->likeness_count; i++) {
        const struct likeness *like = &finder->likenesses[i];
        if (like->owner != held->owner || like->container != held->container || like->name != held->name)
            break;
        struct container container = {.node = node, .type = like->type, .stack = like->stack};
        size_t count = take_members(evidence, &container, finder->members);
        leave(evidence, finder->members, count);
        if (count == 0 || evidence_main_stack(evidence, finder->members, count) != like->stack ||
            earlier_replaced(evidence->earlier, evidence->graph, node, like->type, count))
            continue;
        for (size_t k = 0; k < count; k++)
            container.bytes += cost(evidence, node, finder->members[k]);
        add_container(finder, container);
        return true;
    }
    return false;
}

static void find_alike(struct finder *finder)
{
    struct evidence *evidence = finder->evidence;
    const struct ref_graph *graph = evidence->graph;
    size_t growing = finder->containers.count, next = 0; /* in the order of nodes */
    if (growing == 0)
        return;
    if (!sort_likenesses(finder)) {
        finder->failed = true;
        return;
    }
    for (uint32_t node = 0; node < graph->node_count && !finder->failed; node++) {
        if (next < growing && finder->containers.list[next].node == node) {
            next++;
            continue;
        }
        if (graph->first[node] == graph->first[node + 1] || !gathered_can_hold(evidence, node))
            continue;
        struct likeness held[LIKENESSES];
        size_t count = likenesses_of(evidence, &(struct container){.node = node}, held);
        for (size_t i = 0; i < count && !add_alike(finder, node, &held[i]); i++)
            ;
    }
}

/* --- one entry for those that are alike --- */

/* Those that grow first, the largest first. */
static int by_members(const void *left, const void *right)
{
    const struct container *a = left, *b = right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->stack != b->stack)
        return a->stack < b->stack ? -1 : 1;
    if (a->grows != b->grows)
        return a->grows ? -1 : 1;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->node < b->node ? -1 : a->node > b->node;
}

/* All members together, but of containers that hang on another leak; and whether they grow. 0 or -ENOMEM. */
static int gather(struct finder *finder, const struct container *list, size_t count, struct gathered *found)
{
    struct evidence *evidence = finder->evidence;
    *found =
        (struct gathered){.holder = UINT32_MAX, .members = finder->members, .confidence = GROW_CONFIDENCE, .most = 1};
    for (size_t i = 0; i < count; i++) {
        if (evidence_is_explained(evidence, list[i].node))
            continue;
        if (found->holders == 0 && !list[i].grows)
            break; /* none is left that grows by itself */
        if (found->holders++ == 0)
            found->holder = list[i].node;
        size_t from = found->count;
        found->count += take_members(evidence, &list[i], &finder->members[from]);
        for (size_t k = from; k < found->count; k++)
            found->retained += cost(evidence, list[i].node, finder->members[k]);
    }
    leave(evidence, finder->members, found->count);
    return growth_measure(&found->growth, evidence, found->members, found->count);
}

/* One entry of the containers list[0 .. count], whose members are alike. */
static int report_containers(struct finder *finder, const struct container *list, size_t count)
{
    struct gathered found;
    size_t growing = 0;
    while (growing < count && list[growing].grows)
        growing++;
    int code = gather(finder, list, count, &found);
    if (code == 0 && growing < count && !found.growth.grows)
        code = gather(finder, list, growing, &found);
    if (code == 0 && found.count >= GROW_MIN_MEMBERS)
        code = gathered_report(finder->leaks, finder->evidence, &found);
    return code;
}

/* list[from .. end] of the containers, whose members are alike. */
struct alike {
    size_t from, end;
    uint64_t bytes;
};

static int largest_first(const void *left, const void *right)
{
    const struct alike *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->from < b->from ? -1 : 1;
}

/* The largest first: what is in a container costs at least what is in those below it, which hang on it. */
static int report_all_containers(struct finder *finder)
{
    const struct containers *all = &finder->containers;
    struct alike *groups = calloc(all->count + 1, sizeof *groups);
    size_t count = 0;
    int code = groups ? 0 : -ENOMEM;
    if (all->count > 1)
        qsort(all->list, all->count, sizeof *all->list, by_members);
    for (size_t from = 0, end; from < all->count && code == 0; from = end) {
        uint64_t bytes = 0;
        end = from;
        while (end < all->count && all->list[end].type == all->list[from].type &&
               all->list[end].stack == all->list[from].stack)
            bytes += all->list[end++].bytes;
        groups[count++] = (struct alike){.from = from, .end = end, .bytes = bytes};
    }
    if (count > 1)
        qsort(groups, count, sizeof *groups, largest_first);
    for (size_t i = 0; i < count && code == 0; i++)
        code = report_containers(finder, &all->list[groups[i].from], groups[i].end - groups[i].from);
    free(groups);
    return code;
}

int leaks_find_growing(struct leaks *leaks, struct evidence *evidence)
{
    struct finder finder = {.leaks = leaks, .evidence = evidence};
    finder.members = malloc(((size_t)evidence->graph->node_count + 1) * sizeof *finder.members);
    int code = finder.members ? 0 : -ENOMEM;
    if (code == 0)
        find_growing(&finder);
    if (code == 0 && !finder.failed)
        find_alike(&finder);
    if (code == 0 && !finder.failed)
        code = report_all_containers(&finder);
    free(finder.members);
    free(finder.likenesses);
    free(finder.containers.list);
    return finder.failed ? -ENOMEM : code;
}
