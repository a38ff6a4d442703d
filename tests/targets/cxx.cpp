// cxx.cpp - cxx MODE N: operator new in all its forms, containers, threads and a great many exceptions.
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "truth.h"

static struct truth truth;

struct alignas(128) Wide {
    char bytes[256];
};

struct Named {
    explicit Named(bool fail) : text(100, 'x')
    {
        if (fail)
            throw std::runtime_error("no");
    }
    std::string text;
};

// A compiler may leave out an allocation that nobody looks at.
template <class T> static T *seen(T *block)
{
    asm volatile("" : "+r"(block) : : "memory");
    CHECK(block);
    return block;
}

static void forms(long n)
{
    for (long i = 0; i < n; i++) {
        delete seen(new long(i));
        truth_alloc(&truth.malloc, sizeof(long));
        delete[] seen(new char[77]);
        truth_alloc(&truth.malloc, 77);
        delete seen(new (std::nothrow) int(3));
        truth_alloc(&truth.malloc, sizeof(int));
        delete seen(new Wide); // aligned
        truth_alloc(&truth.malloc, sizeof(Wide));
        truth.malloc.frees += 4;
        truth.malloc.live_blocks -= 4;
        truth.malloc.live_bytes -= sizeof(long) + 77 + sizeof(int) + sizeof(Wide);
    }
}

static void failing(long n)
{
    volatile std::size_t huge = std::size_t(1) << 62;
    for (long i = 0; i < n; i++) {
        bool caught = false;
        try {
            char *volatile block = new char[huge];
            delete[] block;
        } catch (const std::bad_alloc &) {
            caught = true;
        }
        CHECK(caught);
        CHECK(!new (std::nothrow) char[huge]);
    }
}

// The frames that an exception crosses own memory, which unwinding frees.
__attribute__((noinline)) static long deep(int depth, long i)
{
    std::string owned(40, char('a' + depth));
    if (!depth)
        throw i;
    return deep(depth - 1, i) + long(owned.size());
}

static void throws(long n)
{
    long sum = 0;
    for (long i = 0; i < n; i++) {
        try {
            sum += deep(3, i);
        } catch (long thrown) {
            CHECK(thrown == i);
            sum++;
        }
    }
    CHECK(sum == n);
    print_line("{\"caught\": %ld}", sum);
}

static void constructors(long n) // a constructor that throws gives its memory back
{
    long failed = 0;
    for (long i = 0; i < n; i++) {
        try {
            std::unique_ptr<Named> one(new Named(i % 2));
        } catch (const std::runtime_error &) {
            failed++;
        }
    }
    CHECK(failed == n / 2);
}

static void crowd(long n)
{
    std::vector<std::thread> threads;
    std::vector<std::size_t> sizes(4);
    for (std::size_t which = 0; which < sizes.size(); which++)
        threads.emplace_back([n, which, &sizes] {
            std::map<std::string, std::vector<std::string>> index;
            unsigned seed = unsigned(which) + 1;
            for (long i = 0; i < n; i++) {
                seed = seed * 1103515245 + 12345;
                auto &list = index["a key that is too long for the string itself " + std::to_string(seed % 500)];
                list.push_back(std::to_string(seed) + " and some more text behind it");
                if (list.size() > 8)
                    list.clear();
            }
            sizes[which] = index.size();
        });
    for (auto &thread : threads)
        thread.join();
    print_line("{\"sizes\": [%zu, %zu, %zu, %zu]}", sizes[0], sizes[1], sizes[2], sizes[3]);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    const std::string mode = argv[1];
    const long n = std::atol(argv[2]);
    if (mode == "forms")
        forms(n);
    else if (mode == "failing")
        failing(n);
    else if (mode == "throws")
        throws(n);
    else if (mode == "constructors")
        constructors(n);
    else if (mode == "crowd")
        crowd(n);
    else
        CHECK(!"a known mode");
    if (mode == "forms")
        truth_print(&truth);
    return 0;
}
