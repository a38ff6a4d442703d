/*
 * cmd_attach.c - `heapsake attach`: traces a process that runs already, and leaves it as it was.
 *
 * A recorder is started as for `run`; then the process is made to open libheapsake.so and to say hello (entering.h).
 * This process only waits: for the end of the time, for Ctrl-C, for the end of the program or of the recorder. Should
 * it be killed, the recorder leaves the program; should the recorder be killed, this process does.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "command.h"
#include "record/asking.h"
#include "record/childwait.h"
#include "record/companion.h"
#include "record/entering.h"
#include "record/following.h"
#include "record/launch.h"
#include "record/network.h"
#include "record/preflight.h"
#include "record/proc_folder.h"
#include "record/run_options.h"
#include "record/watch_spec.h"
#include "report/out_json.h"
#include "report/out_text.h"

#define INJECTION_MS 4000u /* for the program to be at a place where it can be called ... */
#define BEGUN_MS 800u      /* ... for a script of Python's that was begun by then         */
#define ATTACH_MS 5000u    /* ... and for all of it, until it is traced                  */
#define DETACH_MS 10000u

static struct run_options run_options = RUN_OPTIONS_DEFAULT;
static double duration;
static bool follow, allow_seccomp, as_json;

static const struct option options[] = {
    RUN_OPTIONS_FILE(run_options),
    {.name = "duration",
     .kind = OPTION_SECONDS,
     .value_name = "SECONDS",
     .value = &duration,
     .help = "leave the process after so long (default: when interrupted, or at its end)"},
    RUN_OPTIONS_EVENTS(run_options),
    {.name = "follow",
     .kind = OPTION_FLAG,
     .value = &follow,
     .help = "trace the processes below it, too, those that are there and those to come, into files of their own"},
    RUN_OPTIONS_SNAPSHOTS(run_options),
    RUN_OPTIONS_VALUES(run_options),
    RUN_OPTIONS_WATCH(run_options, "addr:0xADDRESS, with size:N a counter that is no object's; and those of run"),
    RUN_OPTIONS_LESS(run_options),
    {.name = "allow-seccomp",
     .kind = OPTION_FLAG,
     .value = &allow_seccomp,
     .help = "attach also where a filter of system calls may kill the process for what heapsake's library does in it"},
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document at the end"},
    {0},
};

/* What is known while the process is attached to. */
struct attachment {
    pid_t pid;
    const char *library;
    struct companion companion;
    struct companion_words words;
    struct child_signals signals;
    struct entering_report report; /* of the attaching                 */
    uint64_t attached_ms;          /* what that took until it was done */
    int network;                   /* a descriptor of its network namespace; 0: it is ours */
    size_t followed;               /* processes below it that are traced, too              */
    bool lost;                     /* the recorder has died                */
    bool interrupted;              /* somebody wants it to end             */
};

/* ---- waiting ---- */

static void take_signal(struct attachment *it, const struct signalfd_siginfo *info)
{
    switch (info->ssi_signo) {
    case SIGINT:
    case SIGTERM:
    case SIGHUP:
    case SIGQUIT:
        it->interrupted = true;
        break;
    case SIGCHLD:
        if (waitpid(it->companion.recorder, NULL, WNOHANG) == it->companion.recorder) {
            while (companion_listen(it->companion.control_fd, &it->words) > 0)
                ;
            it->lost = !it->words.told;
        }
        break;
    default:
        break;
    }
}

/* Until something is heard or the time is over (UINT64_MAX: never). */
static void wait_for_more(struct attachment *it, uint64_t until)
{
    struct pollfd sources[] = {{.fd = it->signals.fd, .events = POLLIN},
                               {.fd = it->companion.control_fd, .events = POLLIN}};
    uint64_t now = monotonic_ms();
    int timeout = until == UINT64_MAX ? -1 : until <= now ? 0 : until - now > INT_MAX ? INT_MAX : (int)(until - now);
    if (poll(sources, HS_COUNT_OF(sources), timeout) <= 0)
        return;
    struct signalfd_siginfo info;
    if (sources[1].revents && companion_listen(it->companion.control_fd, &it->words) < 0)
        it->lost = !it->words.told;
    while (sources[0].revents && read(it->signals.fd, &info, sizeof info) == sizeof info)
        take_signal(it, &info);
}

