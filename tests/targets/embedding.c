/*
 * embedding.c - embedding LIBPYTHON: opens and runs an interpreter as it is told. Each line on standard input is a question,
 * answered by one JSON line:
 *
 *   initialize, finalize    {"initialized": 0 or 1}
 *   work                    {"initialized": 1}: makes objects and keeps them
 *   where                   {"raw": PATH, "mem": PATH, "object": PATH}: whose the allocators of the interpreter are
 *   end                     {"initialized": 0 or 1}, and it ends with status 0
 */
#include <dlfcn.h>

#include "truth.h"

struct allocator {
    void *context, *malloc, *calloc, *realloc, *free;
};

static void *library;

static void *find(const char *name)
{
    void *found = dlsym(library, name);
    CHECK(found);
    return found;
}

static const char *whose_allocator(int domain)
{
    struct allocator allocator;
    Dl_info info;
    ((void (*)(int, struct allocator *))find("PyMem_GetAllocator"))(domain, &allocator);
    return dladdr(allocator.malloc, &info) ? info.dli_fname : "?";
}

/* Between questions it does not hold the GIL. */
static void *thread_state;

static void go_in(void)
{
    if (thread_state)
        ((void (*)(void *))find("PyEval_RestoreThread"))(thread_state);
    thread_state = NULL;
}

static void go_out(void)
{
    if (((int (*)(void))find("Py_IsInitialized"))())
        thread_state = ((void *(*)(void))find("PyEval_SaveThread"))();
}

static void say(void) { print_line("{\"initialized\": %d}", ((int (*)(void))find("Py_IsInitialized"))()); }

int main(int argc, char **argv)
{
    char line[100];
    CHECK(argc == 2);
    alarm(300); /* whatever becomes of its test */
    print_line("%d", (int)getpid());
    while (fgets(line, sizeof line, stdin)) {
        free(malloc(100));
        if (!library && strcmp(line, "end\n") != 0) {
            library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
            CHECK(library);
        }
        if (library)
            go_in();
        if (strcmp(line, "initialize\n") == 0)
            ((void (*)(int))find("Py_InitializeEx"))(0);
        else if (strcmp(line, "finalize\n") == 0)
            CHECK(((int (*)(void))find("Py_FinalizeEx"))() == 0);
        else if (strcmp(line, "work\n") == 0)
            CHECK(((int (*)(const char *, void *))find("PyRun_SimpleStringFlags"))("kept = [str(i) for i in range(5000)]\n",
                                                                                  NULL) == 0);
        if (library)
            go_out();
        if (strcmp(line, "where\n") == 0)
            print_line("{\"raw\": \"%s\", \"mem\": \"%s\", \"object\": \"%s\"}", whose_allocator(0), whose_allocator(1),
                       whose_allocator(2));
        else if (library)
            say();
        else
            print_line("{\"initialized\": 0}");
        if (strcmp(line, "end\n") == 0)
            break;
    }
    return 0;
}
