/*
 * launch.h - before a program runs: can it be traced, with which library, in which environment?
 */
#ifndef HEAPSAKE_RECORD_LAUNCH_H
#define HEAPSAKE_RECORD_LAUNCH_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

enum launch_verdict {
    LAUNCH_TRACEABLE = 0,
    LAUNCH_UNTRACEABLE = 1, /* it can run, but nothing can be preloaded into it: `error` says why */
    LAUNCH_IMPOSSIBLE = 2,  /* it cannot run: `error` says why                                    */
};

/* Looks for the program as execvp() does, and at what it is. */
enum launch_verdict launch_check(const char *program, struct error *error);

/* The path of libheapsake.so that belongs to this executable; 0 or -ENOENT with `error`. */
int launch_find_library(char path[PATH_MAX], struct error *error);

/* Sets LD_PRELOAD and HEAPSAKE_SESSION for what is executed next. 0 or -ENOMEM. */
int launch_set_environment(const char *library, const char *session);

/* Replaces this process by the program; returns a negative errno. */
int launch_exec(char *const argv[]);

/* A program that has been forked and waits for its word to begin. */
struct launch {
    pid_t pid;
    int gate_fd;  /* a byte lets it begin; closed without one, it ends      */
    int error_fd; /* the errno of a failed exec comes from here, else nothing */
};

/*
 * Forks the program, to run with signal mask `mask` and, when `child_ignored`, with SIGCHLD ignored. It begins at
 * launch_begin(). `library` and `session` are for launch_set_environment(). 0 or a negative errno.
 */
int launch_fork(struct launch *launch, char *const argv[], const char *library, const char *session,
                const sigset_t *mask, bool child_ignored);

/*
 * Lets it begin, with the library or (not `traced`) without. Waits until it has executed the program. 0 or the
 * negative errno of that; then it has ended.
 */
int launch_begin(struct launch *launch, bool traced);
/* It never begins, and is gone when this returns. */
void launch_cancel(struct launch *launch);

/* /dev/null for those of the three standard descriptors that are closed (or for `all`). */
void launch_fill_standard_streams(bool all);
/* A descriptor above the standard ones, with close-on-exec; closes `fd`. -1 stays -1. */
int launch_high_descriptor(int fd);

#endif
