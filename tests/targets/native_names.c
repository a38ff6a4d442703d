/* native_names.c - loses blocks of one size, which an inlined call asks for; a test knows the lines by their marks. */
#include <stdlib.h>

#ifndef BLOCKS
#define BLOCKS 100
#endif
#define SIZE 4321

static inline __attribute__((always_inline)) void *asked_for(size_t size)
{
    return malloc(size); /* line of asked_for */
}

static __attribute__((noinline)) void lose_one(void)
{
    char *volatile block = asked_for(SIZE); /* line of lose_one */
    *block = 1;
    block = NULL;
}

int main(void)
{
    for (int i = 0; i < BLOCKS; i++)
        lose_one(); /* line of main */
    return 0;
}
