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
/* Beyond the deadline, for the thread to open the script: */
#define OPENING_NS UINT64_C(500000000)  /* when it has taken the request, some time before */
#define LAST_LOOK_NS UINT64_C(50000000) /* when that was taken back                         */

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

/* Is it our script that the thread is to run, or has run last? */
static bool is_named(const struct request *request)
{
    char path[sizeof request->script.path];
    remote_python_script(&request->python, path, sizeof path);
    return strcmp(path, request->script.path) == 0;
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

static bool is_over(const struct request *request)
{
    return !remote_script_is_there(&request->script) || remote_python_state(&request->python) == REQUEST_NO_MORE;
}

/*
 * Between taking the flag and opening the script a thread does not wait for anybody, but for an audit hook. True: it
 * has opened it, and more often than `before`, or the file is gone.
 */
static bool await_opening(struct request *request, unsigned before, uint64_t patience_ns)
{
    uint64_t until = monotonic_ns() + patience_ns;
    for (;;) {
        bool late = monotonic_ns() >= until;
        if (is_over(request) || remote_script_openings(&request->script) > before)
            return true;
        if (late)
            return false;
        pause_a_little(request);
    }
}

/*
 * Its Python reads and runs the script, and the file goes by itself. That takes as long as the interpreter's lock is
 * had by others: it is let go, and waited for, at each system call of the reading, some ten times.
 */
static void await_end(struct request *request, unsigned patience_ms)
{
    uint64_t until = monotonic_ns() + (uint64_t)patience_ms * 1000000;
    while (!is_over(request) && monotonic_ns() < until)
        pause_a_little(request);
}

/*
 * The time is over. A request that still waits is taken back; the thread may have taken it at that very moment, and
 * then it opens the script, or has. What was opened is waited for, and goes by itself even if that takes longer than we
 * wait. Nobody will open what was not: the file can go.
 */
static int run_out(struct request *request, const struct injection_order *order, struct error *error)
{
    enum request_state state = remote_python_state(&request->python);
    bool ours = is_named(request);
    bool waits = ours && (state == REQUEST_WAITS || state == REQUEST_ASLEEP);
    unsigned before = waits ? remote_script_openings(&request->script) : 0;
    if (waits)
        remote_python_lower_flag(&request->python);
    bool begun = await_opening(request, waits ? before : 0, waits ? LAST_LOOK_NS : OPENING_NS);
    if (begun)
        await_end(request, order->begun_ms);
    if (!remote_script_is_there(&request->script))
        return 0;
    bool alive = remote_python_state(&request->python) != REQUEST_NO_MORE;
    if (!begun || !alive)
        remote_script_remove(&request->script);
    if (!alive)
        return ended(error);
    if (begun)
        return error_set(error, -EINPROGRESS,
                         "its Python has begun with heapsake's script, and has not come to its end yet: other threads "
                         "keep the interpreter locked");
    if (waits)
        return busy(order, error);
    if (!ours)
        return error_set(error, -EBUSY, "another debugger has asked its Python to run another script meanwhile");
    return error_set(error, -EIO,
                     "its Python was to run a script, and has not opened it (an audit hook may forbid it)");
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
            int code = run_out(request, order, error);
            if (code != 0)
                return code;
            break;
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
