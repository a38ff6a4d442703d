/*
 * remote_exec.h - a running CPython is asked to make its process call a function of a library: the second way in, where
 * no thread may be stopped because another tracer has the process, or because ptrace is forbidden to us.
 *
 * What sys.remote_exec() does (PEP 768, CPython 3.14 and later): the main thread is told to run a script
 * (remote_script.h) at the next place between two instructions where it looks for such things. No thread is stopped;
 * but a main thread that sleeps, or is in C code, does not come to such a place, and then the request is taken back.
 */
#ifndef HEAPSAKE_RECORD_REMOTE_EXEC_H
#define HEAPSAKE_RECORD_REMOTE_EXEC_H

#include <sys/types.h>

#include "base/error.h"
#include "record/injection.h"
#include "record/mapped_files.h"

/*
 * As injection_call(), with the same order. 0: the script has run, and a thread of the process is on its way. Else a
 * negative errno with a line about "its Python" in `error`, and the process is as it was: -ENOENT, -ENOTSUP, -EACCES as
 * remote_python_open(), -ESRCH, -EBUSY (another debugger's request waits, or has taken the place of ours), -ETIMEDOUT
 * (the main thread has not run Python code within order->deadline_ms), -EIO. Or it has begun with the script, and not
 * come to its end within order->begun_ms more: -EINPROGRESS; then it will do so, since nothing stops it any more.
 * Whoever asks again meanwhile interrupts it, and makes it take longer.
 *
 * Whenever this process dies, the other one is untouched, or runs a script that finds nobody who waits for it. Any
 * thread may call it. For tests: HEAPSAKE_FAULT_INJECTION as in injection.h, 11 the path is written, 12 the script is
 * there, 13 the flag is up, 14 the thread is told, 15 the script has run.
 */
int remote_exec_call(pid_t pid, const struct injection_order *order, struct error *error);

/*
 * Would the Python of the process of `folder` (proc_folder.h) take a request? 0, or as remote_python_open(). Nothing is
 * written. That its main thread will run Python code cannot be told.
 */
int remote_exec_possible(int folder, struct error *error);

#endif
