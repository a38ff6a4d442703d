/*
 * leak_causes.h - why memory stays: a list of leaks, each with a cause, its evidence and how sure it is.
 *
 * Needs a snapshot and what was computed of it (leak_evidence.h). The finders run in this order, and what one has
 * explained the next ones leave alone:
 *
 *   over-referenced  leak_balance.c     objects that nobody can release, and all that hangs on them
 *   cycle            leak_cycles.c      garbage that the collector has not taken
 *   lost             leak_lost.c        native blocks that nothing points to
 *   growing          leak_containers.c  reachable, in what only grows (leak_growth.c tells that)
 *                    leak_spread.c      the same without one container: chains, trees
 *   held             leak_held.c        reachable through something forgotten (leak_paths.c)
 *   fragmentation    leak_fragments.c
 *   growing          leak_repeated.c    what each occurrence of a region leaves behind; only where one is asked for
 *
 * docs/CAUSES.md tells people what each one means. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_LEAK_CAUSES_H
#define HEAPSAKE_MODEL_LEAK_CAUSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "internal/compiler.h"

enum leak_cause {
    LEAK_UNKNOWN = 0,
    LEAK_LOST,
    LEAK_OVER_REFERENCED,
    LEAK_CYCLE,
    LEAK_GROWING,
    LEAK_HELD,
    LEAK_FRAGMENTATION,
    LEAK_CAUSES
};
/* "lost" ...; NULL for LEAK_UNKNOWN. */
extern const char *const leak_cause_names[LEAK_CAUSES];

/* A number or a text of the evidence. */
struct leak_fact {
    const char *key; /* static */
    enum { FACT_COUNT, FACT_NUMBER, FACT_SECONDS, FACT_TEXT } kind;
    uint64_t count; /* COUNT; SECONDS: nanoseconds */
    double number;
    char *text;
};
#define LEAK_FACTS_MAX 16

struct leak {
    enum leak_cause cause;
    unsigned number;         /* from 1, in the order of the list; of_region ones behind all others */
    char *type;              /* NULL: not of one Python type           */
    uint64_t count, bytes;   /* of the objects or blocks themselves     */
    uint64_t retained_bytes; /* what would go with them                 */
    bool has_retained;
    double confidence;
    uint32_t stack;      /* where most of them were allocated; 0: no stack           */
    bool stack_of_block; /* ... or what was in their blocks before: leak_set_stack() */
    uint32_t culprit;    /* a stack whose innermost frame is the suspect; 0: none      */
    char **why;          /* the retaining path: root, then an edge each               */
    size_t why_count;
    struct leak_fact facts[LEAK_FACTS_MAX];
    unsigned fact_count;
    bool watched; /* its objects' counts were recorded: see leak_culprits.h */
    bool missed;  /* ... or of others of its type, and nobody was seen taking what is too many */
    char *explanation;
    const char *advice; /* static; NULL: none. What to look at as long as the culprit is not known */
    unsigned kind;      /* enum suppression_kind */
    uint32_t of_region; /* name of the region that was looked at for it (leak_repeated.c); 0: found without one */
    /* in leaks.members, of which node they are; none: no single ones (fragmentation) */
    size_t first_member, member_count;
};

/* An object or block of a leak, counted in its `bytes`. */
struct leak_member {
    uint32_t node;
    bool begins; /* it is the first of what `count` counts as one: of a cycle, all its objects */
};

/* Blocks that a leak counts in `bytes`, so that what is in no leak can be told. */
struct leak_claim {
    uint32_t stack;
    uint64_t count, bytes;
};

/* What Memcheck calls the classes of native blocks. */
struct leak_class {
    uint64_t blocks, bytes;
};

struct leaks {
    struct leak *list; /* the most confidence times bytes first */
    size_t count, capacity;
    struct leak_claim *claims;
    size_t claim_count, claim_capacity;
    struct leak_member *members;
    size_t member_total, member_capacity;
    struct leak_class definite, indirect, possible, reachable;
    bool failed; /* out of memory */
};
#define LEAKS_INIT ((struct leaks){0})

struct evidence;

/* Fills `leaks`. 0 or -ENOMEM. */
int leaks_find(struct leaks *leaks, struct evidence *evidence, struct error *error);
void leaks_free(struct leaks *leaks);

/* For the finders: a new leak at the end of the list, NULL (and failed) when memory runs out; valid until the next. */
struct leak *leaks_add(struct leaks *leaks, enum leak_cause cause);
void leak_fact_count(struct leak *leak, const char *key, uint64_t value);
void leak_fact_number(struct leak *leak, const char *key, double value);
void leak_fact_seconds(struct leak *leak, const char *key, uint64_t ns);
void leak_fact_text(struct leak *leak, const char *key, const char *text);
void leak_explain(struct leak *leak, const char *format, ...) HS_PRINTF(2, 3);
/* The stack of its objects, of that type (0: blocks). Where an earlier object may have left it, the leak
 * will say so. */
void leak_set_stack(struct leak *leak, const struct evidence *evidence, uint32_t stack, uint32_t type);
void leaks_claim(struct leaks *leaks, uint32_t stack, uint64_t count, uint64_t bytes);
/* One more member of the leak that was added last. */
void leaks_add_member(struct leaks *leaks, uint32_t node, bool begins);

/* The finders. */
int leaks_find_over_referenced(struct leaks *leaks, struct evidence *evidence);
int leaks_find_cycles(struct leaks *leaks, struct evidence *evidence);
int leaks_find_lost(struct leaks *leaks, struct evidence *evidence);
int leaks_find_growing(struct leaks *leaks, struct evidence *evidence);
int leaks_find_spread(struct leaks *leaks, struct evidence *evidence);
int leaks_find_held(struct leaks *leaks, struct evidence *evidence);
int leaks_find_fragments(struct leaks *leaks, struct evidence *evidence);
int leaks_find_repeated(struct leaks *leaks, struct evidence *evidence);

#endif
