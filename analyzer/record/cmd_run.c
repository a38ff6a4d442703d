/* cmd_run.c - `heapsake run`: a program under the eyes of a recorder. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_name.h"
#include "command.h"
#include "record/childwait.h"
#include "record/companion.h"
#include "record/launch.h"
#include "record/recorder.h"
#include "record/ref_functions.h"
#include "record/run_options.h"
#include "record/watch_spec.h"

static struct run_options run_options = RUN_OPTIONS_DEFAULT;
static bool in_place, quiet;

static const struct option options[] = {
    RUN_OPTIONS_TABLE(run_options),
    {.name = "exec",
     .kind = OPTION_FLAG,
     .value = &in_place,
     .help = "become the program, keeping the pid, instead of waiting for it"},
    {.letter = 'q',
     .name = "quiet",
     .kind = OPTION_FLAG,
     .value = &quiet,
     .help = "leave out the screen at the end; what went wrong is said all the same"},
    {0},
};

static int cannot_execute(const char *program, int code)
{
    message_print("%s: cannot be executed: %s", program, strerror(-code));
    return EXIT_USAGE;
}

/* The program takes this process' place, as if heapsake had never been there. */
static int run_untraced(char **argv, const char *why)
{
    message_print("%s: the program runs untraced", why);
    return cannot_execute(argv[0], launch_exec(argv));
}

/* ---- run: the recorder and the program are children ---- */

/* The recorder learns who the program is; unless the file's name was known before, that decides about it. */
static enum readiness introduce(struct companion *companion, pid_t program, bool opened)
{
    if (!opened)
        return companion_ask(companion, CONTROL_PROGRAM, program, true);
    /* What if it does not get that? Then it has died, which child_wait() will notice. */
    companion_tell(companion->control_fd, CONTROL_PROGRAM, program);
    return READY;
}

