/* live_stacks.h - the stacks of what lives are about to be asked for. */
#ifndef HEAPSAKE_MODEL_LIVE_STACKS_H
#define HEAPSAKE_MODEL_LIVE_STACKS_H

#include "model/lifetimes.h"
#include "model/stacks.h"

/* stacks_expect() for every block that lives; where names have no source, which is nearly always, no block is looked
 * at. */
void live_stacks_expect(struct stacks *stacks, const struct lifetimes *lifetimes);

#endif
