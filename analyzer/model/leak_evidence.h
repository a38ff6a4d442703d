/*
 * leak_evidence.h - what the causes are told from: a snapshot, the blocks that lived then, and what follows from both.
 *
 * Arrays by node of the graph; nothing here decides. Start-up is told from stacks: what was allocated while Python
 * imported a module, or before it ran any function, belongs to the program's making and not to its work.
 */
#ifndef HEAPSAKE_MODEL_LEAK_EVIDENCE_H
#define HEAPSAKE_MODEL_LEAK_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/earlier.h"
#include "model/lifetimes.h"
#include "model/object_lives.h"
#include "model/reach.h"
#include "model/ref_graph.h"
#include "model/regions.h"
#include "model/site_history.h"
#include "model/stacks.h"

enum evidence_mark {
    EVIDENCE_STARTUP = 1,   /* born by import or before any function ran                                  */
    EVIDENCE_EXPLAINED = 2, /* part of a leak already, or hanging on one                                  */
    EVIDENCE_OF_OBJECT = 4, /* BLOCK: a Python object, alive or garbage, points to it or to what points to it  */
    EVIDENCE_NAMESPACE = 8, /* a module, a type, the dict of one of them, sys.modules                          */
    /* words that look like a reference to it, which its counted edges do not tell of: */
    EVIDENCE_POINTED_MEMORY = 16, /* in an object or a block                                              */
    EVIDENCE_POINTED_DATA = 32,   /* in a module's data, thread-local storage, or a running frame uses it      */
    EVIDENCE_POINTED_STACK = 64,  /* on a thread's stack, where words stay behind                             */
    EVIDENCE_TAKEN = 128,         /* for finders: in the group that is being made                             */
};

/* Types that mean something, by name. */
enum type_kind {
    TYPE_OTHER = 0,
    TYPE_ATOMIC, /* str, bytes, int, float, complex, bool, NoneType: values without references of their own */
    TYPE_MODULE,
    TYPE_GENERATOR, /* and coroutines that are none of asyncio's */
    TYPE_COROUTINE,
    TYPE_TRACEBACK,
    TYPE_FRAME,
    TYPE_FUNCTION,
    TYPE_CELL,
    TYPE_LRU_CACHE,
    TYPE_LRU_LINK, /* of one with a maxsize: an entry's place in the order of their use */
    TYPE_THREAD_LOCAL,
    TYPE_CODE,
    TYPE_FIXED,   /* tuple, frozenset: cannot grow */
    TYPE_WEAKREF, /* follows what it refers to */
    TYPE_OWN,     /* a class of Python code, as far as its module's name tells */
};

/* What a stack says, as bits. */
enum stack_sign {
    STACK_IMPORTS = 1, /* a frame of the import system is on it */
    STACK_PYTHON = 2,  /* a Python frame is on it                */
    STACK_THREAD = 4,  /* the innermost frame that is not libc's or so starts a thread: glibc's own blocks for it */
};

struct evidence {
    /* given */
    const struct ref_graph *graph;
    const struct reach *reach;
    const struct snapshot_info *snapshot;
    const struct lifetimes *lifetimes;  /* at the snapshot's event, with addresses */
    const struct object_lives *objects; /* NULL: the trace does not tell births of objects */
    struct stacks *stacks;
    const struct site_history *history; /* up to the snapshot, finished */
    bool python;                        /* the program runs a Python      */
    unsigned python_minor;              /* 12 for 3.12; 0: not known      */
    struct components components;
    struct dominators dominators;
    const uint64_t *own;           /* bytes */
    const struct regions *regions; /* NULL, or those that are asked for are looked at by themselves */
    const struct earlier *earlier; /* of a process that was attached to; NULL: the trace has it from its start */

