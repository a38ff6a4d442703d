/*
 * processes.c - processes MODE [ARG...]: every way to make, replace and end a process.
 *
 * The blocks that matter have sizes of their own (see SIZE_*), so a test can
 * find them in the trace of the right process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "truth.h"

enum {
    SIZE_INHERITED = 6001, /* allocated before the fork                */
    SIZE_CHILD = 6002,     /* allocated by the child                   */
    SIZE_PARENT = 6003,    /* allocated by the parent after the fork   */
    SIZE_IMAGE = 6004,     /* allocated by an image before its exec    */
    SIZE_LAST = 6005,      /* allocated by the last image              */
};
enum { BLOCKS = 100 };

extern char **environ;
static char self[4096];
static void *inherited[BLOCKS];

static void allocate(size_t size, void **blocks)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *block = malloc(size);
        CHECK(block);
        if (blocks)
            blocks[i] = block;
    }
}

static int status_of(pid_t pid)
{
    int status;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void child_frees(void)
{
    for (int i = 0; i < BLOCKS; i++)
        free(inherited[i]);
    allocate(SIZE_CHILD, NULL);
}

static int mode_fork(char **arguments)
{
    (void)arguments;
    allocate(SIZE_INHERITED, inherited);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        child_frees();
        exit(7);
    }
    allocate(SIZE_PARENT, NULL);
    int status = status_of(pid);
    print_line("{\"child\": %d, \"status\": %d}", pid, status);
    return 0;
}

static int mode_fork_deep(char **arguments) /* a child of a child of a child */
{
    int depth = atoi(arguments[0]);
    allocate(SIZE_INHERITED, inherited);
    for (; depth > 0; depth--) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid) {
            int status = status_of(pid);
            print_line("{\"child\": %d, \"status\": %d}", pid, status);
            exit(0);
        }
    }
    child_frees();
    return 0;
}

static int mode_fork_many(char **arguments)
{
    int count = atoi(arguments[0]);
    allocate(SIZE_INHERITED, inherited);
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid) {
            child_frees();
            _exit(0);
        }
        CHECK(i % 10 || status_of(pid) == 0); /* some in turn, the others beside each other */
    }
    while (wait(NULL) > 0)
        ;
    CHECK(errno == ECHILD);
    return 0;
}

static int mode_raw_clone(char **arguments) /* no fork hook sees this one */
{
    (void)arguments;
    allocate(SIZE_INHERITED, inherited);
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    CHECK(pid >= 0);
    if (!pid) {
        child_frees();
        _exit(3);
    }
    int status = status_of((pid_t)pid);
    print_line("{\"child\": %ld, \"status\": %d}", pid, status);
    return 0;
}

static void *churning(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_ACQUIRE))
        free(malloc(100));
    return NULL;
}

static int mode_fork_threaded(char **arguments) /* others are in the middle of malloc while this one forks */
{
    int stop = 0, count = atoi(arguments[0]);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, churning, &stop) == 0);
    allocate(SIZE_INHERITED, inherited);
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid) {
            child_frees();
            exit(5);
        }
        CHECK(status_of(pid) == 5);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    print_line("{\"children\": %d}", count);
    return 0;
}

static int mode_last(char **arguments)
{
    allocate(SIZE_LAST, NULL);
    return arguments[0] ? atoi(arguments[0]) : 0;
}

static int mode_vfork(char **arguments)
{
    (void)arguments;
    char *const words[] = {self, "last", "9", NULL};
    allocate(SIZE_PARENT, inherited);
    pid_t pid = vfork();
    if (!pid) {
        execv(self, words);
        _exit(127);
    }
    CHECK(pid > 0);
    int status = status_of(pid);
    allocate(SIZE_PARENT, NULL);
    print_line("{\"child\": %d, \"status\": %d}", pid, status);
    return 0;
}

static int mode_vfork_exit(char **arguments) /* no exec at all, and one that fails */
{
    (void)arguments;
    char *const words[] = {"nothing", NULL};
    for (int i = 0; i < BLOCKS; i++) {
        pid_t pid = vfork();
        if (!pid) {
            if (i % 2)
                execv("/nonexistent/program", words);
            _exit(4);
        }
        CHECK(pid > 0 && status_of(pid) == 4);
        inherited[i] = malloc(SIZE_PARENT);
    }
    print_line("{\"children\": %d}", BLOCKS);
    return 0;
}

static int mode_spawn(char **arguments)
{
    (void)arguments;
    char *const words[] = {self, "last", "11", NULL};
    pid_t pid, other;
    CHECK(posix_spawn(&pid, self, NULL, NULL, words, environ) == 0);
    int status = status_of(pid);
    char *const path[] = {"true", NULL};
    CHECK(posix_spawnp(&other, "true", NULL, NULL, path, environ) == 0 && status_of(other) == 0);
    CHECK(posix_spawn(&other, "/nonexistent/program", NULL, NULL, words, environ) == ENOENT);
    print_line("{\"child\": %d, \"status\": %d}", pid, status);
    return 0;
}

