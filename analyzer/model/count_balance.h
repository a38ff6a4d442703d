/*
 * count_balance.h - which increments of a count were never undone, and where they were made.
 *
 * A count does not say which decrement gives back which increment. Here each decrement is paired with the increment
 * before it that it most likely undoes: one made in the same call of the same function; one by the other half of the
 * same kind of container, or of the same extension; the birth, when a frame drops it. The interpreter is
 * trusted to give back what it takes, so what an extension took is paired last. Increments that are left over are
 * the references that still stood when the program was done; summed up over many objects, a site that takes and
 * does not give back stands out. docs/REFCOUNTS.md tells it to people.
 *
 * A site is the innermost frames of a change down to the first one of Python, without the functions that do nothing
 * but count (Py_INCREF and its kin). Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_COUNT_BALANCE_H
#define HEAPSAKE_MODEL_COUNT_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "base/map64.h"
#include "model/counts.h"
#include "model/stacks.h"

struct balance_site {
    uint32_t stack;      /* of one of its changes, without what only counts; 0: not known      */
    bool extension;      /* native code that is neither the interpreter nor libc               */
    uint64_t increments; /* made here                                                        */
    uint64_t decrements; /* increments made here that were undone, wherever that happened        */
    uint64_t unpaired;   /* decrements made here that undid nothing that was seen                 */
    int64_t net;         /* increments - decrements - unpaired                                */
    uint64_t objects;    /* that have an increment of this site left                           */
    uint64_t last;       /* private: number of the last object that has                        */
};

/* An increment that was not undone. */
struct balance_left {
    uint32_t site;   /* index into `sites` until balance_finish()  */
    uint32_t change; /* index into the object's changes           */
    uint32_t before; /* private: the one before it in its group     */
};

struct balance_path;
struct balance_group;
struct balance_judgement;

struct count_balance {
    struct balance_site *sites;
    size_t site_count, site_capacity;
    uint64_t objects; /* that were added */
    /* of the last object that was added: not undone when the program was done, the latest last */
    struct balance_left *left;
    size_t left_count, left_capacity;
    /* private */
    struct stacks *stacks;
    struct balance_path *paths;
    size_t path_count, path_capacity;
    size_t frame_count; /* of all paths */
    struct balance_group *groups;
    size_t group_count, group_capacity;
    uint64_t group_number; /* of the last one that was made */
    struct balance_judgement *judgements;
    struct map64 path_of_node, site_of_key;
    struct intern functions, keys;
    bool failed;
};

void balance_begin(struct count_balance *balance, struct stacks *stacks);
void balance_add(struct count_balance *balance, const struct counts *counts, const struct counted *object);
/* The most net first. False when memory ran out on the way. */
bool balance_finish(struct count_balance *balance);
void balance_free(struct count_balance *balance);

#endif
