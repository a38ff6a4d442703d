/*
 * entering.h - how a running process is made to call a function of our library, by whichever way is open.
 *
 * The first is the injector (injection.h): it works for every program, and wakes one that sleeps. Where the system does
 * not let us stop a thread, since another tracer has the process or ptrace is forbidden to us, its Python is asked
 * (remote_exec.h).
 */
#ifndef HEAPSAKE_RECORD_ENTERING_H
#define HEAPSAKE_RECORD_ENTERING_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "record/injection.h"

struct entering_report {
    bool by_script; /* Python ran a script: nothing below is of interest */
    struct injection_report injection;
};

/*
 * As injection_call(): 0, or a negative errno with a line; -EINPROGRESS: not yet, but it will be called
 * (remote_exec.h). order->deadline_ms counts for each of the ways. `report` may be NULL.
 */
int entering_call(pid_t pid, const struct injection_order *order, struct entering_report *report, struct error *error);

/*
 * Why no thread of the process may be stopped by us, before anything is tried: a negative errno when the system calls
 * that it takes are forbidden to this process; 0: they are not.
 */
int entering_ptrace_forbidden(pid_t pid);

#endif
