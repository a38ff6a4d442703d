/*
 * sleepers.c - waits in one of many ways, and prints how that went: {"result", "errno", "milliseconds"}.
 *
 * usage: sleepers KIND MILLISECONDS. Prints its pid first. Registers that a call keeps are checked over the wait, and so
 * are the extended ones.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "truth.h"

static int pipe_fds[2];
static int milliseconds;
static const char *kind;

static struct timespec span(void)
{
    return (struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
}

static void *write_later(void *unused)
{
    struct timespec wait = span();
    (void)unused;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, &wait) == EINTR)
        ;
    CHECK(write(pipe_fds[1], "x", 1) == 1);
    return NULL;
}

static void *wait_in_thread(void *unused)
{
    (void)unused;
    struct timespec wait = span();
    nanosleep(&wait, NULL);
    return NULL;
}

static long wait_now(void)
{
    struct timespec wait = span();
    struct timeval old_wait = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_fds[0], &set);
    char byte;
    pthread_t thread;
    if (strcmp(kind, "epoll") == 0) {
        struct epoll_event event = {.events = EPOLLIN};
        int fd = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(fd, EPOLL_CTL_ADD, pipe_fds[0], &event) == 0);
        return epoll_wait(fd, &event, 1, milliseconds);
    }
    if (strcmp(kind, "poll") == 0)
        return poll(&readable, 1, milliseconds);
    if (strcmp(kind, "ppoll") == 0)
        return ppoll(&readable, 1, &wait, NULL);
    if (strcmp(kind, "select") == 0)
        return select(pipe_fds[0] + 1, &set, NULL, NULL, &old_wait);
    if (strcmp(kind, "nanosleep") == 0)
        return nanosleep(&wait, NULL);
    if (strcmp(kind, "sleep_until") == 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += (until.tv_nsec + wait.tv_nsec) / 1000000000 + wait.tv_sec;
        until.tv_nsec = (until.tv_nsec + wait.tv_nsec) % 1000000000;
        return errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    if (strcmp(kind, "futex") == 0) {
        static uint32_t word;
        long result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &wait, NULL, 0);
        return result < 0 && errno == ETIMEDOUT ? errno = 0 : result;
    }
    if (strcmp(kind, "wait") == 0) {
        pid_t child = fork();
        if (child == 0) {
            nanosleep(&wait, NULL);
            _exit(0);
        }
        return waitpid(child, NULL, 0) == child ? 0 : -1;
    }
    if (strcmp(kind, "read") == 0) {
        CHECK(pthread_create(&thread, NULL, write_later, NULL) == 0);
        return read(pipe_fds[0], &byte, 1) == 1 ? 0 : -1;
    }
    if (strcmp(kind, "join") == 0) {
        CHECK(pthread_create(&thread, NULL, wait_in_thread, NULL) == 0);
        return pthread_join(thread, NULL);
    }
    CHECK(!"a kind that is known");
    return -1;
}

/* The wait with every register that a function must keep, and one of the extended ones, holding something known. */
static long guarded_wait(void)
{
    volatile double before = 1.0 / 3;
    volatile long sum = 0;
    long a = 11, b = 22, c = 33, d = 44;
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    long result = wait_now();
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    sum = a + b + c + d;
    CHECK(sum == 110);
    CHECK(before * 3 == 1.0);
    return result;
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    kind = argv[1];
    milliseconds = atoi(argv[2]);
    CHECK(pipe(pipe_fds) == 0);
    void *volatile kept[1000];
    for (int i = 0; i < 1000; i++)
        kept[i] = malloc(100);
    (void)kept;
    print_line("%d", (int)getpid());
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    errno = 0;
    long result = guarded_wait();
    int code = errno;
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_line("{\"result\": %ld, \"errno\": %d, \"milliseconds\": %ld}", result, code,
               (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
    return 0;
}
