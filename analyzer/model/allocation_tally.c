/* allocation_tally.c - see allocation_tally.h */
#include "model/allocation_tally.h"

/*
 * Whether an event counts (an ordinal may come twice in a damaged file), and whether an allocation was temporary, is
 * for lifetimes to say, and is seen from its counter when the event has gone by.
 */
static uint64_t counter_of(const struct allocation_tally *tally, const struct lifetimes *lifetimes)
{
    return tally->temporary ? lifetimes->now.temporary : lifetimes->now.allocations;
}

void allocation_tally_end(struct allocation_tally *tally, const struct lifetimes *lifetimes)
{
    if (tally->last.count > 0 && counter_of(tally, lifetimes) != tally->counter)
        sites_add(&tally->sites, &tally->last);
    tally->last.count = 0;
}

void allocation_tally_event(struct allocation_tally *tally, const struct lifetimes *lifetimes,
                            const struct event *event)
{
    allocation_tally_end(tally, lifetimes);
    tally->counter = counter_of(tally, lifetimes);
    if (event->kind == HSK_OP_ALLOC && !tally->temporary && event->domain != HSK_DOMAIN_ARENA) {
        tally->last = site_of_allocation(event);
    } else if (event->kind == HSK_OP_FREE && tally->temporary) {
        const struct life_block *block = lifetimes_find(lifetimes, event->ordinal);
        if (block && life_block_domain(block) != HSK_DOMAIN_ARENA)
            tally->last = site_of_block(block);
    }
}