static bool is_over(const struct attachment *it)
{
    return it->words.told || it->lost;
}

/* ---- the beginning ---- */

/* Would it work? 0, or a negative errno after saying why not. */
static int look_ahead(pid_t pid, const char *library)
{
    struct preflight list = PREFLIGHT_INIT;
    struct error error = {0};
    list.allow_seccomp = allow_seccomp;
    int code = preflight_process(&list, pid, library);
    const struct check *obstacle = preflight_obstacle(&list);
    if (code != 0)
        error_set(&error, code, "out of memory");
    else if (obstacle)
        code = preflight_refuse(obstacle, pid, &error);
    if (code != 0)
        error_print(&error);
    preflight_free(&list);
    return code;
}

/* The recorder ends without having recorded anything, and takes its file with it. */
static int abandon(struct attachment *it)
{
    bool met = it->words.attach_state != HS_ATTACH_NONE;
    companion_tell(it->companion.control_fd, CONTROL_DETACH, 0);
    uint64_t until = monotonic_ms() + ATTACH_MS;
    while (!is_over(it) && monotonic_ms() < until)
        wait_for_more(it, until);
    if (met && it->companion.file)
        unlink(it->companion.file); /* nothing is in it but how it began */
    return EXIT_UNUSABLE;
}

static void tell_of_entry(const struct attachment *it)
{
    char stopped[OUT_NUMBER_SIZE];
    if (it->report.by_script)
        message_print("attached to %d: no thread was stopped: its Python ran heapsake's script; recording into %s",
                      (int)it->pid, it->companion.file);
    else
        message_print("attached to %d: one thread of it stood still for %s; recording into %s", (int)it->pid,
                      out_seconds(stopped, it->report.injection.stopped_ns), it->companion.file);
}

/* Another recorder traces the process, or did when our call came to it. */
static void tell_of_another(const struct attachment *it)
{
    if (look_ahead(it->pid, it->library) == 0)
        message_print("process %d: another heapsake was attached to it when this one came in, and has left it since: "
                      "it is not traced",
                      (int)it->pid);
}

/* Nothing more is to be heard of how far the process has come. */
static bool is_decided(const struct attachment *it)
{
    return it->words.attach_state == HS_ATTACH_DONE || it->words.taken || is_over(it) || it->interrupted;
}

/* 0, or an exit code after saying why. */
static int begin(struct attachment *it)
{
    struct error error = {0};
    uint64_t began = monotonic_ms(), until = began + ATTACH_MS;
    const struct injection_order order = {it->library, "heapsake_attach", it->companion.session, INJECTION_MS,
                                          false,       BEGUN_MS};
    if (entering_call(it->pid, &order, &it->report, &error) != 0) {
        error_print(&error);
        return abandon(it);
    }
    while (!is_decided(it) && monotonic_ms() < until)
        wait_for_more(it, until);
    if (it->words.attach_state == HS_ATTACH_DONE) {
        it->attached_ms = monotonic_ms() - began;
        tell_of_entry(it);
        return EXIT_DONE;
    }
    if (it->interrupted)
        return abandon(it);
    if (it->words.told) { /* it has ended meanwhile, which this finds */
        if (look_ahead(it->pid, it->library) == 0)
            message_print("process %d: its recorder has ended: it is not traced", (int)it->pid);
        return abandon(it);
    }
    if (it->words.taken)
        tell_of_another(it);
    else if (it->words.attach_state == HS_ATTACH_AWAITS_PYTHON)
        message_print("process %d: its Python has been busy for %u s in C code that keeps the interpreter locked: it "
                      "is not traced",
                      (int)it->pid, ATTACH_MS / 1000);
    else if (it->words.attach_state == HS_ATTACH_NONE && look_ahead(it->pid, it->library) != 0)
        ; /* which has said why: it has ended */
    else if (it->words.attach_state == HS_ATTACH_NONE)
        message_print(
            "process %d: its loader has not loaded %s, or has not come to it within %u s (a lock that another of its "
            "threads holds?): it is not traced",
            (int)it->pid, it->library, ATTACH_MS / 1000);
    else
        message_print("process %d: attaching has not come to its end within %u s: it is not traced", (int)it->pid,
                      ATTACH_MS / 1000);
    return abandon(it);
}

