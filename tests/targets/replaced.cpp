// replaced.cpp - operator new and delete of a C++ program, for runs under a replacement allocator.
//
//   replaced COUNT KEPT      COUNT blocks of 1234 bytes by new[], all but KEPT of them deleted again
#include <cstdio>
#include <cstdlib>
#include <new>

struct alignas(64) wide {
    char bytes[192];
};

__attribute__((noinline)) static char *take() { return new char[1234]; }
__attribute__((noinline)) static wide *take_aligned() { return new wide; }

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long count = atol(argv[1]), kept = atol(argv[2]);
    char **blocks = static_cast<char **>(calloc(static_cast<size_t>(count), sizeof *blocks));
    for (long i = 0; i < count; i++)
        blocks[i] = take();
    for (long i = kept; i < count; i++)
        delete[] blocks[i];
    wide *aligned = take_aligned();
    delete aligned;
    try {
        volatile size_t huge = static_cast<size_t>(1) << 60;
        delete[] new char[huge];
        puts("no exception");
    } catch (const std::bad_alloc &) {
        puts("bad_alloc");
    }
    char *after = take(); // the exception has left no hook behind
    after[0] = 1;
    printf("{\"taken\": %ld, \"kept\": %ld}\n", count + 1, kept + 1);
}
