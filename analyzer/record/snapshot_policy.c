/* snapshot_policy.c - see snapshot_policy.h */
#include "record/snapshot_policy.h"

#include "internal/snapshot.h"

unsigned snapshot_due(const struct snapshot_policy *policy, struct snapshot_watch *watch, uint64_t now,
                      uint64_t resident)
{
    if (policy->off || resident == 0)
        return 0;
    if (watch->resident == 0)
        watch->resident = resident; /* the start, or a snapshot at which it was not known */
    if (watch->under_way)
        return 0;
    uint64_t age = now > watch->last_ns ? now - watch->last_ns : 0;
    if (policy->every_ns && age >= policy->every_ns)
        return HS_SNAPSHOT_EVERY;
    if (policy->growth_bytes && resident >= watch->resident && resident - watch->resident >= policy->growth_bytes &&
        (!watch->taken || age >= GROWTH_APART_NS))
        return HS_SNAPSHOT_GROWTH;
    if (resident >= DOUBLED_LEAST_BYTES && resident / 2 >= watch->resident &&
        age >= (watch->taken ? DOUBLED_APART_NS : DOUBLED_FIRST_NS))
        return HS_SNAPSHOT_DOUBLED;
    return 0;
}

void snapshot_watch_begin(struct snapshot_watch *watch, uint64_t now)
{
    watch->taken = true;
    watch->under_way = true;
    watch->last_ns = now;
}

void snapshot_watch_end(struct snapshot_watch *watch, uint64_t now, uint64_t resident)
{
    (void)now;
    watch->under_way = false;
    watch->resident = resident;
}

void snapshot_watch_failed(struct snapshot_watch *watch, uint64_t now)
{
    watch->taken = true;
    watch->under_way = false;
    watch->last_ns = now;
}
