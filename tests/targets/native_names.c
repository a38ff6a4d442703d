/*
 * native_names.c - loses blocks of one size, which an inlined call asks for; a test knows the lines by their marks.
 * With -DWAITS it takes a snapshot, sees to it that all this is in its trace, says so, and waits for its input's end.
 */
#include <stdlib.h>

#ifdef WAITS
#include <stdio.h>
#include <unistd.h>

#include <heapsake/heapsake.h>
#endif

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
#ifdef WAITS
    char byte;
    heapsake_snapshot();
    heapsake_flush();
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
#endif
    return 0;
}
