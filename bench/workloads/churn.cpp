/*
 * churn.cpp - strings in vectors in a map, from ten calls deep: a native program that allocates all the time.
 *
 *   churn STEPS THREADS [status]    prints a sum a thread; with `status`, its own memory at the end
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "own_memory.h"

using Table = std::map<std::string, std::vector<std::string>>;

static const int depth = 10;
static const unsigned keys = 20000;
static const size_t values_a_key = 8;

__attribute__((noinline)) static long build(int deeper, unsigned &seed, Table &table)
{
    if (deeper)
        return build(deeper - 1, seed, table) + 1;
    seed = seed * 1103515245 + 12345;
    std::vector<std::string> &values = table["key-with-some-length-" + std::to_string((seed >> 8) % keys)];
    values.push_back("value-value-value-value-" + std::to_string(seed));
    if (values.size() > values_a_key)
        values.clear();
    return 0;
}

static void work(int steps, unsigned seed)
{
    Table table;
    long total = 0;
    for (int i = 0; i < steps; i++)
        total += build(depth, seed, table);
    std::printf("%ld %zu\n", total, table.size());
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    int steps = std::atoi(argv[1]), count = std::atoi(argv[2]);
    std::vector<std::thread> threads;
    for (int i = 0; i < count; i++)
        threads.emplace_back(work, steps / count, i + 1);
    for (std::thread &thread : threads)
        thread.join();
    if (argc > 3 && !std::strcmp(argv[3], "status"))
        print_own_memory();
}
