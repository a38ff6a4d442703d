/*
 * recorder_start.c - see recorder_start.h
 *
 * The recorder must be nobody's surprise: not reported by wait(-1), no SIGCHLD, also when the program is process 1 or a
 * subreaper, to which orphans fall. A child made by clone with exit signal 0 is all that, but loses it when it
 * calls exec. So such a child, the keeper, is between: it has the recorder as its own, ordinary, child. It ends at
 * once, and the program keeps no child at all that wait(-1, __WALL) would wait for. Only when orphans fall to the
 * program already now, it stays until the recorder has ended.
 *
 *   program --clone, exit signal 0--> keeper --clone, SIGCHLD--> heapsake record
 */
#include "recorder_start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "environment.h"
#include "internal/session.h"
#include "proc_text.h"
#include "sys.h"

#define PATH_BYTES 4096
#define OWN_ARGUMENTS 10 /* at most */

static void complain(const char *what)
{
    char line[PATH_BYTES];
    char *limit = line + sizeof line - 1;
    char *out = text_append(line, limit, "heapsake: ");
    out = text_append(out, limit, what);
    out = text_append(out, limit, "; the program runs untraced\n");
    sys_call(SYS_write, 2, line, out - line);
}

/* The command lies beside the library, in the places where it is built or installed. */
static bool find_command(char *path)
{
    static const char *const places[] = {"/../analyzer/heapsake", "/../../bin/heapsake", "/../../../bin/heapsake"};
    const char *library = environment_library();
    const char *slash = strrchr(library, '/');
    size_t folder = slash ? (size_t)(slash - library) : 0;
    for (unsigned i = 0; slash && i < HS_COUNT_OF(places); i++) {
        if (folder + strlen(places[i]) >= PATH_BYTES)
            continue;
        memcpy(path, library, folder);
        strcpy(path + folder, places[i]);
        if (sys_call(SYS_access, path, X_OK, 0) == 0)
            return true;
    }
    return false;
}

/* Where the word begins that is at `text` or behind its spaces; at the end: NULL. */
static const char *next_word(const char *text)
{
    text += strspn(text, " ");
    return *text ? text : NULL;
}

static size_t count_words(const char *text)
{
    size_t count = 0;
    while ((text = next_word(text))) {
        count++;
        text += strcspn(text, " ");
    }
    return count;
}

/* Copies each word, and its NUL, to `bytes`: no more than the text with its own. Returns the arguments' new end. */
static char **append_words(char **arguments, char *bytes, const char *text)
{
    while ((text = next_word(text))) {
        size_t length = strcspn(text, " ");
        *arguments++ = memcpy(bytes, text, length);
        bytes[length] = '\0';
        bytes += length + 1;
        text += length;
    }
    return arguments;
}

struct plan {
    char *command;
    char **arguments;
    char *const *envp;
    int ready_fd;
    bool stay; /* the keeper, until the recorder has ended */
};

static long raw_clone(unsigned long flags)
{
    return sys_call6(SYS_clone, (long)flags, 0, 0, 0, 0, 0);
}

static void close_all_but(int fd)
{
    if (fd > 0)
        sys_call(SYS_close_range, 0, fd - 1, 0);
    sys_call(SYS_close_range, fd + 1, ~0U, 0);
}

/* In the keeper. Returns never. It holds nothing of the program's: no descriptor, no terminal, no current folder's
 * signals. */
static void keep(const struct plan *plan)
{
    close_all_but(plan->ready_fd);
    sys_call(SYS_prctl, PR_SET_NAME, "heapsake-keeper", 0);
    sys_call(SYS_setsid, 0, 0, 0);
    long recorder = raw_clone(SIGCHLD);
    if (recorder == 0) {
        sigset_t none;
        sigemptyset(&none);
        sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8, 0, 0);
        /* What it has to say before it is ready comes to us; then it lets go of that stream. */
        sys_call(SYS_dup3, plan->ready_fd, STDERR_FILENO, 0);
        sys_call(SYS_execve, plan->command, plan->arguments, plan->envp);
        sys_call(SYS_exit_group, 127, 0, 0);
    }
    sys_close(plan->ready_fd);
    while (plan->stay && sys_call6(SYS_wait4, recorder, 0, 0, 0, 0, 0) == -EINTR)
        ;
    sys_call(SYS_exit_group, 0, 0, 0);
}

/* Do orphans fall to this process? */
static bool is_reaper(void)
{
    int subreaper = 0;
    return sys_getpid() == 1 || sys_call(SYS_prctl, PR_GET_CHILD_SUBREAPER, &subreaper, 0) != 0 || subreaper;
}

