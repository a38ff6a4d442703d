/* origin_outer.c - opens the library beside it through its own RUNPATH, by $ORIGIN, and in a namespace of its own. */
#include <dlfcn.h>

#include "truth.h"

static int ask(void *library)
{
    if (!library) {
        dprintf(STDERR_FILENO, "%s\n", dlerror());
        return -1;
    }
    int (*answer)(void) = (int (*)(void))dlsym(library, "inner_answer");
    int got = answer ? answer() : -2;
    dlclose(library);
    return got;
}

int outer_answer(int how);
int outer_answer(int how)
{
    switch (how) {
    case 0: return ask(dlopen("libinner.so", RTLD_NOW));          /* by RUNPATH of this library */
    case 1: return ask(dlopen("$ORIGIN/libinner.so", RTLD_LAZY)); /* beside this library        */
    case 2: return ask(dlmopen(LM_ID_NEWLM, "$ORIGIN/libinner.so", RTLD_NOW));
    default: return -3;
    }
}