/* When `what` could not be started beside us: the recorder ends, and the program takes our place. */
static int run_unaccompanied(char **argv, const struct child_signals *signals, struct companion *companion,
                             const char *what, int code)
{
    char why[512];
    snprintf(why, sizeof why, "%s cannot be started: %s", what, strerror(-code));
    if (companion->control_fd >= 0) {
        close(companion->control_fd);
        while (waitpid(companion->recorder, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    sigprocmask(SIG_SETMASK, &signals->mask_before, NULL);
    if (signals->child_ignored)
        signal(SIGCHLD, SIG_IGN);
    return run_untraced(argv, why);
}

static int run_as_parent(char **argv, const char *library, const struct recorder_options *recorder_options)
{
    struct child_signals signals;
    struct companion companion = {.control_fd = -1};
    struct launch launch;
    int code = child_signals_take(&signals);
    if (code == 0)
        code = companion_start(&companion, recorder_options);
    if (code != 0)
        return run_unaccompanied(argv, &signals, &companion, "the recorder", code);
    enum readiness readiness = READY;
    bool opened = recorder_options->output != NULL;
    if (opened)
        readiness = companion_ask(&companion, CONTROL_OPEN, 0, true);
    if (readiness == REFUSED)
        return EXIT_USAGE;
    code = launch_fork(&launch, argv, library, companion.session, &signals.mask_before, signals.child_ignored);
    if (code != 0)
        return run_unaccompanied(argv, &signals, &companion, argv[0], code);
    if (readiness == READY)
        readiness = introduce(&companion, launch.pid, opened);
    if (readiness == REFUSED) {
        launch_cancel(&launch);
        return EXIT_USAGE;
    }
    code = launch_begin(&launch, readiness == READY);

    struct child_wait wait = {
        .signals = &signals,
        .program = launch.pid,
        .recorder = readiness == READY ? companion.recorder : 0,
        .control_fd = companion.control_fd,
    };
    child_wait(&wait);
    if (code != 0) {
        companion_words_free(&wait.words);
        return cannot_execute(argv[0], code);
    }
    if (wait.words.untraced)
        message_print("%s was not traced: it has not loaded libheapsake.so", argv[0]);
    if (!quiet)
        companion_print_screen(&wait.words, &signals.mask_before);
    companion_words_free(&wait.words);
    free(companion.file);
    return WIFSIGNALED(wait.status) ? 128 + WTERMSIG(wait.status) : WEXITSTATUS(wait.status);
}

/* ---- run --exec: this process becomes the program ---- */

/*
 * A child that no wait(-1) of the program reports and whose end sends no SIGCHLD: made by clone with exit signal 0. It
 * must not call exec, which would make it an ordinary child; it does not need to.
 */
static pid_t clone_unseen(void)
{
    /* libc keeps the thread's id in memory; where it lies, the kernel can tell, and write the new one there. */
    int *thread_id = NULL;
    unsigned long flags = 0;
    if (prctl(PR_GET_TID_ADDRESS, &thread_id) == 0 && thread_id)
        flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    return (pid_t)syscall(SYS_clone, flags, NULL, NULL, thread_id, 0);
}

/* The recorder's first words: a NUL byte when it is ready, or why it is not. Returns an enum exit_code. */
static int wait_until_ready(int fd, pid_t recorder, char *text, size_t size)
{
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 &&
           ((got = read(fd, text + length, size - 1 - length)) > 0 || (got < 0 && errno == EINTR))) {
        length += got > 0 ? (size_t)got : 0;
        if (memchr(text, '\0', length))
            return EXIT_DONE;
    }
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int status = 0;
    while (waitpid(recorder, &status, __WALL) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE ? EXIT_USAGE : EXIT_UNUSABLE;
}

static int run_in_place(char **argv, const char *library, const struct recorder_options *recorder_options)
{
    char session[SESSION_NAME_BYTES], text[1200] = "";
    int ready[2];
    int listen_fd = recorder_listen(session);
    if (listen_fd < 0 || pipe2(ready, O_CLOEXEC) != 0)
        return run_untraced(argv, "the recorder cannot be started");
    ready[0] = launch_high_descriptor(ready[0]);
    ready[1] = launch_high_descriptor(ready[1]);
    pid_t self = getpid(), recorder = clone_unseen();
    if (recorder == 0) {
        companion_leave_surroundings((int[]){listen_fd, ready[1]}, 2);
        dup2(ready[1], STDERR_FILENO); /* until it is ready, its messages go to us */
        _exit(recorder_run(recorder_options, listen_fd, -1, self, ready[1]));
    }
    close(listen_fd);
    close(ready[1]);
    int code = recorder < 0 ? EXIT_UNUSABLE : wait_until_ready(ready[0], recorder, text, sizeof text);
    close(ready[0]);
    if (code != EXIT_DONE) {
        const char *why = strncmp(text, "heapsake: ", 10) == 0 ? text + 10 : text;
        if (code == EXIT_USAGE) {
            message_print("%s", why);
            return code;
        }
        return run_untraced(argv, *why ? why : "the recorder cannot be started");
    }
    code = launch_set_environment(library, session);
    return code ? EXIT_UNUSABLE : cannot_execute(argv[0], launch_exec(argv));
}

static int run(int argc, char **argv)
{
    char library[PATH_MAX];
    struct error error = {0};
    if (argc == 0) {
        message_print("run: no program given (see heapsake run --help)");
        return EXIT_USAGE;
    }
    if (run_options.output && (!*run_options.output || strcmp(run_options.output, "-") == 0)) {
        message_print("run: -o needs the name of a file: standard output is the program's (see heapsake run --help)");
        return EXIT_USAGE;
    }
    int wrong = watch_spec_check(&run_options.watch, "run", false);
    if (wrong)
        return wrong;
    if (ref_functions_check(&run_options.ref_functions, &error) != 0) {
        error_print(&error);
        return EXIT_USAGE;
    }
    enum launch_verdict verdict = launch_check(argv[0], &error);
    if (verdict == LAUNCH_IMPOSSIBLE) {
        error_print(&error);
        return EXIT_USAGE;
    }
    if (verdict == LAUNCH_UNTRACEABLE || launch_find_library(library, &error) != 0)
        return run_untraced(argv, error.text);
    const char *obstacle = run_options.watch.count ? watch_obstacle() : NULL;
    if (obstacle)
        message_print("counts cannot be watched: %s", obstacle);
    struct recorder_options recorder_options;
    run_options_apply(&run_options, &recorder_options);
    recorder_options.program = base_name(argv[0]);
    return in_place ? run_in_place(argv, library, &recorder_options) : run_as_parent(argv, library, &recorder_options);
}

const struct command command_run = {
    .name = "run",
    .synopsis = "[OPTION...] [--] PROGRAM [ARG...]",
    .summary = "run a program and record every allocation it makes",
    .description =
        "Runs the program with its own standard streams, and writes what it allocates and frees to a trace file: with "
        "native stacks, in Python programs with Python stacks. The program's exit status is given back, 128 + N "
        "when signal N has killed it, and one screen about its memory is printed on standard error at the end.\n"
        "\n"
        "Child processes are traced into files of their own: FILE without .hsk, the child's pid, .hsk. When the "
        "program executes another one in its place, FILE holds the last of them, and those before become "
        "FILE.PID.N.hsk.\n"
        "\n"
        "When something prevents recording, that is said in one line and the program runs all the same, untraced. Only "
        "a file that exists already is never touched without --force, and then nothing is run.\n"
        "\n"
        "Without this command, LD_PRELOAD=libheapsake.so traces a program, too; HEAPSAKE_OUTPUT and HEAPSAKE_OPTIONS "
        "are then its file and options.",
    .examples = "$ heapsake run python3 app.py\n"
                "record app.py into heapsake.python3.PID.hsk\n"
                "$ heapsake run -o app.hsk --native -- ./app --verbose\n"
                "choose the file, and give the program options of its own\n"
                "$ heapsake run --exec -o /var/tmp/app.hsk gunicorn app:app\n"
                "below a supervisor that knows the service by its pid",
    .options = options,
    .stop_at_operand = true,
    .run = run,
};
