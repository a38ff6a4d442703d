/*
 * cycles.h - cycles of Python objects, grouped by what they look like.
 *
 *     Parent.children[] → Child.parent
 *
 * Each component (reach.h) with an object in it is one cycle. Of its edges a shortest way around is shown, from an
 * object of the type that says most (one of the program's own rather than a dict), so that cycles made by the same code
 * have the same pattern. Containers between two objects become "[]". What only hangs on a cycle is counted with it:
 * what would go if it went.
 */
#ifndef HEAPSAKE_MODEL_CYCLES_H
#define HEAPSAKE_MODEL_CYCLES_H

#include "model/path_text.h"
#include "model/reach.h"

/* Why the collector did not take a cycle that is garbage: a bit set. 0: it has not run since, or it is off. */
enum cycle_reason {
    CYCLE_REFERENCES = 1 << 0, /* references from outside that nothing explains: the collector must think them alive */
    CYCLE_NO_GC = 1 << 1,     /* a type without the collector's header: no cycle through it is found                  */
    CYCLE_HIDDEN = 1 << 2,    /* a reference that tp_traverse does not tell                                         */
    CYCLE_OPAQUE = 1 << 3,    /* tp_traverse is missing, or crashed                                                 */
    CYCLE_UNTRACKED = 1 << 4, /* an object that was never given to the collector (PyObject_GC_Track)                  */
    CYCLE_FROZEN = 1 << 5,    /* gc.freeze()                                                                        */
    CYCLE_FINALIZED = 1 << 6, /* its finalizers have run, and it lived on                                           */
};

struct cycle_group {
    bool garbage;
    char *pattern;
    uint64_t count;          /* of cycles                                            */
    uint64_t objects, bytes; /* of all of them, with what hangs on them alone        */
    struct path_link *links; /* of one of them, around; containers passed over        */
    size_t link_count;
    int weaken;        /* the link to make weak; -1: none can be named          */
    uint32_t stack;    /* what stack_of() says most often of the first object; 0: none */
    uint32_t reasons;  /* enum cycle_reason                                    */
    uint32_t odd_node; /* an object that shows the last reason but CYCLE_FROZEN ... ; UINT32_MAX */
};

struct cycles {
    struct cycle_group *groups; /* garbage first, then most bytes first */
    size_t count;
};

struct cycles_sources {
    const struct ref_graph *graph;
    const struct reach *reach;
    const struct components *components;
    const struct dominators *dominators;
    const uint64_t *own;
    uint32_t (*stack_of)(void *context, uint32_t node); /* where a node was born; may be NULL */
    void *context;
};

int cycles_find(struct cycles *cycles, const struct cycles_sources *sources, struct error *error);
void cycles_free(struct cycles *cycles);

/* A sentence about one reason. */
const char *cycle_reason_text(enum cycle_reason reason);

#endif
