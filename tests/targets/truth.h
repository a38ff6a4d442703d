/*
 * truth.h - what a target knows about its own allocations, printed as one JSON object.
 *
 * A target counts what it asked for, per domain. A process allocates for other
 * reasons too (start-up, stdio), so tests compare the difference between two
 * runs of a target with the difference between their truths: that is exact.
 */
#ifndef HEAPSAKE_TESTS_TRUTH_H
#define HEAPSAKE_TESTS_TRUTH_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct domain_truth {
    long long allocations, frees, allocated_bytes, live_blocks, live_bytes;
};

struct truth {
    struct domain_truth malloc, mmap;
};

static inline void truth_alloc(struct domain_truth *domain, size_t bytes)
{
    domain->allocations++;
    domain->allocated_bytes += (long long)bytes;
    domain->live_blocks++;
    domain->live_bytes += (long long)bytes;
}

static inline void truth_free(struct domain_truth *domain, size_t bytes)
{
    domain->frees++;
    domain->live_blocks--;
    domain->live_bytes -= (long long)bytes;
}

/* Writes a line to standard output without stdio, whose buffer would be an allocation. */
static inline void print_line(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof line - 1)
        abort();
    line[length++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)length) != length)
        _exit(99);
}

static inline void truth_print(const struct truth *truth)
{
    const struct domain_truth *m = &truth->malloc, *p = &truth->mmap;
    print_line("{\"malloc\": {\"allocations\": %lld, \"frees\": %lld, \"allocated_bytes\": %lld, \"live_blocks\": %lld, "
               "\"live_bytes\": %lld}, \"mmap\": {\"allocations\": %lld, \"frees\": %lld, \"allocated_bytes\": %lld, "
               "\"live_blocks\": %lld, \"live_bytes\": %lld}}",
               m->allocations, m->frees, m->allocated_bytes, m->live_blocks, m->live_bytes, p->allocations, p->frees,
               p->allocated_bytes, p->live_blocks, p->live_bytes);
}

/* A target of several modes has an array of these. */
struct mode {
    const char *name;
    void (*run)(long n);
};

/* The target's own failure: tests see status 99. */
#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
            _exit(99);                                                                \
        }                                                                             \
    } while (0)

/* Runs the mode that the command line names, NAME N, and prints the truth: what main() returns. */
static inline int truth_of_mode(const struct mode *modes, size_t count, char **argv, const struct truth *truth)
{
    for (size_t i = 0; i < count; i++)
        if (argv[1] && argv[2] && strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run(atol(argv[2]));
            truth_print(truth);
            return 0;
        }
    CHECK(!"an unknown mode");
    return 1;
}

#endif