/* ---- the processes below it ---- */

static void follow_tree(struct attachment *it)
{
    struct following following = {.root = it->pid,
                                  .library = it->library,
                                  .session = it->companion.session,
                                  .network = it->network,
                                  .allow_seccomp = allow_seccomp,
                                  .call_ms = INJECTION_MS,
                                  .begun_ms = BEGUN_MS};
    while (!it->interrupted && !is_over(it) && following_call_next(&following))
        wait_for_more(it, 0);
    uint64_t until = monotonic_ms() + ATTACH_MS;
    while (!it->interrupted && !is_over(it) && following_awaits(&following, &it->words.followed) &&
           monotonic_ms() < until)
        wait_for_more(it, until);
    if (!it->interrupted && !is_over(it))
        it->followed = following_tell(&following, &it->words.followed);
    following_free(&following);
}

/* ---- the end ---- */

static void leave(struct attachment *it)
{
    if (it->lost) {
        struct error error = {0};
        const struct injection_order order = {it->library, "heapsake_detach", it->companion.session, DETACH_MS,
                                              true,        DETACH_MS};
        message_print("the recorder has died: the trace ends there");
        int code = entering_call(it->pid, &order, NULL, &error);
        if (code != 0 && code != -ESRCH)
            message_print("process %d is not left: %s; heapsake's hooks stay, and pass calls on", (int)it->pid,
                          error.text);
        return;
    }
    it->interrupted = false;
    companion_tell(it->companion.control_fd, CONTROL_DETACH, 0);
    uint64_t until = monotonic_ms() + DETACH_MS;
    while (!is_over(it) && !it->interrupted && monotonic_ms() < until)
        wait_for_more(it, until);
    if (!is_over(it))
        message_print("process %d: is not left yet: its Python is busy in C code, or it is stopped; interrupt again to "
                      "leave that to the recorder",
                      (int)it->pid);
    while (!is_over(it) && !it->interrupted)
        wait_for_more(it, UINT64_MAX);
}

static void print_json(const struct attachment *it)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_signed(&json, "pid", it->pid);
    put_string(&json, "trace", it->companion.file);
    put_string(&json, "way", it->report.by_script ? "script" : "ptrace");
    put_seconds(&json, "stopped", it->report.by_script ? 0 : it->report.injection.stopped_ns);
    put_seconds(&json, "attached_after", it->attached_ms * 1000000);
    put_unsigned(&json, "attempts", it->report.injection.attempts);
    put_unsigned(&json, "followed", it->followed);
    close_object(&json);
    put_end(&json);
}

static int trace(struct attachment *it)
{
    int code = begin(it);
    if (code != EXIT_DONE)
        return code;
    if (follow)
        follow_tree(it);
    uint64_t until = duration > 0 && duration < 1e9 ? monotonic_ms() + (uint64_t)(duration * 1000) : UINT64_MAX;
    while (!is_over(it) && !it->interrupted && monotonic_ms() < until)
        wait_for_more(it, until);
    if (!it->words.told)
        leave(it);
    companion_print_screen(&it->words, &it->signals.mask_before);
    if (as_json && !it->lost)
        print_json(it);
    return it->lost || !it->words.told || it->words.not_left ? EXIT_UNUSABLE : EXIT_DONE;
}

