/*
 * site_match.h - which site of one trace is which site of another, although lines have moved.
 *
 * A site is a stack, frame by frame a line of a function that calls the next. Two sites are one when all their frames
 * are; and frames are, when
 *   - their functions have the same name and lie in the same file (native ones also: in the same module). A file that
 *     another run found elsewhere is the same if it alone has the function and the same end of its path; the program's
 * own executable, and the script that an interpreter was given, are the same whatever their names;
 *   - and their lines are the same: in code that has not changed, the same line, counted from where the function
 * begins; in code that has, the lines from which a function calls one other function, or allocates by itself, keep
 * their order (line_match.h says what is done when there are more on one side). Not thread-safe; no global state.
 */
#ifndef HEAPSAKE_MODEL_SITE_MATCH_H
#define HEAPSAKE_MODEL_SITE_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/sites.h"
#include "model/stacks.h"

#define MATCH_PROGRAM_FILES 3

/* One of the two sides. */
struct match_side {
    const struct sites *sites; /* finished */
    struct stacks *stacks;
    const char *program[MATCH_PROGRAM_FILES]; /* paths of its own executable and script; NULL: not known */
};

struct site_pair {
    uint32_t old_stack, new_stack; /* where the count is not 0; 0: no stack was recorded */
    uint64_t old_count, old_bytes; /* 0: the site is only there in the new trace */
    uint64_t new_count, new_bytes; /* 0: ... in the old one                      */
};

struct site_pairs {
    struct site_pair *list; /* in the order of the new sites, then of the old ones that are left */
    size_t count;
};

/*
 * `same_trace`: both sides are of one recording of one process, whose code did not change: frames are the same when
 * they are equal. 0 or -ENOMEM; the caller frees the list.
 */
int site_match(struct site_pairs *pairs, const struct match_side *old_side, const struct match_side *new_side,
               bool same_trace);

#endif
