/*
 * following.h - `heapsake attach --follow`: the processes that are below the one that is attached to, already then.
 *
 * Each of them is called as the first one was (entering.h), with the address of the same recorder, which traces it as it
 * traces a forked child. What a process forks once it is traced comes by itself. What it has forked before, while we
 * were on our way to it, is found by looking again, until nobody new is there.
 */
#ifndef HEAPSAKE_RECORD_FOLLOWING_H
#define HEAPSAKE_RECORD_FOLLOWING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

struct following {
    pid_t root;
    const char *library, *session;
    int network; /* a descriptor of the root's network namespace, where the recorder listens, too; 0: it is ours */
    bool allow_seccomp;
    unsigned call_ms, begun_ms; /* as struct injection_order's */
    /* private, 0 at first */
    struct below *below; /* in the order in which they were found */
    size_t count, capacity, tried;
};

/*
 * Calls one of them. One that has ended meanwhile, or is traced since its parent is, is passed over; why another one
 * cannot be attached to is said. False: nobody is left.
 */
bool following_call_next(struct following *following);

/* `traced`: a pid_t for each process that the recorder has told of. Is one neither among them nor gone? */
bool following_awaits(const struct following *following, const struct buf *traced);

/* Says how many are traced, which is returned, and which are not yet. */
size_t following_tell(const struct following *following, const struct buf *traced);

void following_free(struct following *following);

#endif
