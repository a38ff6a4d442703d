/*
 * stacks.c - a program of very many different stacks: what does each node of the stack tree cost?
 *
 *   stacks DEPTH    allocates from every path of a binary tree of calls: 4 * 2^DEPTH nodes; prints its own memory
 */
#include <stdlib.h>

#include "own_memory.h"

static void *volatile kept;

/* Not folded into one another, and no tail calls: each level is a frame. */
__attribute__((noinline, noclone)) static void descend(int deeper)
{
    kept = malloc(24);
    free(kept);
    if (deeper > 0) {
        descend(deeper - 1);
        __asm__ volatile("nop");
        descend(deeper - 1);
        __asm__ volatile("nop # the second");
    }
}

int main(int argc, char **argv)
{
    descend(argc > 1 ? atoi(argv[1]) : 10);
    print_own_memory();
}
