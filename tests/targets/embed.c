/*
 * embed.c - embed LIBRARY ROUNDS: opens libpython as an embedding program does, late, and runs it, finalizes it and
 * initializes it again, that many times.
 */
#include <dlfcn.h>

#include "truth.h"

static const char code[] = "def embedded_work():\n"
                           "    return [bytes(3000) for _ in range(2000)]\n"
                           "kept = embedded_work()\n"
                           "length = len(kept)\n"
                           "import sys\n"
                           "sys.stdout.write('round %d: %d\\n' % (round_number, length))\n"
                           "sys.stdout.flush()\n";

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    for (int i = 0; i < 1000; i++)
        free(malloc(100));
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        dprintf(STDERR_FILENO, "%s\n", dlerror());
    CHECK(library);
    void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
    int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
    int (*run)(const char *, void *) = (int (*)(const char *, void *))dlsym(library, "PyRun_SimpleStringFlags");
    CHECK(initialize && finalize && run);
    for (int i = 0; i < atoi(argv[2]); i++) {
        char number[40];
        initialize(0);
        snprintf(number, sizeof number, "round_number = %d\n", i);
        CHECK(run(number, NULL) == 0);
        CHECK(run(code, NULL) == 0);
        CHECK(finalize() == 0);
    }
    return 0;
}
