/* earlier.c - see earlier.h */
#include "model/earlier.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/leak_gathered.h"
#include "model/leak_limits.h"

#define NO_TYPE UINT32_MAX

static int by_address(const void *left, const void *right, void *context)
{
    const struct ref_node *nodes = context;
    uint64_t a = nodes[*(const uint32_t *)left].address, b = nodes[*(const uint32_t *)right].address;
    return a < b ? -1 : a > b;
}

struct named_type {
    struct text module, name;
    uint32_t type;
};

static struct text text_of(const struct ref_graph *graph, uint32_t string)
{
    struct text none = {"", 0};
    return string < graph->string_count && graph->strings[string].bytes ? graph->strings[string] : none;
}

static int compare(struct text a, struct text b)
{
    int order = memcmp(a.bytes, b.bytes, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static struct named_type named(const struct ref_graph *graph, uint32_t type)
{
    return (struct named_type){text_of(graph, graph->types[type].module), text_of(graph, graph->types[type].name),
                               type};
}

static int by_name(const void *left, const void *right)
{
    const struct named_type *a = left, *b = right;
    int order = compare(a->name, b->name);
    return order ? order : compare(a->module, b->module);
}

/* Two classes of one name are taken for one. */
static bool match_types(struct earlier *earlier, const struct ref_graph *later)
{
    const struct ref_graph *first = &earlier->graph;
    struct named_type *types = malloc(((size_t)first->type_count + 1) * sizeof *types);
    if (!types)
        return false;
    for (uint32_t type = 0; type < first->type_count; type++)
        types[type] = named(first, type);
    if (first->type_count > 1)
        qsort(types, first->type_count, sizeof *types, by_name);
    for (uint32_t type = 0; type < later->type_count; type++) {
        struct named_type key = named(later, type);
        const struct named_type *found =
            first->type_count ? bsearch(&key, types, first->type_count, sizeof *types, by_name) : NULL;
        earlier->types[type] = found ? found->type : NO_TYPE;
    }
    free(types);
    return true;
}

static bool count_types(struct earlier *earlier, const struct ref_graph *later)
{
    const struct ref_graph *first = &earlier->graph;
    uint64_t *counts = calloc((size_t)first->type_count + 1, sizeof *counts);
    if (!counts)
        return false;
    for (uint32_t node = 0; node < first->node_count; node++)
        if (ref_kind(&first->nodes[node]) == REF_OBJECT) {
            earlier->nodes[earlier->node_count++] = node;
            counts[first->nodes[node].type < first->type_count ? first->nodes[node].type : 0]++;
        }
    for (uint32_t type = 0; type < later->type_count; type++)
        earlier->counts[type] = earlier->types[type] == NO_TYPE ? 0 : counts[earlier->types[type]];
    free(counts);
    qsort_r(earlier->nodes, earlier->node_count, sizeof *earlier->nodes, by_address, first->nodes);
    return true;
}

int earlier_load(struct earlier *earlier, struct trace_reader *reader, const struct snapshot_info *first,
                 const struct ref_graph *later, struct error *error)
{
    *earlier = (struct earlier){0};
    int code = ref_graph_load(&earlier->graph, reader, first, error);
    if (code != 0)
        return code;
    earlier->nodes = calloc((size_t)earlier->graph.node_count + 1, sizeof *earlier->nodes);
    earlier->types = calloc((size_t)later->type_count + 1, sizeof *earlier->types);
    earlier->counts = calloc((size_t)later->type_count + 1, sizeof *earlier->counts);
    if (earlier->nodes && earlier->types && earlier->counts && match_types(earlier, later) &&
        count_types(earlier, later))
        return 0;
    earlier_free(earlier);
    return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
}

void earlier_free(struct earlier *earlier)
{
    if (!earlier)
        return;
    ref_graph_free(&earlier->graph);
    free(earlier->nodes);
    free(earlier->types);
    free(earlier->counts);
    *earlier = (struct earlier){0};
}

/* The object as it was; UINT32_MAX: it was not there. */
static uint32_t find(const struct earlier *earlier, const struct ref_node *node)
{
    const struct ref_node *nodes = earlier->graph.nodes;
    size_t low = 0, high = earlier->node_count;
    if (ref_kind(node) != REF_OBJECT || ref_ordinal(node) != REF_NO_ORDINAL)
        return UINT32_MAX;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (nodes[earlier->nodes[middle]].address < node->address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == earlier->node_count || nodes[earlier->nodes[low]].address != node->address ||
        nodes[earlier->nodes[low]].type != earlier->types[node->type])
        return UINT32_MAX;
    return earlier->nodes[low];
}

static uint64_t members_of(const struct ref_graph *graph, uint32_t container, uint32_t type)
{
    uint64_t count = 0;
    for (uint64_t e = graph->first[container]; e < graph->first[container + 1]; e++) {
        const struct ref_node *target = &graph->nodes[graph->edges[e].target];
        count += gathered_leads(graph->edges[e]) && ref_kind(target) == REF_OBJECT && target->type == type;
    }
    return count;
}

static bool is_replaced(uint64_t before, uint64_t now, size_t born)
{
    return (double)now - (double)before < GROW_NET_SHARE * (double)born;
}

bool earlier_replaced(const struct earlier *earlier, const struct ref_graph *later, uint32_t container, uint32_t type,
                      size_t born)
{
    uint32_t then = earlier ? find(earlier, &later->nodes[container]) : UINT32_MAX;
    if (then == UINT32_MAX || type >= later->type_count || earlier->types[type] == NO_TYPE)
        return false;
    return is_replaced(members_of(&earlier->graph, then, earlier->types[type]), members_of(later, container, type),
                       born);
}

bool earlier_replaced_type(const struct earlier *earlier, uint32_t type, size_t now, size_t born)
{
    return earlier && is_replaced(earlier->counts[type], now, born);
}