static int mode_system(char **arguments)
{
    (void)arguments;
    char command[5000];
    snprintf(command, sizeof command, "'%s' last 13", self);
    int status = system(command);
    CHECK(WIFEXITED(status));
    print_line("{\"status\": %d}", WEXITSTATUS(status));
    return 0;
}

static int mode_popen(char **arguments)
{
    (void)arguments;
    char line[100] = "";
    FILE *pipe = popen("echo through the pipe", "r");
    CHECK(pipe && fgets(line, sizeof line, pipe) && pclose(pipe) == 0);
    CHECK(strcmp(line, "through the pipe\n") == 0);
    pipe = popen("cat >/dev/null; exit 3", "w");
    CHECK(pipe && fputs("words", pipe) > 0 && WEXITSTATUS(pclose(pipe)) == 3);
    print_line("{\"line\": \"ok\"}");
    return 0;
}

static int mode_exec(char **arguments) /* replaces itself, N times, then is the last one */
{
    int count = atoi(arguments[0]);
    char next[20];
    snprintf(next, sizeof next, "%d", count - 1);
    char *words[] = {self, "exec", next, NULL};
    char *last[] = {self, "last", NULL};
    allocate(SIZE_IMAGE, NULL);
    if (count > 0)
        execv(self, words);
    else
        execv(self, last);
    return 127;
}

static int mode_exec_fails(char **arguments) /* and goes on */
{
    char *const words[] = {"nothing", NULL};
    (void)arguments;
    allocate(SIZE_PARENT, NULL);
    CHECK(execv("/nonexistent/program", words) == -1 && errno == ENOENT);
    CHECK(execvp("no-such-program-anywhere", words) == -1 && errno == ENOENT);
    CHECK(execl("/etc/passwd", "passwd", (char *)NULL) == -1 && errno == EACCES);
    allocate(SIZE_LAST, NULL);
    return 0;
}

static int mode_exec_relatives(char **arguments) /* each of the family, from a child of its own */
{
    (void)arguments;
    char *const words[] = {self, "last", "21", NULL};
    for (int which = 0; which < 8; which++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (!pid) {
            switch (which) {
            case 0: execl(self, self, "last", "21", (char *)NULL); break;
            case 1: execle(self, self, "last", "21", (char *)NULL, environ); break;
            case 2: execlp(self, self, "last", "21", (char *)NULL); break;
            case 3: execv(self, words); break;
            case 4: execvp(self, words); break;
            case 5: execvpe(self, words, environ); break;
            case 6: execve(self, words, environ); break;
            case 7: fexecve(open(self, O_RDONLY), words, environ); break;
            }
            _exit(127);
        }
        CHECK(status_of(pid) == 21);
    }
    print_line("{\"children\": 8}");
    return 0;
}

static int mode_exec_empty(char **arguments) /* without any environment */
{
    (void)arguments;
    char *const words[] = {self, "print_environment", NULL};
    char *const nothing[] = {NULL};
    execve(self, words, nothing);
    return 127;
}

static int mode_exec_null(char **arguments) /* Linux takes NULL for an empty environment, and for no arguments */
{
    (void)arguments;
    char *const words[] = {self, "print_environment", NULL};
    execve(self, words, NULL);
    return 127;
}

static int mode_print_environment(char **arguments)
{
    (void)arguments;
    allocate(SIZE_LAST, NULL);
    for (char **entry = environ; entry && *entry; entry++)
        print_line("%.3000s", *entry);
    print_line("end");
    return 0;
}

static int mode_clear_environment(char **arguments) /* forgets its environment, then goes on as someone else */
{
    (void)arguments;
    char *const words[] = {self, "print_environment", NULL};
    CHECK(clearenv() == 0);
    CHECK(setenv("ONLY", "this", 1) == 0);
    execv(self, words);
    return 127;
}

static void *exec_in_thread(void *unused)
{
    (void)unused;
    char *const words[] = {self, "last", "17", NULL};
    allocate(SIZE_IMAGE, NULL);
    execv(self, words);
    return NULL;
}

static int mode_exec_thread(char **arguments) /* a thread that is not the first one replaces the image */
{
    pthread_t thread;
    (void)arguments;
    CHECK(pthread_create(&thread, NULL, exec_in_thread, NULL) == 0);
    pthread_join(thread, NULL);
    return 127;
}

static void at_exit_allocates(void)
{
    allocate(SIZE_LAST, NULL);
}

static int mode_exit(char **arguments)
{
    CHECK(atexit(at_exit_allocates) == 0);
    exit(atoi(arguments[0]));
}

static int mode__exit(char **arguments)
{
    allocate(SIZE_LAST, NULL);
    _exit(atoi(arguments[0]));
}

static int mode__Exit(char **arguments)
{
    allocate(SIZE_LAST, NULL);
    _Exit(atoi(arguments[0]));
}

static int mode_quick_exit(char **arguments)
{
    CHECK(at_quick_exit(at_exit_allocates) == 0);
    quick_exit(atoi(arguments[0]));
}

static int mode_raw_exit(char **arguments) /* no hook sees this one */
{
    allocate(SIZE_LAST, NULL);
    syscall(SYS_exit_group, atoi(arguments[0]));
    return 127;
}

