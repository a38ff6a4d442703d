/*
 * subject.c - processes as `heapsake doctor` may meet them. `subject KIND` says "ready NUMBER" and waits until its
 * standard input ends; NUMBER is a pid or thread id that goes with the kind.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "truth.h"

/* No more than a few system calls: it may be that no others are allowed. */
static void ready(long number)
{
    char text[32] = "ready ", digits[24];
    int length = 6, count = 0;
    for (; number > 0 || count == 0; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    while (count > 0)
        text[length++] = digits[--count];
    text[length++] = '\n';
    CHECK(write(STDOUT_FILENO, text, (size_t)length) == length);
}

static void wait_for_end(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

static _Noreturn void leave(void)
{
    syscall(SYS_exit, 0); /* what strict seccomp allows; exit_group it does not */
    for (;;)
        ;
}

/* Allows everything. */
static void filter(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static pid_t seize_child(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    CHECK(child > 0 && ptrace(PTRACE_SEIZE, child, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL) == 0);
    return child;
}

static void *second_thread(void *kind)
{
    if (strcmp(kind, "filtered-thread") == 0)
        filter();
    if (strcmp(kind, "leaderless") == 0) {
        /* the first one is gone when the kernel says so */
        char path[64], state[512];
        snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)getpid(), (int)getpid());
        do {
            FILE *file = fopen(path, "re");
            CHECK(file && fgets(state, sizeof state, file));
            fclose(file);
        } while (!strstr(state, ") Z "));
    }
    ready(syscall(SYS_gettid));
    wait_for_end();
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "plain";
    long number = getpid();
    if (strcmp(kind, "strict") == 0) {
        CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
        ready(number);
        wait_for_end();
        leave();
    } else if (strcmp(kind, "thread") == 0 || strcmp(kind, "filtered-thread") == 0 || strcmp(kind, "leaderless") == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, second_thread, (void *)(uintptr_t)kind) == 0);
        if (strcmp(kind, "leaderless") == 0)
            pthread_exit(NULL);
        pthread_join(thread, NULL);
    } else if (strcmp(kind, "filter") == 0)
        filter();
    else if (strcmp(kind, "undumpable") == 0)
        CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    else if (strcmp(kind, "tracer") == 0)
        number = seize_child();
    else if (strcmp(kind, "limited") == 0) {
        struct rlimit limit = {.rlim_cur = 200u << 20, .rlim_max = RLIM_INFINITY};
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    } else
        CHECK(strcmp(kind, "plain") == 0);
    ready(number);
    wait_for_end();
    return 0;
}
