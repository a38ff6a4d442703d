/* clock.h - clocks in nanoseconds. Durations and deadlines are measured by the monotonic one. */
#ifndef HEAPSAKE_BASE_CLOCK_H
#define HEAPSAKE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}
static inline uint64_t monotonic_ms(void)
{
    return monotonic_ns() / 1000000;
}

#endif
