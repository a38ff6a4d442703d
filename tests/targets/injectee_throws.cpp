/*
 * injectee_throws.cpp - throws and catches all the time while functions are called inside it.
 *
 * usage: injectee_throws MILLISECONDS. Prints its pid, and at its end how often it has thrown.
 */
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "truth.h"

struct counted {
    static int alive;
    counted() { alive++; }
    ~counted() { alive--; }
};
int counted::alive = 0;

__attribute__((noinline)) static int deep(int depth, const std::string &word)
{
    counted here;
    if (depth == 0)
        throw std::runtime_error(word + " thrown");
    return deep(depth - 1, word) + 1;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    print_line("%d", (int)getpid());
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(atoi(argv[1]));
    long rounds = 0;
    while (std::chrono::steady_clock::now() < until) {
        try {
            deep(10, "a word that is long enough to be allocated");
            CHECK(!"thrown");
        } catch (const std::runtime_error &error) {
            CHECK(counted::alive == 0);
            CHECK(std::string(error.what()) == "a word that is long enough to be allocated thrown");
        }
        rounds++;
    }
    print_line("{\"rounds\": %ld}", rounds);
    return 0;
}
