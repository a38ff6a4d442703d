/*
 * decode.h - the events of one EVENTS chunk, one after the other.
 *
 * events_begin() checks the whole chunk once (kinds, domains, counts, and that
 * every column holds exactly as many varints as its ops need), so that
 * events_next(), which runs once per event and is inlined into the caller's loop,
 * cannot leave the columns. What it hands out is still someone else's claim:
 * ordinals, nodes and addresses may be any number.
 *
 *     struct events events;
 *     struct event event;
 *     if (events_begin(&events, &place->header, raw, length, &wrong))
 *         while (events_next(&events, &event, false))
 *             ...
 */
#ifndef HEAPSAKE_TRACE_DECODE_H
#define HEAPSAKE_TRACE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "heapsake/trace_format.h"
#include "internal/compiler.h"

struct event {
    enum hsk_op kind;
    unsigned domain;  /* ALLOC, FREE_UNKNOWN                                        */
    bool is_realloc;  /* FREE, ALLOC                                                */
    bool same_stack;  /* OBJECT: born on the stack of its block                      */
    bool loose;       /* COUNT: in no block that was seen: by its address             */
    bool down;        /* COUNT, not of a watch: it was decremented                    */
    unsigned source;  /* COUNT: enum hsk_count_source                                */
    uint32_t watch;   /* COUNT of a watch: its number                                */
    uint64_t count;   /* COUNT: what the change left                                 */
    uint32_t node;    /* ALLOC, COUNT; OBJECT that has a stack of its own, else 0      */
    uint32_t type;    /* OBJECT, loose COUNT: number of the type, 0: unknown          */
    uint64_t ordinal; /* ALLOC: its own; FREE: of the allocation that ended; OBJECT, OBJECT_END, COUNT: of the block */
    uint64_t address; /* FREE_UNKNOWN, loose COUNT; ALLOC when asked for, else 0      */
    uint64_t size;    /* ALLOC: bytes                                               */
    enum hsk_mark mark;   /* MARK: may be a kind that no version has                   */
    uint64_t mark_number; /* MARK: of the name or of the region's occurrence, else 0    */
    uint32_t thread;      /* index of the thread it belongs to                          */
    uint64_t time_ns;     /* since the start of the session                             */
};

struct events {
    const uint8_t *at[HSK_COLUMNS];
    const uint8_t *ops_end;
    uint64_t next_ordinal;
    uint64_t last_ended;
    uint64_t last_object;
    uint64_t last_counted;
    uint64_t time_ns;
    uint32_t thread;
    uint32_t last_node;
    uint64_t last_address[HSK_SIZE_CLASSES];
};

/*
 * `raw` are the chunk's decompressed bytes and stay as long as the events are read. False: the chunk is damaged;
 * *wrong says why.
 */
bool events_begin(struct events *events, const struct hsk_chunk_header *header, const uint8_t *raw, size_t length,
                  const char **wrong);

/* One varint of a checked column. Longer than 64 bits: the rest is dropped. */
HS_ALWAYS_INLINE uint64_t events_take(struct events *events, enum hsk_column column)
{
    const uint8_t *at = events->at[column];
    uint64_t value = *at++;
    if (value >= 0x80) {
        value &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            uint64_t byte = *at++;
            if (shift < 64)
                value |= (byte & 0x7f) << shift;
            if (byte < 0x80)
                break;
        }
    }
    events->at[column] = at;
    return value;
}

/* An OBJECT or OBJECT_END. */
HS_ALWAYS_INLINE void events_take_object(struct events *events, struct event *event, unsigned op)
{
    bool born = event->kind == HSK_OP_OBJECT;
    event->is_realloc = false;
    event->same_stack = born && op & HSK_OP_SAME_STACK;
    event->type = born ? (uint32_t)events_take(events, HSK_COLUMN_TYPE) : 0;
    if (born && op & HSK_OP_LAST_BLOCK) {
        event->ordinal = events->next_ordinal - 1;
    } else {
        events->last_object += (uint64_t)unzigzag(events_take(events, HSK_COLUMN_BLOCK));
        event->ordinal = events->last_object;
    }
    event->node = 0;
    if (born && !event->same_stack) {
        events->last_node += (uint32_t)unzigzag(events_take(events, HSK_COLUMN_NODE));
        event->node = events->last_node;
    }
}

