/* surroundings.c - surroundings MODE: says what a program can see of where it runs, or does rude things there. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "truth.h"

extern char **environ;

static void churn(int count)
{
    for (int i = 0; i < count; i++)
        free(malloc(1 + (size_t)i % 700));
}

static void descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    CHECK(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[300], to[1000] = "";
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(folder))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        CHECK(readlink(path, to, sizeof to - 1) > 0);
        to[strcspn(to, ":[")] = 0; /* pipes and sockets have numbers */
        print_line("fd %d %s flags %d close-on-exec %d", number, to, fcntl(number, F_GETFL), fcntl(number, F_GETFD));
    }
    closedir(folder);
    int next = open("/dev/null", O_RDONLY); /* the lowest free number is the same, too */
    print_line("next %d", next);
    close(next);
}

static void environment(void)
{
    for (char **entry = environ; *entry; entry++)
        print_line("%.3000s", *entry);
    print_line("getenv %s %s", getenv("LD_PRELOAD") ? "set" : "unset", getenv("HEAPSAKE_SESSION") ? "set" : "unset");
}

static void status_line(const char *key)
{
    char line[300];
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':') {
            line[strcspn(line, "\n")] = 0;
            print_line("%s", line);
        }
    fclose(file);
}

static void signals(void)
{
    sigset_t set;
    CHECK(sigprocmask(SIG_SETMASK, NULL, &set) == 0);
    for (int number = 1; number < 65; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action))
            continue;
        print_line("%d %s %d", number,
                   action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignored" : "handled",
                   sigismember(&set, number));
    }
    status_line("SigPnd");
    status_line("SigBlk");
    status_line("SigIgn");
    status_line("SigCgt");
}

static void process(void)
{
    char name[32] = "", where[2000], line[200];
    CHECK(prctl(PR_GET_NAME, name) == 0 && getcwd(where, sizeof where));
    mode_t mask = umask(0);
    umask(mask);
    print_line("name %s folder %s umask %o nice %d", name, where, (unsigned)mask, getpriority(PRIO_PROCESS, 0));
    status_line("Threads");
    status_line("NoNewPrivs");
    status_line("Seccomp");
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        CHECK(getrlimit((__rlimit_resource_t)which, &limit) == 0);
        print_line("limit %d %llu %llu", which, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
    FILE *file = fopen("/proc/self/oom_score_adj", "r");
    CHECK(file && fgets(line, sizeof line, file));
    fclose(file);
    print_line("oom %d session leader %d group leader %d dumpable %d", atoi(line), getsid(0) == getpid(),
               getpgrp() == getpid(), prctl(PR_GET_DUMPABLE));
}

static void error_string(void) /* dlerror() tells of the program's own mistakes only */
{
    const char *before = dlerror();
    print_line("dlerror %s", before ? before : "none");
    CHECK(!dlopen("no-such-library.so", RTLD_NOW));
    print_line("dlerror %s", dlerror());
    print_line("again %s", dlerror() ? "some" : "none");
}

static void closes_everything(void)
{
    churn(1000);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    churn(1000);
    CHECK(syscall(SYS_close_range, 0, ~0U, 0) == 0 || errno == ENOSYS);
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    churn(100000);
    pid_t pid = fork();
    if (!pid) {
        churn(1000);
        _exit(0);
    }
    _exit(open("/dev/null", O_RDONLY) == 0 ? 42 : 43);
}

static void reopens(void) /* puts its own files where somebody else's descriptors might have been */
{
    for (int fd = 3; fd < 300; fd++)
        CHECK(dup2(1, fd) == fd);
    churn(100000);
    for (int fd = 3; fd < 300; fd++)
        CHECK(close(fd) == 0);
    churn(1000);
    print_line("reopened");
}

static void errno_kept(void) /* a free that succeeds, and hooks at all, leave errno alone */
{
    void *block = malloc(100), *other = malloc(100);
    errno = 4711;
    free(block);
    CHECK(errno == 4711);
    block = malloc(200);
    CHECK(errno == 4711);
    block = realloc(block, 3000);
    CHECK(errno == 4711);
    for (int i = 0; i < 200000; i++)
        free(malloc(30));
    CHECK(errno == 4711);
    free(block);
    free(other);
    print_line("errno %d", errno);
}

static void tight_memory(void) /* malloc says no under the limit, and the program copes */
{
    enum { MIB = 1 << 20 };
    size_t got = 0;
    void *blocks[4096];
    while (got < 4096 && (blocks[got] = malloc(MIB)))
        got++;
    CHECK(got > 100);
    CHECK(errno == ENOMEM);
    for (size_t i = 0; i < got; i++)
        free(blocks[i]);
    churn(10000);
    print_line("{\"mebibytes\": %zu}", got);
}

static void folder(void) /* leaves for a folder of its own, and a relative name of the trace stays where it was */
{
    CHECK(chdir("/") == 0);
    churn(1000);
    print_line("moved");
}

static void privileges(void)
{
    churn(1000);
    if (geteuid() == 0)
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    churn(1000);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        churn(1000);
        _exit(0);
    }
    print_line("dropped");
}

static void not_dumpable(void) /* /proc/PID of it belongs to root now */
{
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
    churn(1000);
    print_line("not dumpable");
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
#define MODE(name) {#name, name}
    MODE(descriptors), MODE(environment), MODE(signals), MODE(process), MODE(error_string), MODE(closes_everything),
    MODE(reopens), MODE(errno_kept), MODE(tight_memory), MODE(folder), MODE(privileges), MODE(not_dumpable),
};

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    CHECK(!"an unknown mode");
}
