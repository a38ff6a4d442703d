/*
 * unwind_speed.c - what a native stack costs: heapsake's unwinder beside libunwind's unw_backtrace.
 *
 * For stacks of several depths and for what usually changes from one allocation to the next: nothing, or the innermost
 * frames. "node" is what a hook does; "walk" is without the remembered stack, so every frame is unwound by
 * its rule and given as a pc, which is what unw_backtrace does. Prints nanoseconds per stack and per frame, the least
 * of several rounds.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "unwind.h"
#include "unwind_fakes.h"
#include "unwind_shapes.h"

#define NOINLINE __attribute__((noinline, noclone))
#define ROUNDS 7
#define CALLS 20000

enum way { WAY_NOTHING, WAY_NODE, WAY_WALK, WAY_LIBUNWIND };

static enum way way;
static struct thread *self;
static size_t frames;
static volatile uint32_t sink;

static NOINLINE void leaf(void)
{
    void *theirs[UNWIND_MAX_FRAMES];
    bool truncated;
    switch (way) {
    case WAY_NODE:
        sink += unwind_node(self, __builtin_frame_address(0));
        break;
    case WAY_WALK:
        memset(self->native.stack, 0, 3 * sizeof(uint32_t)); /* depth, joinable, noded */
        sink +=
            (uint32_t)unwind_pcs(self, __builtin_frame_address(0), (uint64_t *)theirs, UNWIND_MAX_FRAMES, &truncated);
        break;
    case WAY_LIBUNWIND:
        sink += (uint32_t)unw_backtrace(theirs, UNWIND_MAX_FRAMES);
        break;
    default:
        break;
    }
}

static NOINLINE void count_frames(void)
{
    uint64_t pcs[UNWIND_MAX_FRAMES];
    bool truncated;
    frames = unwind_pcs(self, __builtin_frame_address(0), pcs, UNWIND_MAX_FRAMES, &truncated);
}

/* What is called below the common part of the stack, by number of the call. */
static void (*inner)(unsigned turn, void (*callback)(void));

static void inner_same(unsigned turn, void (*callback)(void))
{
    (void)turn;
    callback();
    sink++;
}

static void inner_few(unsigned turn, void (*callback)(void))
{
    switch (turn % 3) {
    case 0:
        shapes_O2.many_registers(turn % 2, callback);
        break;
    case 1:
        shapes_O2.recursion(turn % 4, callback);
        break;
    default:
        shapes_Os.many_registers(1, callback);
        break;
    }
    sink++;
}

static double best;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static NOINLINE void run(void)
{
    best = 1e18;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begin = now();
        for (unsigned turn = 0; turn < CALLS; turn++)
            inner(turn, leaf);
        double each = (double)(now() - begin) / CALLS;
        if (each < best)
            best = each;
    }
    inner(4, count_frames);
}

/* The common part: `depth` frames. */
static unsigned common_depth;
static void common(void)
{
    shapes_O2.many_registers(common_depth, run);
}

static double measure(enum way which)
{
    way = which;
    common();
    return best;
}

static void line(const char *name, unsigned depth, void (*which)(unsigned, void (*)(void)))
{
    inner = which;
    common_depth = depth;
    double base = measure(WAY_NOTHING);
    double node = measure(WAY_NODE) - base, walk = measure(WAY_WALK) - base, theirs = measure(WAY_LIBUNWIND) - base;
    printf("%-22s %6zu | %8.1f %6.2f | %8.1f %6.2f | %9.1f %7.2f | %6.1f\n", name, frames, node, node / (double)frames,
           walk, walk / (double)frames, theirs, theirs / (double)frames, theirs / node);
}

int main(void)
{
    self = fake_self();
    printf("%-22s %6s | %8s %6s | %8s %6s | %9s %7s | %6s\n", "", "", "node", "", "walk", "", "libunwind", "", "times");
    printf("%-22s %6s | %8s %6s | %8s %6s | %9s %7s | %6s\n", "what changes", "frames", "ns", "/frame", "ns", "/frame",
           "ns", "/frame", "less");
    static const unsigned depths[] = {1, 5, 12, 40, 120, 400};
    for (unsigned i = 0; i < sizeof depths / sizeof depths[0]; i++)
        line("nothing", depths[i], inner_same);
    for (unsigned i = 0; i < sizeof depths / sizeof depths[0]; i++)
        line("the innermost frames", depths[i], inner_few);
    return 0;
}
