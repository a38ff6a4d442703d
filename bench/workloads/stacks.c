/*
 * stacks.c - a program of very many different stacks: what does each node of the stack tree cost?
 *
 *   stacks COUNT    allocates from COUNT different paths of calls, 20 deep: about 3 * COUNT nodes, for
 *                   neighbours share the beginning of their paths; prints its own memory
 */
#include <stdlib.h>

#include "own_memory.h"

#define DEPTH 20

static void *volatile kept;

/* The bits of `path` say which of the two calls it goes through on each level. */
__attribute__((noinline, noclone)) static void descend(unsigned long path, int deeper)
{
    if (deeper == 0) {
        kept = malloc(24);
        free(kept);
    } else if (path >> (deeper - 1) & 1) {
        descend(path, deeper - 1);
        __asm__ volatile("nop # no tail call: each level is a frame");
    } else {
        descend(path, deeper - 1);
        __asm__ volatile("nop # nor the same call as the other");
    }
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    for (unsigned long path = 0; path < count && path < 1UL << DEPTH; path++)
        descend(path, DEPTH);
    print_own_memory();
}
