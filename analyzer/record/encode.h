/*
 * encode.h - events of one session become the columns of an EVENTS chunk.
 *
 * The recorder calls one function per event, in the order in which the events
 * happened, and encoder_flush() whenever encoder_full() says so and at least
 * every 250 ms. The columns have room for ENCODER_OPS ops of any value and
 * ENCODER_SLACK more, so that nothing is checked per event: look at encoder_full()
 * at least once in ENCODER_SLACK calls.
 *
 * Preconditions of the values (the recorder checks what it reads from a program):
 * address < 2^62, node <= HSK_MAX_NODE, domain < HSK_DOMAINS, ended ordinals
 * were given out by encoder_alloc() or are below `first_ordinal`.
 * Not thread-safe; an encoder belongs to one session.
 */
#ifndef HEAPSAKE_RECORD_ENCODE_H
#define HEAPSAKE_RECORD_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "heapsake/trace_format.h"
#include "internal/compiler.h"

#define ENCODER_OPS 131072u
#define ENCODER_SLACK 1024u

struct trace_writer;

struct encoder {
    uint8_t *end[HSK_COLUMNS]; /* where the next byte of each column goes */
    uint64_t next_ordinal;     /* of the next allocation                  */
    uint64_t last_ended;       /* predictors, anew in each chunk          */
    uint64_t last_object;
    uint64_t last_counted;
    uint32_t last_node;
    uint32_t thread;  /* that the ops belong to now              */
    uint64_t time_ns; /* of the ops now                          */
    uint32_t op_count;
    uint32_t event_count;   /* allocations and frees in this chunk     */
    uint64_t first_ordinal; /* what this chunk began with              */
    uint64_t first_time_ns;
    uint32_t first_thread;
    uint64_t last_address[HSK_SIZE_CLASSES];
    uint8_t *begin[HSK_COLUMNS];
    void *memory;
    /* over the whole session */
    uint64_t allocations, frees; /* FREE_UNKNOWN counts as a free */
    uint64_t objects;            /* births                        */
};

/* Ordinals begin with `first_ordinal` (the number of inherited blocks), time with `time_ns`. 0 or -ENOMEM. */
int encoder_init(struct encoder *e, uint64_t first_ordinal, uint64_t time_ns);
void encoder_destroy(struct encoder *e);

/*
 * Writes one EVENTS chunk unless there are no ops, and begins the next one, also when writing failed (those events
 * are lost to the file; their ordinals stay used up). 0 or a negative errno.
 */
int encoder_flush(struct encoder *e, struct trace_writer *writer, struct error *error);

static inline bool encoder_full(const struct encoder *e)
{
    return e->op_count >= ENCODER_OPS;
}
static inline bool encoder_empty(const struct encoder *e)
{
    return e->op_count == 0;
}

HS_ALWAYS_INLINE void encoder_op(struct encoder *e, unsigned op)
{
    *e->end[HSK_COLUMN_OPS]++ = (uint8_t)op;
    e->op_count++;
}

HS_ALWAYS_INLINE void encoder_put(struct encoder *e, enum hsk_column column, uint64_t value)
{
    e->end[column] = varint_put(e->end[column], value);
}

/* An allocation; is_realloc: the block replaces the one that this thread's last encoder_free() ended. Its ordinal. */
HS_ALWAYS_INLINE uint64_t encoder_alloc(struct encoder *e, uint64_t address, uint64_t size, uint32_t node,
                                        unsigned domain, bool is_realloc)
{
    encoder_op(e, HSK_OP_ALLOC | domain << 3 | (is_realloc ? HSK_OP_REALLOC : 0));
    unsigned size_class = hsk_size_class(domain, size);
    int64_t delta = (int64_t)(address - e->last_address[size_class]);
    e->last_address[size_class] = address;
    encoder_put(e, HSK_COLUMN_ADDRESS, (delta & 15) == 0 ? zigzag(delta / 16) * 2 : zigzag(delta) * 2 + 1);
    encoder_put(e, HSK_COLUMN_NODE, zigzag((int64_t)node - (int64_t)e->last_node));
    e->last_node = node;
    encoder_put(e, HSK_COLUMN_SIZE, size);
    e->event_count++;
    e->allocations++;
    return e->next_ordinal++;
}

/* The end of the block with this ordinal; is_realloc: the thread's next allocation replaces it. */
HS_ALWAYS_INLINE void encoder_free(struct encoder *e, uint64_t ordinal, bool is_realloc)
{
    encoder_op(e, HSK_OP_FREE | (is_realloc ? HSK_OP_REALLOC : 0));
    encoder_put(e, HSK_COLUMN_ENDED, zigzag((int64_t)(ordinal - e->last_ended)));
    e->last_ended = ordinal;
    e->event_count++;
    e->frees++;
}

