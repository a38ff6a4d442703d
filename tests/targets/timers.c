/*
 * timers.c - waits again and again while a timer interrupts it a thousand times a second, until its standard input
 * ends.
 *
 * usage: timers WAIT HANDLER. Prints its pid first, and at the end {"waits", "ticks"}. WAIT is what it waits in: read,
 * poll, epoll, nanosleep, semaphore, or "malloc", which does not wait. HANDLER is "interrupt"; "restart" (SA_RESTART);
 * or "altstack": on a stack of its own, of which it uses the most.
 *
 * A call may be given up with EINTR only if the handler has run since it began; a sleep that was not given up has
 * lasted as long as it should; a call that the kernel restarts is never given up.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>

#include "truth.h"

#define ALTERNATE_STACK (128 << 10)
#define OF_IT_USED (64 << 10)

static volatile long ticks;
static bool on_alternate_stack, restarts;
static const char *kind;
static int pipe_fds[2], epoll_fd;
static sem_t semaphore;
static _Atomic int ending;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void use_stack(void)
{
    volatile unsigned char bytes[OF_IT_USED];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < sizeof bytes; i++)
        CHECK(bytes[i] == (unsigned char)(i * 7));
}

static void tick(int number)
{
    int saved_errno = errno;
    (void)number;
    ticks++;
    if (on_alternate_stack)
        use_stack();
    errno = saved_errno;
}

/* Something to read, and a place in the semaphore, now and then. */
static void *give(void *unused)
{
    (void)unused;
    while (!ending) {
        nanosleep(&(struct timespec){.tv_nsec = 7000000}, NULL);
        CHECK(write(pipe_fds[1], "x", 1) == 1 && sem_post(&semaphore) == 0);
    }
    return NULL;
}

static long allocate(void)
{
    void *volatile blocks[100];
    for (int i = 0; i < 100; i++)
        CHECK((blocks[i] = malloc(i * 30 + 1)) != NULL);
    for (int i = 0; i < 100; i++)
        free(blocks[i]);
    return 1;
}

/* Waits for `milliseconds`, or for what is given. 0: the time was over. */
static long wait_once(int milliseconds)
{
    struct timespec span = {.tv_nsec = milliseconds * 1000000L};
    struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
    struct epoll_event event;
    char byte;
    if (strcmp(kind, "read") == 0)
        return read(pipe_fds[0], &byte, 1);
    if (strcmp(kind, "semaphore") == 0)
        return sem_wait(&semaphore) == 0 ? 1 : -1;
    if (strcmp(kind, "malloc") == 0)
        return allocate();
    if (strcmp(kind, "nanosleep") == 0)
        return nanosleep(&span, NULL);
    long got =
        strcmp(kind, "poll") == 0 ? poll(&readable, 1, milliseconds) : epoll_wait(epoll_fd, &event, 1, milliseconds);
    if (got == 1)
        CHECK(read(pipe_fds[0], &byte, 1) == 1);
    return got;
}

static void set_up(const char *handler)
{
    static char stack[ALTERNATE_STACK];
    on_alternate_stack = strcmp(handler, "altstack") == 0;
    restarts = strcmp(handler, "restart") == 0 && (strcmp(kind, "read") == 0 || strcmp(kind, "semaphore") == 0);
    struct sigaction action = {.sa_handler = tick};
    action.sa_flags = (on_alternate_stack ? SA_ONSTACK : 0) | (strcmp(handler, "restart") == 0 ? SA_RESTART : 0);
    CHECK(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL) == 0);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(pipe(pipe_fds) == 0 && (epoll_fd = epoll_create1(EPOLL_CLOEXEC)) >= 0 && sem_init(&semaphore, 0, 0) == 0);
    CHECK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_fds[0], &(struct epoll_event){.events = EPOLLIN}) == 0);
    pthread_t thread;
    sigset_t alarm_signal;
    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm_signal, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, give, NULL) == 0 && pthread_detach(thread) == 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarm_signal, NULL) == 0);
    struct itimerval interval = {{.tv_usec = 1000}, {.tv_usec = 1000}};
    CHECK(setitimer(ITIMER_REAL, &interval, NULL) == 0);
}

int main(int argc, char **argv)
{
    long waits = 0;
    CHECK(argc == 3);
    kind = argv[1];
    set_up(argv[2]);
    print_line("%d", (int)getpid());
    struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};
    for (; poll(&end, 1, 0) <= 0; waits++) {
        int milliseconds = waits % 3 == 0 ? 20 : 0;
        long before = ticks;
        uint64_t begin = now_ns();
        errno = 0;
        long result = wait_once(milliseconds);
        if (result < 0)
            CHECK(errno == EINTR && ticks != before && !restarts);
        else if (result == 0)
            CHECK(now_ns() - begin >= (uint64_t)milliseconds * 1000000u);
    }
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL) == 0);
    ending = 1;
    print_line("{\"waits\": %ld, \"ticks\": %ld}", waits, ticks);
    return 0;
}
