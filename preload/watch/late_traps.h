/*
 * late_traps.h - may a SIGTRAP of a watchpoint still be on its way to a thread?
 *
 * The kernel sends it on the way back from the write to the program: a thread that was preempted in between has it
 * before it. A thread that blocks SIGTRAP has it pending for as long. Whoever takes the handler away then has the
 * program killed.
 */
#ifndef HEAPSAKE_PRELOAD_LATE_TRAPS_H
#define HEAPSAKE_PRELOAD_LATE_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * After the watchpoints were closed: waits until each thread was seen asleep or has run for a while since, for
 * `patience_ns` at most. True: nobody has one before it, or pending. Uses descriptors for moments.
 */
bool late_traps_none(uint64_t patience_ns);

#endif
