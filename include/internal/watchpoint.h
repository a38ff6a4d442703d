/*
 * watchpoint.h - what a watchpoint is to the kernel: the library opens them, and the analyzer tries whether it may.
 *
 * No allocation, nothing of libc.
 */
#ifndef HEAPSAKE_INTERNAL_WATCHPOINT_H
#define HEAPSAKE_INTERNAL_WATCHPOINT_H

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>

/* Each write to these bytes is a SIGTRAP with `tag` in the thread that writes, and in threads that it makes later. */
static inline struct perf_event_attr hs_watchpoint_attributes(const void *address, unsigned bytes, uint64_t tag)
{
    return (struct perf_event_attr){
        .type = PERF_TYPE_BREAKPOINT,
        .size = sizeof(struct perf_event_attr),
        .bp_type = HW_BREAKPOINT_W,
        .bp_addr = (uintptr_t)address,
        .bp_len = bytes,
        .sample_period = 1,
        .inherit = 1,
        .inherit_thread = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .remove_on_exec = 1,
        .sigtrap = 1,
        .sig_data = tag,
    };
}

/*
 * Is the kernel of this release ("6.1.0-13-amd64") at least 5.18? Older ones end a program that has SIGTRAP blocked when a
 * watchpoint is hit.
 */
static inline bool hs_watchpoint_kernel_is_new(const char *release)
{
    unsigned numbers[2] = {0};
    for (unsigned i = 0; i < 2; i++) {
        for (; *release >= '0' && *release <= '9'; release++)
            numbers[i] = numbers[i] * 10 + (unsigned)(*release - '0');
        if (*release == '.')
            release++;
    }
    return numbers[0] > 5 || (numbers[0] == 5 && numbers[1] >= 18);
}

/*
 * Some processors look at each byte of a string instruction while a watchpoint is armed, those of libc and of the kernel
 * included: 0.7 ns a byte instead of 0.01 were seen. This is the least of a few copies, in ticks of the processor's
 * counter, so that no interrupt is in it; armed or not is the caller's business. Any thread.
 */
#define HS_COPIES 8u
#define HS_COPY_BYTES 2048u
#define HS_SLOW_COPY 4u /* times as long: worth to be said, and to be counted */

static inline uint64_t hs_copy_ticks(void)
{
    static char from[HS_COPY_BYTES], to[HS_COPY_BYTES]; /* a caller's stack may be small; what two copy at once is the same */
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < HS_COPIES; i++) {
        void *source = from, *target = to;
        uint64_t bytes = sizeof from, began = __builtin_ia32_rdtsc();
        __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(bytes) : : "memory");
        uint64_t ticks = __builtin_ia32_rdtsc() - began;
        least = ticks < least ? ticks : least;
    }
    return least ? least : 1;
}

#endif
