/*
 * preflight.h - what can be known about a process, and about this machine, before anything of it is touched.
 *
 * A preflight is a list of checks. It reads /proc and files: it stops no process and changes none, and takes a few
 * milliseconds. `heapsake attach` refuses by it, and `heapsake doctor` prints it.
 *
 * Ownership: the list owns its texts. Not thread-safe on one list.
 */
#ifndef HEAPSAKE_RECORD_PREFLIGHT_H
#define HEAPSAKE_RECORD_PREFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

/* The name of the check that says whether there is such a process. If it fails, it is the only one of the process. */
#define PREFLIGHT_PROCESS "process"
/* The name of the one that fails when heapsake traces it already. */
#define PREFLIGHT_TRACING "tracing"

struct check {
    const char *name; /* static; several checks may have the same, such as one for each interpreter */
    bool ok;
    bool fatal;   /* not ok, and nothing works without: no attach, or nothing at all on this machine */
    char *detail; /* what was found, without a full stop; the subject is the process: "is stopped"   */
    char *fix;    /* what to do about it; NULL: nothing                                            */
};

struct preflight {
    bool allow_seccomp; /* in: a filter of system calls is no reason to refuse */
    struct check *checks;
    size_t count, capacity;
    bool failed; /* memory ran out: the list is not complete */
};

#define PREFLIGHT_INIT ((struct preflight){0})

/*
 * Appends the checks of a process that is to be attached to, with the library at `library` (NULL: there is none). 0, or
 * -ENOMEM. The order is that in which they are to be told: the first fatal one is the reason.
 */
int preflight_process(struct preflight *list, pid_t pid, const char *library);

/* Appends those of this machine and of this user's rights on it. 0, or -ENOMEM. */
int preflight_machine(struct preflight *list);

void preflight_free(struct preflight *list);

/* The first fatal check, NULL when there is none. */
const struct check *preflight_obstacle(const struct preflight *list);

/* "process 12: is stopped: kill -CONT 12" into `error`; -ECANCELED, for `return preflight_refuse(...)`. */
int preflight_refuse(const struct check *obstacle, pid_t pid, struct error *error);

#endif