static int mode_abort(char **arguments)
{
    (void)arguments;
    allocate(SIZE_LAST, NULL);
    abort();
}

static int mode_raise(char **arguments)
{
    allocate(SIZE_LAST, NULL);
    raise(atoi(arguments[0]));
    return 127;
}

static int mode_segfault(char **arguments)
{
    (void)arguments;
    allocate(SIZE_LAST, NULL);
    *(volatile int *)8 = 1;
    return 127;
}

static int mode_corrupt(char **arguments) /* libc finds the damage in free() and aborts, as it would untraced */
{
    (void)arguments;
    char *volatile block = malloc(40);
    allocate(SIZE_LAST, NULL);
    free(block + 16);
    return 127;
}

static int mode_thread_leader_leaves(char **arguments) /* main ends its thread, the process goes on */
{
    pthread_t thread;
    static int stop = 1;
    (void)arguments;
    CHECK(pthread_create(&thread, NULL, churning, &stop) == 0);
    CHECK(pthread_detach(thread) == 0);
    allocate(SIZE_LAST, NULL);
    pthread_exit(NULL);
}

static int mode_wait_any(char **arguments) /* wait(-1) sees this program's own children and nobody else's */
{
    (void)arguments;
    allocate(SIZE_LAST, NULL);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    CHECK(waitpid(0, NULL, WNOHANG | WUNTRACED) == -1 && errno == ECHILD);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid)
        _exit(2);
    int status, count = 0;
    pid_t got;
    while ((got = wait(&status)) > 0) {
        CHECK(got == pid);
        count++;
    }
    CHECK(count == 1 && errno == ECHILD && waitpid(-1, NULL, WNOHANG) == -1);
    print_line("{\"own children\": %d}", count);
    return 0;
}

static int mode_wait_clones(char **arguments) /* nor does one that asks for clones, too */
{
    (void)arguments;
    allocate(SIZE_LAST, NULL);
    CHECK(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
    CHECK(waitpid(-1, NULL, __WCLONE | WNOHANG) == -1 && errno == ECHILD);
    print_line("{\"own children\": 0}");
    return 0;
}

static volatile sig_atomic_t deaths;
static void on_death(int signal) { deaths += signal == SIGCHLD; }

static int mode_no_sigchld(char **arguments)
{
    (void)arguments;
    CHECK(signal(SIGCHLD, on_death) != SIG_ERR);
    for (int i = 0; i < 100000; i++)
        free(malloc(64));
    struct timespec moment = {0, 200000000}; /* in which no signal is expected */
    while (nanosleep(&moment, &moment))
        ;
    print_line("{\"deaths\": %d}", (int)deaths);
    return 0;
}

static int mode_subreaper(char **arguments) /* orphans of others would be given to this process */
{
    (void)arguments;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    allocate(SIZE_LAST, NULL);
    struct timespec moment = {0, 200000000};
    while (nanosleep(&moment, &moment))
        ;
    siginfo_t any;
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    CHECK(waitid(P_ALL, 0, &any, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) == -1 && errno == ECHILD);
    print_line("{\"own children\": 0}");
    return 0;
}

/* daemon FIFO: the parent ends at once, the daemon lives until the FIFO's writer goes. */
static int mode_daemon(char **arguments)
{
    allocate(SIZE_INHERITED, inherited);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid) {
        print_line("{\"child\": %d}", pid);
        return 0;
    }
    CHECK(setsid() > 0);
    int null = open("/dev/null", O_RDWR);
    CHECK(null >= 0);
    for (int i = 0; i < 3; i++)
        CHECK(dup2(null, i) == i);
    alarm(120); /* whatever happens, it goes */
    int fifo = open(arguments[0], O_RDONLY);
    if (fifo < 0)
        _exit(98);
    char byte;
    while (read(fifo, &byte, 1) > 0)
        ;
    child_frees();
    exit(0);
}

static const struct {
    const char *name;
    int (*run)(char **arguments);
} modes[] = {
#define MODE(name) {#name, mode_##name}
    MODE(fork), MODE(fork_deep), MODE(fork_many), MODE(raw_clone), MODE(fork_threaded), MODE(last), MODE(vfork),
    MODE(vfork_exit), MODE(spawn), MODE(system), MODE(popen), MODE(exec), MODE(exec_fails), MODE(exec_relatives),
    MODE(exec_empty), MODE(exec_null), MODE(print_environment), MODE(clear_environment), MODE(exec_thread), MODE(exit),
    MODE(_exit), MODE(_Exit), MODE(quick_exit), MODE(raw_exit), MODE(abort), MODE(raise), MODE(segfault), MODE(corrupt),
    MODE(thread_leader_leaves), MODE(wait_any), MODE(wait_clones), MODE(no_sigchld), MODE(subreaper), MODE(daemon),
};

int main(int argc, char **argv)
{
    CHECK(argc >= 2);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    CHECK(length > 0);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            return modes[i].run(argv + 2);
    CHECK(!"an unknown mode");
}
