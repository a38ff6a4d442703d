/*
 * counts.h - every change of a reference count that a trace tells, object by object.
 *
 * Two kinds of sources: a watch sees every change of one count, whoever made it; the others (enum hsk_count_source)
 * tell what passes them. Of an object that both speak of, the watch is believed and the other is `shadowed`. Changes of
 * the interpreter's teardown are there, but not `kept`: what a program leaves behind is what it had when it was done.
 * Memory grows with the changes. Not thread-safe; read-only once loaded.
 */
#ifndef HEAPSAKE_MODEL_COUNTS_H
#define HEAPSAKE_MODEL_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/map64.h"
#include "model/type_names.h"
#include "trace/trace_reader.h"

struct count_change {
    uint64_t time_ns;
    uint64_t count; /* what it left                                               */
    int32_t delta;  /* clipped                                                    */
    uint32_t node;  /* stack node; 0: unknown                                      */
    uint32_t thread;
    uint8_t source; /* enum hsk_count_source                                      */
    bool birth;     /* not a change: the references that the object was born with   */
};

/* One object, from the first word about its count to the last. */
struct counted {
    uint64_t ordinal; /* of its block; COUNTED_NO_ORDINAL                                 */
    uint64_t address; /* of the count; 0: not known                                       */
    uint64_t begin_ns;
    uint64_t begin_count; /* when it began: references that nobody has seen; 0 behind a birth   */
    uint64_t count;       /* when the program was done, or the last one before             */
    uint32_t type;        /* its name in struct type_names; 0: not known                    */
    uint32_t birth_node;  /* stack node that it was born on; 0: not known                    */
    uint32_t watch;       /* number of its watch; 0: others told                            */
    uint8_t source;       /* enum hsk_count_source                                        */
    uint8_t flags;        /* enum hsk_watch_flag                                          */
    bool shadowed;        /* a watch tells the same, and better                           */
    bool dead;            /* it came to 0, or its block was freed, before the program was done  */
    bool brought_back;    /* by its finalizer, after it had come to 0: for who has a snapshot to set */
    bool continued;       /* ... and a later watch tells of the same object                       */
    size_t first, length; /* its changes                                                 */
    size_t kept;          /* those of them until the program was done                      */
    size_t gone_at;       /* private: number of changes when its block went; SIZE_MAX: not   */
};
#define COUNTED_NO_ORDINAL UINT64_MAX

struct counts {
    struct counted *objects;
    size_t object_count, object_capacity;
    struct count_change *changes; /* object by object, in the order in which they happened */
    size_t change_count, change_capacity;
    struct type_names type_names;
    /* private, while loading */
    uint32_t *object_of; /* of each change */
    struct map64 by_watch, by_ordinal, by_address;
    struct object_lives *lives;
    size_t kept_changes;
    bool failed;
};

/* May the trace have any? Cheap: looks at chunks' headers and the fields of `info`. */
struct trace_info;
bool counts_any(const struct trace_reader *reader, const struct trace_info *info);

/* Reads the whole trace. 0 or -ENOMEM, with nothing to free. Damaged chunks are the reader's to tell. */
int counts_load(struct counts *counts, struct trace_reader *reader, struct error *error);
void counts_free(struct counts *counts);

static inline const struct count_change *counts_of(const struct counts *counts, const struct counted *object)
{
    return &counts->changes[object->first];
}

#endif
