/*
 * live.c - very many blocks that stay: what does each cost the recorder?
 *
 *   live COUNT    allocates COUNT blocks, then ends
 */
#include <stdlib.h>

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1000000;
    void *volatile *blocks = malloc((size_t)count * sizeof *blocks);
    for (long i = 0; blocks && i < count; i++)
        blocks[i] = malloc(48);
    return !blocks;
}