static int run(int argc, char **argv)
{
    char library[PATH_MAX];
    struct error error = {0};
    struct recorder_options recorder_options;
    int pid = asking_pid("attach", argc, argv);
    if (pid < 0)
        return EXIT_USAGE;
    if (run_options.output && (!*run_options.output || strcmp(run_options.output, "-") == 0)) {
        message_print("attach: -o needs the name of a file (see heapsake attach --help)");
        return EXIT_USAGE;
    }
    int wrong = watch_spec_check(&run_options.watch, "attach", true);
    if (wrong)
        return wrong;
    if (launch_find_library(library, &error) != 0) {
        error_print(&error);
        return EXIT_UNUSABLE;
    }
    if (look_ahead(pid, library) != 0)
        return EXIT_UNUSABLE;
    const char *obstacle = run_options.watch.count ? watch_obstacle() : NULL;
    if (obstacle)
        message_print("counts cannot be watched: %s", obstacle);
    run_options_apply(&run_options, &recorder_options);
    recorder_options.children = follow ? CHILDREN_ALL : CHILDREN_NONE;
    recorder_options.attach = true;
    recorder_options.library = library;
    int folder = proc_folder_open(pid), network = folder < 0 ? folder : network_open(folder);
    if (folder >= 0)
        close(folder);
    recorder_options.network = network < 0 ? 0 : launch_high_descriptor(network);
    struct attachment it = {
        .pid = pid, .library = library, .network = recorder_options.network, .companion = {.control_fd = -1}};
    int code = child_signals_take(&it.signals);
    if (code == 0)
        code = companion_start(&it.companion, &recorder_options);
    if (code != 0) {
        message_print("the recorder cannot be started: %s", strerror(-code));
        return EXIT_UNUSABLE;
    }
    enum readiness readiness = companion_ask(&it.companion, CONTROL_PROGRAM, pid, false);
    if (readiness != READY)
        return readiness == REFUSED ? EXIT_USAGE : EXIT_UNUSABLE;
    code = trace(&it);
    companion_words_free(&it.words);
    free(it.companion.file);
    return code;
}

const struct command command_attach = {
    .name = "attach",
    .synopsis = "[OPTION...] PID",
    .summary = "trace a process that runs already, and leave it as it was",
    .description =
        "Makes the process load heapsake's library, and records what it allocates and frees from then on, until "
        "Ctrl-C, the end of --duration, heapsake detach, or its own end. A snapshot of its objects is taken at the "
        "beginning and at the end. Then everything that was changed in the process is put back; only the library "
        "stays loaded.\n"
        "\n"
        "What it had allocated before is known only as far as the first snapshot names it: its Python objects, by "
        "type and by who refers to them. heapsake leaks shows what has come since then and stayed.\n"
        "\n"
        "With --follow the processes below it, its children and theirs, are attached to in the same way, and what any "
        "of "
        "them forks or executes is traced, too: a server with its workers, the fork server of Python's "
        "multiprocessing. "
        "What cannot be attached to there is said, and left alone.\n"
        "\n"
        "One thread of the process stands still for a moment (ptrace). Where that is not possible, since a debugger or "
        "strace has the process or ptrace is forbidden here, the Python of CPython 3.14 and later is asked to run a "
        "script instead (PEP 768), which it does when its main thread next runs Python code.\n"
        "\n"
        "The process belongs to the same user, or you are root; heapsake doctor PID tells what else is needed. "
        "Whatever becomes of this command, also when it is killed, the process runs on. A process that cannot be left "
        "at "
        "once, since it is stopped or its Python is busy in C code that keeps the interpreter locked, is waited for.\n"
        "\n"
        "The exit status is 3 when the process could not be attached to, or has not been left.",
    .examples = "$ heapsake attach --duration 30 -o app.hsk 1234\n"
                "what has grown in 30 seconds? then: heapsake leaks app.hsk\n"
                "$ heapsake attach --native $(pgrep -f app.py)\n"
                "with native frames, until Ctrl-C\n"
                "$ heapsake attach --follow --duration 60 -o app.hsk $(pgrep -o gunicorn)\n"
                "a server and all its workers, a trace each\n"
                "$ heapsake attach --watch leak:app.hsk#1 --duration 30 -o app.watch.hsk 1234\n"
                "who takes the references of a leak? then: heapsake leaks app.watch.hsk",
    .options = options,
    .run = run,
};