/* A free of a block whose allocation nobody saw. */
HS_ALWAYS_INLINE void encoder_free_unknown(struct encoder *e, uint64_t address, unsigned domain)
{
    encoder_op(e, HSK_OP_FREE_UNKNOWN | domain << 3);
    encoder_put(e, HSK_COLUMN_EXTRA, address);
    e->event_count++;
    e->frees++;
}

HS_ALWAYS_INLINE void encoder_object_block(struct encoder *e, uint64_t ordinal)
{
    encoder_put(e, HSK_COLUMN_BLOCK, zigzag((int64_t)(ordinal - e->last_object)));
    e->last_object = ordinal;
}

/* A Python object was born in the block with this ordinal; `same_stack`: on the block's own, else on `node`. */
HS_ALWAYS_INLINE void encoder_object(struct encoder *e, uint64_t ordinal, uint32_t type, uint32_t node, bool same_stack)
{
    bool last_block = ordinal + 1 == e->next_ordinal;
    encoder_op(e, HSK_OP_OBJECT | (same_stack ? HSK_OP_SAME_STACK : 0) | (last_block ? HSK_OP_LAST_BLOCK : 0));
    encoder_put(e, HSK_COLUMN_TYPE, type);
    if (HS_UNLIKELY(!last_block))
        encoder_object_block(e, ordinal);
    if (HS_UNLIKELY(!same_stack)) {
        encoder_put(e, HSK_COLUMN_NODE, zigzag((int64_t)node - (int64_t)e->last_node));
        e->last_node = node;
    }
    e->objects++;
}

/* The object in the block with this ordinal died, and the block stays. */
HS_ALWAYS_INLINE void encoder_object_end(struct encoder *e, uint64_t ordinal)
{
    encoder_op(e, HSK_OP_OBJECT_END);
    encoder_object_block(e, ordinal);
}

HS_ALWAYS_INLINE void encoder_count_op(struct encoder *e, unsigned flags, uint64_t counted, uint64_t count, bool down,
                                       uint32_t node)
{
    encoder_op(e, HSK_OP_CODE(HSK_OP_COUNT) | flags);
    encoder_put(e, HSK_COLUMN_COUNTED, counted);
    encoder_put(e, HSK_COLUMN_COUNT, count << 1 | down);
    encoder_put(e, HSK_COLUMN_NODE, zigzag((int64_t)node - (int64_t)e->last_node));
    e->last_node = node;
}

/* A watch sees a count, of which 63 bits are kept. */
static inline void encoder_watch(struct encoder *e, uint32_t watch, uint64_t count, uint32_t node)
{
    encoder_count_op(e, HSK_COUNT_WATCH << 3, watch, count, false, node);
}

/* The count of the object in the block with this ordinal was changed; `count` is what it is now, less than 2^63. */
static inline void encoder_count(struct encoder *e, unsigned source, uint64_t ordinal, uint64_t count, bool down,
                                 uint32_t node)
{
    encoder_count_op(e, source << 3, zigzag((int64_t)(ordinal - e->last_counted)), count, down, node);
    e->last_counted = ordinal;
}

/* ... of an object in no block that was seen. */
static inline void encoder_count_loose(struct encoder *e, unsigned source, uint64_t address, uint64_t count, bool down,
                                       uint32_t type, uint32_t node)
{
    encoder_count_op(e, source << 3 | HSK_OP_LOOSE, address, count, down, node);
    encoder_put(e, HSK_COLUMN_TYPE, type);
}

/* It is clock_ns now (since the start of the session). A clock that stands or goes back is ignored. */
HS_ALWAYS_INLINE void encoder_tick(struct encoder *e, uint64_t clock_ns)
{
    if (clock_ns <= e->time_ns)
        return;
    if (e->op_count == 0) {
        e->first_time_ns = clock_ns;
    } else {
        encoder_op(e, HSK_OP_TICK);
        encoder_put(e, HSK_COLUMN_EXTRA, clock_ns - e->time_ns);
    }
    e->time_ns = clock_ns;
}

/* What follows belongs to the thread with this index. Cheap when it did before. */
HS_ALWAYS_INLINE void encoder_thread(struct encoder *e, uint32_t index)
{
    if (HS_LIKELY(index == e->thread))
        return;
    if (e->op_count == 0) {
        e->first_thread = index;
    } else {
        encoder_op(e, HSK_OP_THREAD);
        encoder_put(e, HSK_COLUMN_EXTRA, index);
    }
    e->thread = index;
}

/* `number`: of the name (NAMED) or of the occurrence (REGION_BEGIN, REGION_END), less than 2^61; else 0. */
HS_ALWAYS_INLINE void encoder_mark(struct encoder *e, enum hsk_mark mark, uint64_t number)
{
    encoder_op(e, HSK_OP_MARK);
    encoder_put(e, HSK_COLUMN_EXTRA, hsk_mark_extra(mark, number));
}

#endif
