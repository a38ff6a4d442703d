/*
 * high_descriptors.h - room for many descriptors, out of the program's way.
 *
 * Where it can be had, the room lies above the program's own limit (RLIMIT_NOFILE, the soft one): there the program
 * neither runs out of descriptors because of ours, nor finds one of them by going through its numbers. The limit is
 * raised for as long as descriptors are opened, which the kernel looks at only then. Where the limit cannot be raised,
 * or is so high that the kernel's table would become large, a quarter of the program's own numbers are taken.
 *
 * Async-signal-safe. Not from two threads at once.
 */
#ifndef HEAPSAKE_PRELOAD_HIGH_DESCRIPTORS_H
#define HEAPSAKE_PRELOAD_HIGH_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct high_descriptors {
    uint64_t room; /* how many there may be, all together */
    /* private */
    uint64_t lowest;
    bool raised;
    struct rlimit before, meanwhile;
};

void high_descriptors_begin(struct high_descriptors *high);
/* Gives a descriptor a number up there, with FD_CLOEXEC, in place of its own, which it keeps when there is none. */
int high_descriptors_move(const struct high_descriptors *high, int fd);
/* The program's limit is what it was, unless the program has set another one meanwhile. */
void high_descriptors_end(const struct high_descriptors *high);

#endif
