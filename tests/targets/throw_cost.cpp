// throw_cost.cpp - throw_cost N: throws and catches N times, and says how long one took in CPU time.
#include <ctime>

#include "truth.h"

__attribute__((noinline)) static void thrower(long i) { throw i; }

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const long n = std::atol(argv[1]);
    long caught = 0;
    timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (long i = 0; i < n; i++) {
        try {
            thrower(i);
        } catch (long thrown) {
            caught += thrown == i;
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    const double seconds = double(to.tv_sec - from.tv_sec) + double(to.tv_nsec - from.tv_nsec) / 1e9;
    print_line("{\"caught\": %ld, \"nanoseconds\": %.1f}", caught, seconds / double(n) * 1e9);
}
