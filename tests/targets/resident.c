/* resident.c - a million events at a few stacks, then the highest resident set of this process. */
#include <sys/resource.h>

#include "truth.h"

int main(void)
{
    struct rusage usage;
    for (int i = 0; i < 500000; i++)
        free(malloc(1 + (size_t)i % 1000));
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    print_line("{\"peak_kib\": %ld}", usage.ru_maxrss);
    return 0;
}
