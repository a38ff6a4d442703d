/* open_late.c - open_late LIBRARY: loads it long after the start, as an embedding or an attach would, and closes it. */
#include <dlfcn.h>

#include "truth.h"

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    void *before = malloc(100);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        dprintf(STDERR_FILENO, "%s\n", dlerror());
    CHECK(library);
    free(before);
    for (int i = 0; i < 1000; i++)
        free(malloc(100));
    CHECK(dlclose(library) == 0);
    for (int i = 0; i < 1000; i++)
        free(malloc(100));
    print_line("opened");
    return 0;
}
