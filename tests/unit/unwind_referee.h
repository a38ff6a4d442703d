/*
 * unwind_referee.h - native stacks as the unwinder (preload/unwind.c) and as libunwind sees them: for the unwinder's
 * tests. Each runs shapes that call compare() back, and ends with report().
 */
#ifndef HEAPSAKE_TESTS_UNWIND_REFEREE_H
#define HEAPSAKE_TESTS_UNWIND_REFEREE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "unwind_shapes.h"

#define NOINLINE __attribute__((noinline, noclone))
#define MANY 4096 /* frames */

extern const struct shapes *const all_shapes[4];

/* Of a group of tests: this thread is known to the library's fakes, and libunwind is warm. */
int referee_setup(void **state);

/* A shape's callback: the stack from its caller on, in every way that there is to unwind it. */
void compare(void);
extern _Atomic uint64_t compared; /* how often, in all threads */
/* Set: the stacks of this thread are to be truncated, where libunwind's end too. */
extern __thread bool expect_truncated;

/* Another difference, found in another way: of `count` addresses and `their_count` that they should be. */
void note_wrong(const char *what, const uint64_t *ours, size_t count, void *const *theirs, size_t their_count);

/* Fails the test when anything was wrong in this thread since the last time. */
void report(void);

/* compare() in functions of all shapes, by chance. */
void run_mixed(unsigned from, unsigned count);
/* ... in several threads at once; fails the test as report() does. */
void compare_in_threads(unsigned rounds);

/* dlopen() of the shapes in C++, a library beside the test; NULL: it is not there. They are called shapes_cpp. */
void *open_cpp_shapes(void);

#endif
