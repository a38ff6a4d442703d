/* sampling.c - see sampling.h */
#include "sampling.h"

#define MOST_PASSED 256u /* a rare birth is not waited for for much longer */

uint64_t sampling_random_below(uint32_t *chance, uint64_t limit)
{
    *chance = *chance * UINT32_C(1664525) + UINT32_C(1013904223);
    return limit >> 32 ? *chance : *chance * limit >> 32;
}

bool sampling_sees(struct sampling *sampling)
{
    if (++sampling->seen >= sampling->next)
        return true;
    if (!sampling->every)
        sampling_misses(sampling);
    return false;
}

void sampling_misses(struct sampling *sampling)
{
    sampling->passed += sampling->passed < MOST_PASSED;
}

bool sampling_picks(struct sampling *sampling)
{
    if (sampling->seen == sampling->next)
        return true;
    uint64_t later =
        sampling->every == 1 ? 0 : sampling_random_below(&sampling->chance, (uint64_t)sampling->passed + 1);
    sampling->passed = later > 0; /* this one */
    sampling->next = sampling->seen + later;
    return later == 0;
}

void sampling_took(struct sampling *sampling)
{
    uint64_t every = sampling->every;
    if (every <= 1)
        return;
    uint64_t windows = (sampling->seen - 1) / every + 1;
    if (__builtin_mul_overflow(windows, every, &sampling->next) ||
        __builtin_add_overflow(sampling->next, 1 + sampling_random_below(&sampling->chance, every), &sampling->next))
        sampling->next = UINT64_MAX;
}