/* A COUNT. */
HS_ALWAYS_INLINE void events_take_count(struct events *events, struct event *event, unsigned op)
{
    event->is_realloc = false;
    event->source = HSK_OP_SOURCE(op);
    event->loose = op & HSK_OP_LOOSE;
    uint64_t counted = events_take(events, HSK_COLUMN_COUNTED);
    event->watch = 0;
    event->ordinal = event->address = 0;
    if (event->source == HSK_COUNT_WATCH)
        event->watch = (uint32_t)counted;
    else if (event->loose)
        event->address = counted;
    else
        event->ordinal = events->last_counted += (uint64_t)unzigzag(counted);
    uint64_t count = events_take(events, HSK_COLUMN_COUNT);
    event->count = count >> 1;
    event->down = count & 1;
    event->type = event->loose ? (uint32_t)events_take(events, HSK_COLUMN_TYPE) : 0;
    events->last_node += (uint32_t)unzigzag(events_take(events, HSK_COLUMN_NODE));
    event->node = events->last_node;
}

/*
 * The next event; false at the end. Without `addresses` (a constant, please) the addresses of allocations are
 * skipped, which is faster. TICK and THREAD are handed out too: they have taken effect already.
 */
HS_ALWAYS_INLINE bool events_next(struct events *events, struct event *event, bool addresses)
{
    if (events->at[HSK_COLUMN_OPS] == events->ops_end)
        return false;
    unsigned op = *events->at[HSK_COLUMN_OPS]++;
    event->kind = (enum hsk_op)HSK_OP_KIND(op);
    event->is_realloc = op & HSK_OP_REALLOC;
    if (event->kind == HSK_OP_FREE) {
        events->last_ended += (uint64_t)unzigzag(events_take(events, HSK_COLUMN_ENDED));
        event->ordinal = events->last_ended;
    } else if (event->kind == HSK_OP_ALLOC) {
        event->domain = HSK_OP_DOMAIN(op);
        event->ordinal = events->next_ordinal++;
        events->last_node += (uint32_t)unzigzag(events_take(events, HSK_COLUMN_NODE));
        event->node = events->last_node;
        event->size = events_take(events, HSK_COLUMN_SIZE);
        if (addresses) {
            uint64_t coded = events_take(events, HSK_COLUMN_ADDRESS);
            int64_t delta = unzigzag(coded >> 1);
            unsigned size_class = hsk_size_class(event->domain, event->size);
            events->last_address[size_class] += coded & 1 ? (uint64_t)delta : (uint64_t)delta * 16;
            event->address = events->last_address[size_class];
        } else {
            event->address = 0;
        }
    } else if (event->kind >= HSK_OP_COUNT) {
        events_take_count(events, event, op);
    } else if (event->kind >= HSK_OP_OBJECT) {
        events_take_object(events, event, op);
    } else {
        uint64_t value = events_take(events, HSK_COLUMN_EXTRA);
        switch (event->kind) {
        case HSK_OP_TICK:
            events->time_ns += value;
            break;
        case HSK_OP_THREAD:
            events->thread = (uint32_t)value;
            break;
        case HSK_OP_FREE_UNKNOWN:
            event->domain = HSK_OP_DOMAIN(op);
            event->address = value;
            break;
        default:
            event->mark = hsk_mark_kind(value);
            event->mark_number = hsk_mark_number(value);
        }
    }
    event->thread = events->thread;
    event->time_ns = events->time_ns;
    return true;
}

#endif
