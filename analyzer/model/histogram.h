/*
 * histogram.h - how many numbers lie between which powers of two.
 *
 * Bucket 0 holds 0; bucket b holds 2^(b-1) .. 2^b - 1. No allocation, not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_HISTOGRAM_H
#define HEAPSAKE_MODEL_HISTOGRAM_H

#include <stdint.h>

#include "internal/compiler.h"

#define HISTOGRAM_BUCKETS 65

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t sum[HISTOGRAM_BUCKETS]; /* of the weights added */
};

HS_ALWAYS_INLINE unsigned histogram_bucket(uint64_t value)
{
    return value ? 64 - (unsigned)__builtin_clzll(value) : 0;
}

HS_ALWAYS_INLINE void histogram_add(struct histogram *histogram, uint64_t value, uint64_t weight)
{
    unsigned bucket = histogram_bucket(value);
    histogram->count[bucket]++;
    histogram->sum[bucket] += weight;
}

/* First and last value of a bucket. */
uint64_t histogram_from(unsigned bucket);
uint64_t histogram_to(unsigned bucket);

/* Number of buckets up to and with the last one that holds something. */
unsigned histogram_used(const struct histogram *histogram);

#endif
