/* sites_wanted.c - see sites_wanted.h */
#include "model/sites_wanted.h"

#include <errno.h>
#include <stdlib.h>

struct finding {
    struct sites_wanted **live; /* by moment */
    size_t live_count, next_live;
    struct sites_wanted **allocated; /* by their begins */
    size_t allocated_count, next_allocated;
    size_t first_open; /* those before are over */
};

struct adding {
    const struct lifetimes *lifetimes;
    struct sites_wanted *wanted;
};

static void add_block(void *context, uint64_t ordinal, const struct life_block *block)
{
    const struct adding *adding = context;
    const struct region *region = adding->wanted->region;
    if (life_block_domain(block) == HSK_DOMAIN_ARENA || ordinal < adding->lifetimes->inherited_end ||
        (region && !region_has_block(region, ordinal, block->thread)))
        return;
    struct site one = site_of_block(block);
    sites_add(&adding->wanted->sites, &one);
}

/* The moments that have come by now. */
static void take_live(struct finding *finding, const struct lifetimes *lifetimes, uint64_t now)
{
    while (finding->next_live < finding->live_count && finding->live[finding->next_live]->event <= now) {
        struct sites_wanted *wanted = finding->live[finding->next_live++];
        struct adding adding = {.lifetimes = lifetimes, .wanted = wanted};
        lifetimes_visit_from(lifetimes, wanted->region ? wanted->region->begin_ordinal : 0, add_block, &adding);
    }
}

static void take_allocation(struct finding *finding, const struct event *event, uint64_t now)
{
    while (finding->next_allocated < finding->allocated_count &&
           finding->allocated[finding->next_allocated]->from <= now)
        finding->next_allocated++;
    while (finding->first_open < finding->next_allocated && finding->allocated[finding->first_open]->event <= now)
        finding->first_open++;
    if (event->kind != HSK_OP_ALLOC || event->domain == HSK_DOMAIN_ARENA)
        return;
    for (size_t i = finding->first_open; i < finding->next_allocated; i++) {
        struct sites_wanted *wanted = finding->allocated[i];
        if (wanted->event <= now ||
            (wanted->region && !region_has_block(wanted->region, event->ordinal, event->thread)))
            continue;
        struct site one = site_of_allocation(event);
        sites_add(&wanted->sites, &one);
    }
}

static void each(void *context, const struct lifetimes *lifetimes, const struct event *event)
{
    struct finding *finding = context;
    uint64_t now = lifetimes->now.allocations + lifetimes->now.frees;
    if (event->kind > HSK_OP_FREE_UNKNOWN)
        return;
    take_live(finding, lifetimes, now);
    if (finding->allocated_count > 0)
        take_allocation(finding, event, now);
}

static int by_event(const void *left, const void *right)
{
    const struct sites_wanted *const *a = left, *const *b = right;
    return (*a)->event < (*b)->event ? -1 : (*a)->event > (*b)->event;
}

static int by_from(const void *left, const void *right)
{
    const struct sites_wanted *const *a = left, *const *b = right;
    return (*a)->from < (*b)->from ? -1 : (*a)->from > (*b)->from;
}

static int most_allocations_first(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return a->stack < b->stack ? -1 : a->stack > b->stack;
}

static bool finish(struct sites_wanted *wanted, struct stacks *stacks)
{
    struct sites *sites = &wanted->sites;
    sites_finish(sites, stacks);
    if (wanted->allocated && sites->count > 1)
        qsort(sites->sites, sites->count, sizeof *sites->sites, most_allocations_first);
    return !sites->failed;
}

/* Sorts them into what is taken when; until when the events must be gone through. */
static uint64_t sort_out(struct finding *finding, struct sites_wanted *wanted, size_t count)
{
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].allocated)
            finding->allocated[finding->allocated_count++] = &wanted[i];
        else
            finding->live[finding->live_count++] = &wanted[i];
        last = wanted[i].event > last ? wanted[i].event : last;
    }
    qsort(finding->live, finding->live_count, sizeof(struct sites_wanted *), by_event);
    qsort(finding->allocated, finding->allocated_count, sizeof(struct sites_wanted *), by_from);
    return last;
}

int sites_wanted_find(struct sites_wanted *wanted, size_t count, struct trace_reader *reader, struct stacks *stacks,
                      struct error *error)
{
    struct finding finding = {.live = calloc(count + 1, sizeof(struct sites_wanted *)),
                              .allocated = calloc(count + 1, sizeof(struct sites_wanted *))};
    struct lifetimes *lifetimes = lifetimes_new();
    bool failed = !finding.live || !finding.allocated || !lifetimes;
    int code = 0;
    if (!failed && count > 0) {
        struct life_replay replay = {.until_ns = UINT64_MAX, .each = each, .context = &finding};
        replay.until_event = sort_out(&finding, wanted, count);
        code = lifetimes_replay(lifetimes, reader, &replay, error);
        take_live(&finding, lifetimes, UINT64_MAX);
        for (size_t i = 0; i < count; i++)
            failed |= !finish(&wanted[i], stacks);
    }
    lifetimes_free(lifetimes);
    free(finding.live);
    free(finding.allocated);
    return failed ? error_set(error, -ENOMEM, "%s: out of memory", reader->path) : code;
}