    /* made by evidence_prepare() */
    uint32_t *stack;        /* of the object's birth, else of the block's allocation; 0: none */
    uint8_t *marks;         /* enum evidence_mark                                       */
    uint8_t *stack_signs;   /* by stack: enum stack_sign                                */
    uint8_t *type_kinds;    /* by type: enum type_kind                                  */
    uint64_t begin_ordinal; /* of the oldest live block that the program's own code allocated */
    uint64_t end_ordinal;
    uint64_t live_bytes;
    unsigned threads;   /* whose stacks were scanned                                */
    bool collector_off; /* the walk has said so: a root "gc.disabled"                 */
    uint32_t *queue;    /* scratch: room for all nodes */
    /* private to evidence_is_explained() */
    uint32_t *asked; /* by node: the round in which it was answered, times two, plus the answer */
    uint32_t round;  /* begins anew when something was explained after a question               */
    bool round_used;
};

/* 0 or -ENOMEM. Releases what it made when it fails. */
int evidence_prepare(struct evidence *evidence, struct error *error);
void evidence_free(struct evidence *evidence);

HS_ALWAYS_INLINE bool evidence_has(const struct evidence *evidence, uint32_t node, unsigned marks)
{
    return evidence->marks[node] & marks;
}

/*
 * When the node was born: an object in the block of a dead one by its own birth, where that is told; else with its
 * block. 0 when it has none. By the number of allocations, a clock that does not stand still: REF_NO_ORDINAL when it
 * has none.
 */
uint64_t evidence_birth_ns(const struct evidence *evidence, uint32_t node);
uint64_t evidence_birth_ordinal(const struct evidence *evidence, uint32_t node);
/* The node of the stack, as stacks.h and site_history.h count them, on which it was born. */
uint32_t evidence_birth_node(const struct evidence *evidence, uint32_t node, const struct life_block *block);

static inline bool evidence_is_object(const struct evidence *evidence, uint32_t node)
{
    return ref_kind(&evidence->graph->nodes[node]) == REF_OBJECT;
}

/* TYPE_OTHER for what is no object. */
static inline enum type_kind evidence_type_kind(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    return ref_kind(n) == REF_OBJECT && n->type < evidence->graph->type_count
               ? (enum type_kind)evidence->type_kinds[n->type]
               : TYPE_OTHER;
}

static inline bool evidence_reachable(const struct evidence *evidence, uint32_t node)
{
    /* of a block, inner pointers are not enough */
    return evidence_is_object(evidence, node) ? reach_alive(evidence->reach, node)
                                              : evidence->reach->class[node] == REACH_REACHABLE;
}

/* Has it a birth that counts: allocated by the program's own code, and known? */
static inline bool evidence_is_born(const struct evidence *evidence, uint32_t node)
{
    const struct ref_node *n = &evidence->graph->nodes[node];
    return (ref_kind(n) == REF_OBJECT || ref_kind(n) == REF_BLOCK) && ref_ordinal(n) != REF_NO_ORDINAL &&
           !evidence_has(evidence, node, EVIDENCE_STARTUP);
}

/*
 * The frame to suspect for objects of this stack: the innermost native one that is neither the interpreter nor libc,
 * else the innermost Python one; a stack, 0: none. *native says which.
 */
uint32_t evidence_culprit(const struct evidence *evidence, uint32_t stack, bool *native);

/* Is it, or what dominates it, part of a leak already? However often it is asked, the way up is walked once. */
bool evidence_is_explained(struct evidence *evidence, uint32_t node);
/* Marks it as EXPLAINED. */
void evidence_mark_explained(struct evidence *evidence, uint32_t node);

/*
 * Marks everything that hangs on `node` and is not reachable otherwise as EXPLAINED, `node` with it. Returns the bytes
 * of what it marked; of a reachable node, which stays alone, its retained size.
 */
uint64_t evidence_explain(struct evidence *evidence, uint32_t node);

/*
 * What people recognize below an object that only wraps it (a method, a closure, a generator, an exception, a future):
 * the first object of a class of Python code that hangs on it alone. The node itself when there is none.
 */
uint32_t evidence_payload(const struct evidence *evidence, uint32_t node);

/* Where most of `count` nodes were allocated, a stack. */
uint32_t evidence_main_stack(const struct evidence *evidence, const uint32_t *nodes, size_t count);

#endif
