/* histogram.c - see histogram.h */
#include "model/histogram.h"

uint64_t histogram_from(unsigned bucket)
{
    return bucket ? UINT64_C(1) << (bucket - 1) : 0;
}

uint64_t histogram_to(unsigned bucket)
{
    if (bucket == 0)
        return 0;
    return bucket == 64 ? UINT64_MAX : (UINT64_C(1) << bucket) - 1;
}

unsigned histogram_used(const struct histogram *histogram)
{
    unsigned used = HISTOGRAM_BUCKETS;
    while (used > 0 && histogram->count[used - 1] == 0)
        used--;
    return used;
}
