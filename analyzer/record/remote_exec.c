/* remote_exec.c - see remote_exec.h */
#include "record/remote_exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/proc_folder.h"
#include "record/remote_python.h"
#include "record/remote_script.h"

#define FIRST_PAUSE_NS 200000L
#define LAST_PAUSE_NS 5000000L
#define LINGER_NS UINT64_C(1000000000) /* beyond the deadline, for a script that may have been begun */

enum step { STEP_PATH = 11, STEP_SCRIPT, STEP_FLAG, STEP_NUDGE, STEP_RUN };

struct request {
    int folder; /* of the process */
    struct remote_python python;
    struct remote_script script;
    uint64_t deadline_ns; /* on the monotonic clock */
    long pause_ns;
    int fault; /* the step behind which to die; 0: none */
};

static void step(const struct request *request, enum step done)
{
    if (request->fault == (int)done)
        kill(getpid(), SIGKILL);
}

static void pause_a_little(struct request *request)
{
    nanosleep(&(struct timespec){.tv_nsec = request->pause_ns}, NULL);
    if (request->pause_ns * 2 <= LAST_PAUSE_NS)
        request->pause_ns *= 2;
}

static int ended(struct error *error)
{
    return error_set(error, -ESRCH, "it has ended, or become another program");
}

static int busy(const struct injection_order *order, struct error *error)
{
    return error_set(
        error, -ETIMEDOUT,
        "its Python would do it, but its main thread has run no Python code for %u s: it sleeps, waits, or is "
        "in C code; try again when it is at work",
        (order->deadline_ms + 999) / 1000);
}

/* A request of somebody else's, who has perhaps died before he told the thread, goes first. */
static int await_turn(struct request *request, struct error *error)
{
    enum request_state state;
    while ((state = remote_python_state(&request->python)) != REQUEST_NONE) {
        if (state == REQUEST_NO_MORE)
            return ended(error);
        if (monotonic_ns() >= request->deadline_ns)
            return error_set(error, -EBUSY, "its Python has another debugger's script to run, and has not come to it");
        if (state == REQUEST_ASLEEP)
            remote_python_nudge(&request->python);
        pause_a_little(request);
    }
    return 0;
}

/* The path without the flag says nothing, so it goes first: the file is of use as soon as it is there. */
static int ask(struct request *request, const struct injection_order *order, struct error *error)
{
    if (!remote_python_name_script(&request->python, request->script.path))
        return error_set(error, -EIO, "its Python's memory cannot be written to (%s)", strerror(errno));
    step(request, STEP_PATH);
    int code = remote_script_write(&request->script, request->folder, order, error);
    if (code != 0)
        return code;
    step(request, STEP_SCRIPT);
    if (!remote_python_raise_flag(&request->python)) {
        remote_script_remove(&request->script);
        return ended(error);
    }
    step(request, STEP_FLAG);
    if (remote_python_nudge(&request->python))
        step(request, STEP_NUDGE);
    return 0;
}

/*
 * The flag is lowered; had it been taken a moment before, the event would have been taken before that. As long as the
 * event stands nobody has begun: the file can go. Otherwise the script may be about to be opened, and Python would
 * complain if it were not there: it is waited for, since it will go by itself. True: it has, and the request is
 * fulfilled after all.
 */
static bool take_back(struct request *request)
{
    bool untouched = remote_python_state(&request->python) == REQUEST_WAITS;
    remote_python_lower_flag(&request->python);
    untouched = untouched && remote_python_event_stands(&request->python);
    uint64_t until = monotonic_ns() + LINGER_NS;
    while (!untouched && remote_script_is_there(&request->script) && monotonic_ns() < until &&
           remote_python_state(&request->python) != REQUEST_NO_MORE)
        pause_a_little(request);
    if (!remote_script_is_there(&request->script))
        return true;
    remote_script_remove(&request->script);
    return false;
}

static int await_script(struct request *request, const struct injection_order *order, struct error *error)
{
    while (remote_script_is_there(&request->script)) {
        enum request_state state = remote_python_state(&request->python);
        if (state == REQUEST_NO_MORE) {
            remote_script_remove(&request->script);
            return ended(error);
        }
        if (monotonic_ns() >= request->deadline_ns) {
            if (take_back(request))
                break;
            if (state == REQUEST_NONE)
                return error_set(error, -EIO,
                                 "its Python was to run a script, and has not run it to its end (an audit hook may "
                                 "forbid it)");
            return busy(order, error);
        }
        if (state == REQUEST_ASLEEP)
            remote_python_nudge(&request->python);
        pause_a_little(request);
    }
    step(request, STEP_RUN);
    return 0;
}

static int carry_out(struct request *request, const struct injection_order *order, struct error *error)
{
    int code = remote_script_place(&request->script, request->folder, error);
    if (code != 0)
        return code;
    code = await_turn(request, error);
    if (code == 0)
        code = ask(request, order, error);
    if (code == 0)
        code = await_script(request, order, error);
    remote_script_close(&request->script);
    return code;
}

/* With `loaded`, only in a process that has loaded a libheapsake.so already. */
static int open_python(struct remote_python *python, int folder, bool loaded, struct error *error)
{
    struct mapped_files files;
    int code = mapped_files_read(&files, folder);
    if (code != 0)
        return error_set(error, code == -ESRCH ? -ESRCH : -EACCES, "its mappings cannot be read (%s)", strerror(-code));
    if (loaded && !mapped_files_find(&files, "libheapsake", true))
        code = ended(error);
    else
        code = remote_python_open(python, folder, &files, error);
    mapped_files_free(&files);
    return code;
}

int remote_exec_call(pid_t pid, const struct injection_order *order, struct error *error)
{
    const char *fault = getenv("HEAPSAKE_FAULT_INJECTION");
    struct request request = {
        .folder = proc_folder_open(pid),
        .deadline_ns = monotonic_ns() + (uint64_t)order->deadline_ms * 1000000,
        .pause_ns = FIRST_PAUSE_NS,
        .fault = fault ? atoi(fault) : 0,
    };
    if (request.folder < 0)
        return ended(error);
    int code = open_python(&request.python, request.folder, order->loaded, error);
    if (code == 0) {
        code = carry_out(&request, order, error);
        remote_python_close(&request.python);
    }
    close(request.folder);
    return code;
}

int remote_exec_possible(int folder, struct error *error)
{
    struct remote_python python;
    struct remote_script script;
    int code = open_python(&python, folder, false, error);
    if (code != 0)
        return code;
    remote_python_close(&python);
    code = remote_script_place(&script, folder, error);
    if (code == 0)
        remote_script_close(&script);
    return code;
}
