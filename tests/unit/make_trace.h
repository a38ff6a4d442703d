/*
 * make_trace.h - traces without a recorder, and what is true of them.
 *
 * made_trace_synthetic() plays a program with a seed: threads, several domains, Python
 * and native stacks, reallocs, temporary allocations, arenas, blocks from before the
 * trace. The truth is counted beside the encoder with plain arrays, by other code than the analyzer's.
 */
#ifndef HEAPSAKE_TESTS_UNIT_MAKE_TRACE_H
#define HEAPSAKE_TESTS_UNIT_MAKE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heapsake/trace_format.h"

struct made_trace_plan {
    uint64_t events; /* allocations and frees, about           */
    uint64_t seed;
    uint32_t threads;   /* at least 1                             */
    uint32_t nodes;     /* stack nodes, at least 8                */
    uint32_t inherited; /* blocks of a parent                     */
    uint32_t flush_ops; /* begin a chunk after so many events; 0: when full */
    uint64_t event_ns;  /* time between events                    */
    bool finalize;      /* a mark at nine tenths                  */
    bool no_end;        /* as if the recorder had been killed     */
    bool objects;       /* births and deaths of Python objects    */
    bool marks;         /* marks and regions                      */
};

/* Types are numbered from 1; two have the same name, and the last one is never described. */
#define MADE_TYPES 6u
extern const char *const made_type_names[MADE_TYPES + 1];

/* Names of marks and regions are numbered from 1; two are equal, and truth is told by the first of them. */
#define MADE_NAMES 5u
extern const char *const made_mark_names[MADE_NAMES + 1];

struct made_trace_truth {
    uint64_t allocations, frees, unknown_frees, temporary;
    uint64_t allocated_bytes;
    uint64_t peak_bytes, peak_event, peak_time_ns;
    uint64_t live_bytes, live_blocks; /* at the mark, else at the last event */
    uint64_t half_ns, half_bytes;     /* what was alive at that time        */
    uint64_t domain_allocations[HSK_DOMAINS], domain_frees[HSK_DOMAINS];
    uint64_t inherited_live_blocks;
    uint64_t created[MADE_TYPES + 1], died[MADE_TYPES + 1]; /* by type, up to the mark   */
    uint64_t births;                                        /* all, and moved objects that were told again */
    uint64_t marked[MADE_NAMES + 1];                        /* by name: NAMED marks  */
    struct made_region_truth {
        uint64_t occurrences, open;            /* open: never ended                           */
        uint64_t allocations, allocated_bytes; /* born in them; without ARENA        */
    } regions[MADE_NAMES + 1];
    uint64_t bytes; /* of the file */
    uint64_t event_chunks;
};

/* Writes the trace over whatever is at `path`. 0 or a negative errno, which is printed. */
int made_trace_synthetic(const char *path, const struct made_trace_plan *plan, struct made_trace_truth *truth);

/* A whole file in memory (malloc), for tests that damage it. */
uint8_t *made_trace_slurp(const char *path, size_t *length);

#endif
