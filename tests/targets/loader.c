/* loader.c - loader LIBRARY: what dlopen and dlmopen do for a caller that lies elsewhere. */
#include <dlfcn.h>

#include "truth.h"

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library)
        dprintf(STDERR_FILENO, "%s\n", dlerror());
    CHECK(library);
    int (*answer)(int) = (int (*)(int))dlsym(library, "outer_answer");
    CHECK(answer);
    CHECK(!dlopen("libinner.so", RTLD_NOW)); /* this program has no such RUNPATH */
    const char *error = dlerror();
    print_line("%s", error ? error : "none");
    print_line("%d %d %d", answer(0), answer(1), answer(2));
    for (int i = 0; i < 300; i++) { /* modules that come and go */
        void *again = dlopen(argv[1], RTLD_NOW);
        CHECK(again && ((int (*)(int))dlsym(again, "outer_answer"))(1) == 42);
        CHECK(dlclose(again) == 0);
    }
    CHECK(dlclose(library) == 0);
    print_line("%d", dlopen(NULL, RTLD_NOW) != NULL);
    return 0;
}
