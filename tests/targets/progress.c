/*
 * progress.c - progress [BATCHES [gate]]: batches of allocations of one size; after each, its number goes to standard
 * output. So whoever reads the last number knows what had been allocated at least. Without BATCHES it never ends. With
 * a gate it waits behind the first batch until standard input has a byte, or ends.
 */
#include "truth.h"

enum { BATCH = 200, SIZE = 4243 };

int main(int argc, char **argv)
{
    long batches = argc > 1 ? atol(argv[1]) : -1;
    char opened;
    static void *blocks[BATCH];
    alarm(120); /* whatever happens, it goes */
    for (long i = 0; i != batches; i++) {
        for (int k = 0; k < BATCH; k++) {
            free(blocks[k]);
            blocks[k] = malloc(SIZE);
            CHECK(blocks[k]);
        }
        print_line("%ld", i + 1);
        if (i == 0 && argc > 2)
            CHECK(read(STDIN_FILENO, &opened, 1) >= 0);
    }
    print_line("done");
    return 0;
}
