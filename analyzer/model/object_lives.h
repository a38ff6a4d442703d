/*
 * object_lives.h - births and deaths of Python objects, while the events of a trace go by.
 *
 * An object lives in a block; it dies with the block's free, when its death is told, or when the next object is born in
 * the block (docs/TRACE_FORMAT.md, "Objects"). Memory follows the live objects and the types, not the events.
 *
 * The median of lifetimes is that of a histogram of powers of two, taken in the midst of its bucket as if lifetimes lay
 * there evenly; the clock of a trace goes on once a millisecond, so that shorter lives are often 0.
 * Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_OBJECT_LIVES_H
#define HEAPSAKE_MODEL_OBJECT_LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/histogram.h"
#include "model/lifetimes.h"
#include "model/site_history.h"
#include "model/type_names.h"
#include "trace/decode.h"

/* A live object. */
struct object_life {
    uint64_t ordinal; /* of its block; OBJECT_LIFE_FREE: a free cell of the table */
    uint64_t birth_ns;
    uint64_t birth_ordinal; /* of the allocation that came next: the clock that does not stand still */
    uint64_t size;          /* of its block                                             */
    uint32_t name;          /* of its type, in struct type_names                        */
    uint32_t node;          /* of its own stack; OBJECT_LIFE_SAME: its block's           */
    uint32_t birth_thread;
    unsigned moved : 1;       /* by a realloc of its block: it may be told to be born again */
    unsigned birth_mark : 31; /* MARK ops before its birth: between which marks it was born */
};
#define OBJECT_LIFE_FREE UINT64_MAX
#define OBJECT_LIFE_SAME UINT32_MAX

struct object_type {
    uint64_t created, died;
    uint64_t live, live_bytes;
    struct histogram lifetimes; /* nanoseconds, of those that died */
};

struct object_lives {
    struct object_type *types; /* by number of the name; 0: the unknown type */
    size_t type_count;
    uint64_t created;             /* of all types                                   */
    uint64_t told;                /* OBJECT ops: births, and objects that were moved  */
    uint64_t lost;                /* OBJECT and OBJECT_END of blocks that do not live */
    struct site_history *history; /* NULL, or given after object_lives_init(): objects with a stack of their own count
                                     there, as blocks do */
    /* private */
    const struct type_names *names;
    struct object_life *table;
    size_t mask, used;
    struct object_life moving; /* between the two halves of a realloc; OBJECT_LIFE_FREE: none */
    uint32_t moving_thread;
    uint32_t mark_count; /* MARK ops */
    bool failed;         /* out of memory */
};

/* `names` stays as long as the lives. 0 or -ENOMEM. */
int object_lives_init(struct object_lives *lives, const struct type_names *names);
void object_lives_free(struct object_lives *lives);

/* Every event, before `lifetimes` gets it. Look at `failed` when all are through. */
void object_lives_event(struct object_lives *lives, const struct lifetimes *lifetimes, const struct event *event);

/* The object in the block of that ordinal, NULL when there is none. Valid until the next event. */
const struct object_life *object_lives_find(const struct object_lives *lives, uint64_t ordinal);

/* A copy of the types as they are now, type_count of them; NULL when memory runs out. The caller frees it. */
struct object_type *object_lives_types(const struct object_lives *lives);

/* Nanoseconds; `type` has died at least once. */
uint64_t object_type_median(const struct object_type *type);

#endif
