/* noise.c - noise N: N allocations of random sizes and lifetimes from many places; hard to compress. Prints its truth. */
#include "truth.h"

enum { LIVE = 5000 };

static struct truth truth;
static void *blocks[LIVE];
static size_t sizes[LIVE];
static unsigned state = 12345;

static unsigned next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static void *here(size_t size) { return malloc(size); }
static void *there(size_t size) { return calloc(1, size); }
static void *deeper(unsigned depth, size_t size)
{
    void *volatile block = depth ? deeper(depth - 1, size) : next() & 1 ? here(size) : there(size);
    return block;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    long n = atol(argv[1]);
    alarm(300);
    for (long i = 0; i < n; i++) {
        unsigned slot = next() % LIVE;
        if (blocks[slot]) {
            truth_free(&truth.malloc, sizes[slot]);
            free(blocks[slot]);
        }
        sizes[slot] = 1 + next() % 3000;
        blocks[slot] = deeper(next() % 8, sizes[slot]);
        CHECK(blocks[slot]);
        truth_alloc(&truth.malloc, sizes[slot]);
    }
    truth_print(&truth);
    return 0;
}
