/*
 * injectee_throws.cpp - throws and catches all the time while functions are called inside it.
 *
 * usage: injectee_throws. Prints its pid, works until its standard input ends, and prints how often it has thrown.
 */
#include <poll.h>
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

int main()
{
    print_line("%d", (int)getpid());
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    long rounds = 0;
    while (poll(&input, 1, 0) == 0) {
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
