/*
 * tracer.c - another tracer, as strace and gdb are: `tracer PID [follow]` seizes all threads of the process (with
 * `follow` also what it starts), lets it go on with all its signals, and says "ready". Each line on standard input is
 * answered by how many stops it has let pass. It lets go when its standard input ends.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "truth.h"

static unsigned long stops;

static void let_pass(void)
{
    int status;
    pid_t tid;
    while ((tid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
        if (!WIFSTOPPED(status))
            continue;
        stops++;
        int number = WSTOPSIG(status), event = status >> 16;
        bool group = event == PTRACE_EVENT_STOP && number != SIGTRAP;
        ptrace(group ? PTRACE_LISTEN : PTRACE_CONT, tid, NULL, (void *)(uintptr_t)(event ? 0 : number));
    }
}

static void seize_all(const char *pid, uintptr_t options)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    DIR *threads = opendir(path);
    CHECK(threads);
    for (struct dirent *entry; (entry = readdir(threads));)
        if (entry->d_name[0] != '.')
            CHECK(ptrace(PTRACE_SEIZE, atoi(entry->d_name), NULL, (void *)options) == 0);
    closedir(threads);
}

int main(int argc, char **argv)
{
    CHECK(argc > 1);
    uintptr_t follow =
        argc > 2 ? PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC : 0;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &child, NULL) == 0);
    struct pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC), .events = POLLIN}};
    CHECK(sources[1].fd >= 0);
    seize_all(argv[1], follow);
    puts("ready");
    for (;;) {
        fflush(stdout);
        CHECK(poll(sources, 2, -1) > 0);
        struct signalfd_siginfo info;
        while (read(sources[1].fd, &info, sizeof info) == sizeof info)
            ;
        let_pass();
        char line[64];
        ssize_t got = sources[0].revents ? read(STDIN_FILENO, line, sizeof line) : 1;
        if (got <= 0)
            return 0;
        if (sources[0].revents)
            printf("%lu\n", stops);
    }
}