/* True at a NUL byte, which says that it is ready; else `said` is its first line, "" when it said nothing. */
static bool wait_until_ready(int fd, char *said, size_t size)
{
    struct timespec deadline = {.tv_sec = HS_HELLO_SECONDS};
    size_t length = 0;
    while (length < size - 1) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        long got = sys_call6(SYS_ppoll, (long)&readable, 1, (long)&deadline, 0, 0, 0);
        if (got == 1)
            got = sys_call(SYS_read, fd, said + length, size - 1 - length);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        if (memchr(said + length, '\0', (size_t)got))
            return true;
        length += (size_t)got;
    }
    said[length] = '\0';
    said[strcspn(said, "\n")] = '\0';
    return false;
}

/* The recorder's number must not be a standard stream's, which it takes for messages. */
static int above_standard_streams(int fd)
{
    if (fd > STDERR_FILENO)
        return fd;
    long high = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    sys_close(fd);
    return (int)high;
}

/* Both ends are close-on-exec; the second one's number is above the standard streams'. */
static bool open_pipe(int fds[2])
{
    if (sys_call(SYS_pipe2, fds, O_CLOEXEC, 0) < 0)
        return false;
    fds[1] = above_standard_streams(fds[1]);
    if (fds[1] >= 0)
        return true;
    sys_close(fds[0]);
    return false;
}

/* `heapsake record ...`, and the memory of its arguments. */
struct command_line {
    char command[PATH_BYTES];
    char name[100], ready[24], own_pid[24];
    char **arguments; /* NULL behind the last one; in pages of its own, with the user's words */
    size_t mapped;    /* bytes of them */
};

/* `line->command` is there already. Chooses the socket's name. False: there is no memory. */
static bool fill_command_line(struct command_line *line, int ready_fd)
{
    const char *output = environment_output(), *wanted = environment_options();
    size_t most = OWN_ARGUMENTS + (wanted ? count_words(wanted) : 0) + 1;
    line->mapped = most * sizeof *line->arguments + (wanted ? strlen(wanted) + 1 : 0);
    line->arguments = arena_map(line->mapped);
    if (!line->arguments)
        return false;
    uint64_t random = 0, pid = (uint64_t)sys_getpid();
    sys_call(SYS_getrandom, &random, sizeof random, 0);
    char *limit = line->name + sizeof line->name - 1;
    char *out = text_append(line->name, limit, "heapsake.");
    out = text_append_number(out, limit, pid);
    out = text_append(out, limit, ".");
    text_append_number(out, limit, random);
    text_append_number(line->ready, line->ready + sizeof line->ready - 1, (uint64_t)ready_fd);
    text_append_number(line->own_pid, line->own_pid + sizeof line->own_pid - 1, pid);

    char **argument = line->arguments;
    *argument++ = line->command;
    *argument++ = "record";
    *argument++ = "--socket";
    *argument++ = line->name;
    *argument++ = "--ready-fd";
    *argument++ = line->ready;
    *argument++ = "--root-pid";
    *argument++ = line->own_pid;
    if (output) {
        *argument++ = "--output";
        *argument++ = (char *)output;
    }
    if (wanted)
        argument = append_words(argument, (char *)(line->arguments + most), wanted);
    *argument = NULL;
    return true;
}

/* False: there is none. */
static bool start_keeper(const struct plan *plan)
{
    /* Signals stay blocked in the keeper: what the terminal sends to the program's group is not for it. */
    uint64_t all = ~UINT64_C(0), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
    long keeper = raw_clone(0);
    if (keeper == 0) {
        /* The recorder needs ready_fd beyond its exec. */
        sys_call(SYS_fcntl, plan->ready_fd, F_SETFD, 0);
        keep(plan);
    }
    if (keeper > 0 && !plan->stay)
        sys_call6(SYS_wait4, keeper, 0, __WCLONE, 0, 0, 0); /* not interrupted: every signal is blocked */
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
    return keeper > 0;
}

bool recorder_start(char *const envp[])
{
    struct command_line line;
    int fds[2];
    if (!find_command(line.command)) {
        complain("the heapsake command is not beside libheapsake.so");
        return false;
    }
    if (!open_pipe(fds)) {
        complain("no descriptor is free to start the recorder");
        return false;
    }
    if (!fill_command_line(&line, fds[1])) {
        sys_close(fds[0]);
        sys_close(fds[1]);
        complain("no memory is left to start the recorder");
        return false;
    }
    bool kept = start_keeper(&(struct plan){line.command, line.arguments, envp, fds[1], is_reaper()});
    arena_unmap(line.arguments, line.mapped);
    sys_close(fds[1]);
    char said[1024] = "";
    bool ready = kept && wait_until_ready(fds[0], said, sizeof said);
    sys_close(fds[0]);
    if (!ready) {
        static const char prefix[] = "heapsake: ";
        size_t skipped = strncmp(said, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
        complain(said[0] ? said + skipped : "the recorder could not be started");
        return false;
    }
    environment_set_session(line.name);
    return true;
}
