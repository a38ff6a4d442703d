/*
 * leak_paths.h - the path of references that keeps something alive, and what it says about why.
 */
#ifndef HEAPSAKE_MODEL_LEAK_PATHS_H
#define HEAPSAKE_MODEL_LEAK_PATHS_H

#include "model/leak_causes.h"
#include "model/leak_evidence.h"

/* What on a path people forget. The order is that of telling: the first that is there. */
enum path_reason {
    PATH_ORDINARY = 0,
    PATH_EXCEPTION, /* the traceback of an exception keeps frames and their variables */
    PATH_GENERATOR, /* a generator that was never finished, or closed                */
    PATH_COROUTINE, /* one that was never awaited to its end                         */
    PATH_DEFAULT,   /* a default argument, made once and shared by all calls         */
    PATH_CLOSURE,   /* a variable of a function that lives on                        */
    PATH_LRU_CACHE,
    PATH_LRU_BOUNDED, /* the same with a maxsize: it stops, and is not full yet      */
    PATH_THREAD_LOCAL,
    PATH_CLASS, /* an attribute of a class                                      */
    PATH_LOCAL, /* a local variable of a function that runs                      */
    PATH_REASONS
};

struct path_find {
    enum path_reason reason;
    size_t edge; /* index of the edge in the path that says so; cut this one */
};

/* Words for people: "a default argument"; what to do about it. */
extern const char *const path_reason_names[PATH_REASONS];
extern const char *const path_reason_advice[PATH_REASONS];

/*
 * Looks at the last `reach` edges of the path (0: at all of them), from its end to its root. A frame at the root that
 * holds it by a local variable is PATH_LOCAL only when nothing else is there.
 */
struct path_find path_reason(const struct evidence *evidence, const struct reach_path *path, size_t reach);

/* What the holder itself says, which is nearer than any edge that leads to it: PATH_ORDINARY when it is no lru_cache. */
enum path_reason path_reason_of_holder(const struct evidence *evidence, uint32_t holder);

/* How sure one can be at most that what is kept so, with so many bytes, grows for ever. */
double path_reason_most(enum path_reason reason, uint64_t retained);

/* Fills leak->why. 0 or -ENOMEM. */
int leak_why(struct leak *leak, const struct evidence *evidence, const struct reach_path *path);

/* The reference to cut, as a person reads it. Writes at most `size` bytes; returns text. */
const char *path_find_text(const struct evidence *evidence, const struct reach_path *path, struct path_find find,
                           char *text, size_t size);

#endif
