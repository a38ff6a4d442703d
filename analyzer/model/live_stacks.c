/* live_stacks.c - see live_stacks.h */
#include "model/live_stacks.h"

static void expect(void *stacks, uint64_t ordinal, const struct life_block *block)
{
    (void)ordinal;
    stacks_expect(stacks, block->node);
}

void live_stacks_expect(struct stacks *stacks, const struct lifetimes *lifetimes)
{
    if (stacks_have_name_source(stacks))
        lifetimes_visit(lifetimes, expect, stacks);
}
