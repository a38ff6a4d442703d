/* marks_cxx.cpp - regions as objects: they end with their scope, also by an exception, and may be moved. */
#include <heapsake/heapsake.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>

static void fails()
{
    heapsake::region here("fails");
    std::free(std::malloc(5003));
    throw std::runtime_error("no");
}

int main()
{
    {
        heapsake::region outer("outer");
        try {
            fails();
        } catch (const std::runtime_error &) {
        }
        heapsake::region moved = std::move(outer), all("all", HEAPSAKE_ALL_THREADS);
        heapsake::region other("other");
        other = std::move(all); /* ends what it was */
        std::thread([region = std::move(moved)]() mutable { region.end(); }).join();
        std::free(std::malloc(5005));
    }
    heapsake_mark("done");
    return heapsake_tracing() ? 0 : 1;
}
