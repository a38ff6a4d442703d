/* sites.c - see sites.h */
#include "model/sites.h"

#include <stdlib.h>

#include "base/grow.h"

void sites_clear(struct sites *sites)
{
    free(sites->sites);
    map64_free(&sites->index);
    *sites = SITES_INIT;
}

void sites_free(struct sites *sites)
{
    sites_clear(sites);
}

/* The entry of a key (node or stack), NULL when memory runs out. */
static struct site *site_of(struct sites *sites, uint32_t key)
{
    uint32_t index;
    if (map64_get(&sites->index, key, &index))
        return &sites->sites[index];
    if (!grow((void **)&sites->sites, sites->count, &sites->capacity, sizeof *sites->sites))
        return NULL;
    if (!map64_put(&sites->index, key, (uint32_t)sites->count))
        return NULL;
    struct site *site = &sites->sites[sites->count++];
    *site = (struct site){.stack = key, .first_ns = UINT64_MAX};
    return site;
}

static void merge(struct site *site, const struct site *other)
{
    site->count += other->count;
    site->bytes += other->bytes;
    site->domains |= other->domains;
    if (other->first_ns < site->first_ns)
        site->first_ns = other->first_ns;
    if (other->last_ns > site->last_ns)
        site->last_ns = other->last_ns;
}

/* Adds to the entry of a key. */
static void add_to(struct sites *sites, uint32_t key, const struct site *one)
{
    struct site *site = site_of(sites, key);
    if (site)
        merge(site, one);
    else
        sites->failed = true;
}

void sites_add(struct sites *sites, const struct site *one)
{
    add_to(sites, one->stack, one);
}

struct adding {
    struct sites *sites;
    uint64_t inherited_end;
};

static void add_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    const struct adding *adding = context;
    if (life_block_domain(block) == HSK_DOMAIN_ARENA || ordinal < adding->inherited_end)
        return;
    struct site one = site_of_block(block);
    sites_add(adding->sites, &one);
}

void sites_add_live(struct sites *sites, const struct lifetimes *lifetimes)
{
    struct adding adding = {.sites = sites, .inherited_end = lifetimes->inherited_end};
    lifetimes_visit(lifetimes, add_block, &adding);
}

static int largest_first(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->stack < b->stack ? -1 : a->stack > b->stack; /* a stable order: reports can be compared */
}

/* Puts the merged ones in the place of those that they were merged of. */
static void take_merged(struct sites *sites, const struct sites *merged)
{
    sites_clear(sites);
    *sites = *merged;
    if (sites->count > 0)
        qsort(sites->sites, sites->count, sizeof *sites->sites, largest_first);
}

void sites_finish(struct sites *sites, struct stacks *stacks)
{
    struct sites merged = {.failed = sites->failed};
    for (size_t i = 0; i < sites->count; i++)
        stacks_expect(stacks, sites->sites[i].stack);
    for (size_t i = 0; i < sites->count; i++)
        add_to(&merged, stacks_of_node(stacks, sites->sites[i].stack), &sites->sites[i]);
    merged.failed |= stacks_failed(stacks);
    take_merged(sites, &merged);
}

void sites_move(struct sites *sites, const uint32_t *stacks)
{
    struct sites merged = {.failed = sites->failed};
    for (size_t i = 0; i < sites->count; i++)
        add_to(&merged, stacks[sites->sites[i].stack], &sites->sites[i]);
    take_merged(sites, &merged);
}
