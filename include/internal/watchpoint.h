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

#endif
