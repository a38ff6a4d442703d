/* early.c - a library that allocates in its constructor and frees most of that in its destructor. */
#include "truth.h"

static void *blocks[100];

__attribute__((constructor)) static void early_constructor(void)
{
    for (int i = 0; i < 100; i++)
        CHECK((blocks[i] = malloc(6161)));
    print_line("constructed");
}

__attribute__((destructor)) static void early_destructor(void)
{
    for (int i = 10; i < 100; i++)
        free(blocks[i]);
    print_line("destroyed");
}
