/* origin_inner.c - a library that lies beside the one that opens it. */
#include <stdlib.h>

int inner_answer(void);
int inner_answer(void)
{
    void *volatile block = malloc(5151);
    free(block);
    return block ? 42 : -1;
}
