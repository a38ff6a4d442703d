/*
 * limits.h - what a trace is checked against: one rule and its number each.
 *
 * A limit is given on the command line ("--max-peak", "20 MB") or as a line of a file ("max-peak 20 MB"); both are read
 * here, so that they mean the same. Sizes: 20 MB are 20,000,000 bytes, 20 MiB and 20M are 20 * 1024 * 1024.
 *
 * Limits hold for the whole run, or for one region of it (model/regions.h), whose name stands before the last colon: of
 * the value on the command line (--max-peak "parse:20 MB", --no-leaks=parse:lost), of the limit in a file
 * ("parse:max-peak 20 MB"). They hold for each occurrence of the region by itself; leaks are those born in any of them.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_LIMITS_H
#define HEAPSAKE_MODEL_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "model/leak_causes.h"
#include "model/mark_growth.h"

/* In the order in which they are reported. */
enum limit_rule {
    LIMIT_MAX_PEAK = 0,
    LIMIT_MAX_LIVE,        /* when the program is done                                          */
    LIMIT_MAX_LEAKED,      /* bytes of all leaks                                                 */
    LIMIT_MAX_ALLOCATIONS, /* of the whole process                                               */
    LIMIT_NO_LEAKS,        /* of some causes, or of any                                          */
    LIMIT_NO_NEW_LEAKS,    /* that a baseline does not have                                      */
    LIMIT_TOLERANCE,       /* totals and known leaks may be so much more than in a baseline      */
    LIMIT_MAX_GROWTH_PER,  /* occurrence of a mark, or of a region: so much more stays          */
    LIMIT_RULES
};

/* "max-peak" ... */
extern const char *const limit_rule_names[LIMIT_RULES];

#define LIMIT_ALL_CAUSES (((1u << LEAK_CAUSES) - 1) & ~(1u << LEAK_UNKNOWN))

struct limit {
    enum limit_rule rule;
    char *region;              /* its name, of MAX_GROWTH_PER that of the mark; NULL: of the whole run */
    size_t place;              /* limits with the same `region` have the same: by the first of them */
    uint64_t most;             /* MAX_*: what is still allowed                */
    double percent;            /* TOLERANCE                                   */
    enum mark_measure measure; /* MAX_GROWTH_PER: what `most` counts */
    unsigned causes;           /* NO_LEAKS: bit set 1 << enum leak_cause       */
    char *text;                /* the number as it was given, "20 MB"         */
    char *origin;              /* where it was given: "--max-peak", "FILE:3"   */
};

struct limits {
    struct limit *list;
    size_t count, capacity;
};
#define LIMITS_INIT ((struct limits){0})

/*
 * Adds one, whose `value` is as on the command line; "" or NULL for a rule without one. -EINVAL and one line that
 * begins with `origin` when it is not a limit or contradicts one that is there; -ENOMEM.
 */
int limits_add(struct limits *limits, enum limit_rule rule, const char *value, const char *origin, struct error *error);
/* The same of a region, and of its value alone. */
int limits_add_to_region(struct limits *limits, const char *region, enum limit_rule rule, const char *value,
                         const char *origin, struct error *error);

/* Adds what is in a file, a limit a line. Errors as above, and other negative errno values when it cannot be read. */
int limits_load(struct limits *limits, const char *path, struct error *error);
/* The same for text in memory; `name` is for messages. */
int limits_parse(struct limits *limits, const char *text, size_t length, const char *name, struct error *error);

/*
 * When all are there: do they go together, and with a baseline or without one? A baseline of which no limit speaks
 * means no-new-leaks. Sorts them: those of the whole run by rule, then region by region. -EINVAL, -ENOMEM.
 */
int limits_settle(struct limits *limits, bool has_baseline, struct error *error);

/* The limit of that rule for the whole run, NULL when there is none. */
const struct limit *limits_find(const struct limits *limits, enum limit_rule rule);

/* Does one of them need the leaks of the whole run to be known? */
bool limits_ask_for_leaks(const struct limits *limits);
/* Is one of them of the whole run? Growth is not: marks that were passed are. */
bool limits_ask_for_run(const struct limits *limits);
/* Is one of them of a region, or of marks? */
bool limits_ask_for_regions(const struct limits *limits);
/* Of a region: does this one need its leaks? */
bool limit_is_of_leaks(const struct limit *limit);

void limits_free(struct limits *limits);

/* "20 MB", "1.5MiB", "64M", "0" to bytes; false: it is not a size. */
bool limits_size(const char *text, uint64_t *bytes);

#endif
