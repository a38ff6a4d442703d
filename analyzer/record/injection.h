/*
 * injection.h - a running process is made to call a function of a library on a new thread of its own.
 *
 * One thread of the process is stopped at a place where it may start another one (safe_point.h), made to run a piece of
 * code (injection_stub.h) that has been written behind the end of one of the process's own code segments, and let go.
 * Nothing that the process can see changes before its registers do, all at once; from then on it needs nothing of us:
 * whenever this process dies, by whatever means, the other one is untouched, or finishes by itself. No thread but that
 * one is stopped, and the new one is the only one that waits for the loader.
 *
 * What stays in the process is the piece of code, which later injections use again, and what the function leaves.
 */
#ifndef HEAPSAKE_RECORD_INJECTION_H
#define HEAPSAKE_RECORD_INJECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What is to be called. The texts are the caller's, and needed until injection_call() returns. */
struct injection_order {
    const char *library; /* an absolute path, as the process sees it */
    const char *function, *argument;
    unsigned deadline_ms; /* for a thread of the process to come to a place where it may be sent */
    bool loaded;          /* only in a process that has loaded a libheapsake.so already          */
    unsigned begun_ms;    /* for a script that was begun by then (remote_exec.h), so much more   */
};

struct injection_report {
    uint64_t stopped_ns; /* how long the thread stood still that was sent: until it was let go; an upper bound */
    uint64_t longest_ns; /* the longest such time of all attempts                                       */
    unsigned attempts;   /* threads that were stopped                                                   */
    pid_t tid;           /* the thread that was sent                                                    */
};

/*
 * Makes process `pid` load `library` by dlopen(RTLD_NOW | RTLD_LOCAL) on a new thread and call `function`
 * (extern "C" void f(const char *argument)) with a copy of `argument` there, which is gone when the function returns.
 * All signals are blocked in that thread but libc's own two, its stack has 256 KiB, it is detached, and it ends when
 * the function returns.
 *
 * 0: a thread of the process is on its way to do so. What becomes of that (no thread to be had, no such library) is
 * for the function to tell. Else a negative errno with a line in `error`, and the process is as it was: -ESRCH (there
 * is no such process; or, when it has to have loaded it, it has become another program), -EPERM (the system does not
 * let us), -ENOTSUP (it has no glibc 2.34 or later, no room for our code), -ETIMEDOUT (no thread came to a place where
 * it may be sent within order->deadline_ms), -EINVAL (texts), -ENOMEM. `report` may be NULL; it is filled in both
 * cases.
 *
 * Any thread may call it, not from a signal handler. For tests: with the environment variable
 * HEAPSAKE_FAULT_INJECTION=N the calling process kills itself after step N: 1 a thread is seized and stopped, 2 it was
 * found to be at a safe point, 3 the code is written, 4 the block is written, 5 the registers are set, 6 it is let go.
 */
int injection_call(pid_t pid, const struct injection_order *order, struct injection_report *report,
                   struct error *error);

#endif
