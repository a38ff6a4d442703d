/*
 * attached_counts.c - counters of a program that is attached to while it runs. Each line on standard input is a
 * question, answered by one JSON line:
 *
 *   where      {"counter": ADDRESS, "narrow": ADDRESS}: of 8 bytes, on the heap; of 4 bytes
 *   change N   {"counter": N, "narrow": N}: four threads, which have been there from the start, change both N times each,
 *              under a lock, up; take() and give() do it
 *   born N     the same, by threads that begin now
 *   storm      {"storm": 1}: from now on a thread that never sleeps changes the counter all the time
 *   stormed N  {"counter": N}: it has changed the counter N times since it was asked
 *   calm       {"counter": N}: it has ended
 *   block      {"narrow": N}: a thread blocks SIGTRAP for good, and then changes `narrow` once
 *   unblock    {"alive": 1}: it unblocks it, and ends
 *   handle     {"handled": N}: sets a handler of its own for SIGTRAP, once; raises it; how often that was called
 *   trap       {"kernel": NAME}: what the kernel has for SIGTRAP: "default", "program", "other"
 *   free       {"freed": 1}: frees the counter
 *   end        {"counter": N}, and it ends with status 0
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "../truth.h"

#define THREADS 4

static volatile uint64_t *counter;
static volatile uint32_t narrow;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t begin, done;
static _Atomic long rounds;
static _Atomic int storming, handled;

static __attribute__((noinline)) void take(void)
{
    *counter = *counter + 1;
}

static __attribute__((noinline)) void give(void)
{
    narrow = narrow + 1;
}

static void change(long times)
{
    for (long i = 0; i < times; i++) {
        pthread_mutex_lock(&lock);
        take();
        give();
        pthread_mutex_unlock(&lock);
    }
}

static void *worker(void *unused)
{
    for (;;) {
        pthread_barrier_wait(&begin);
        change(rounds);
        pthread_barrier_wait(&done);
    }
    return unused;
}

static void *newcomer(void *times)
{
    change((long)(intptr_t)times);
    return NULL;
}

static void *storm(void *unused)
{
    while (storming)
        take();
    return unused;
}

static pthread_barrier_t blocked;

static void *blocker(void *unused)
{
    sigset_t trap;
    sigemptyset(&trap);
    sigaddset(&trap, SIGTRAP);
    pthread_sigmask(SIG_BLOCK, &trap, NULL);
    give();
    pthread_barrier_wait(&blocked);
    pthread_barrier_wait(&blocked);
    pthread_sigmask(SIG_UNBLOCK, &trap, NULL);
    return unused;
}

static void on_trap(int number)
{
    (void)number;
    handled++;
}

/* libc's and the library's functions are left out. */
static const char *kernels_handler(void)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } now;
    syscall(SYS_rt_sigaction, SIGTRAP, NULL, &now, 8);
    return now.handler == SIG_DFL ? "default" : now.handler == on_trap ? "program" : "other";
}

int main(void)
{
    char line[100];
    pthread_t storm_thread, block_thread, threads[THREADS];
    counter = calloc(1, sizeof *counter);
    pthread_barrier_init(&begin, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    pthread_barrier_init(&blocked, NULL, 2);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, worker, NULL);
    printf("%d\n", (int)getpid());
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char what[100] = "";
        long number = 0;
        sscanf(line, "%99s %ld", what, &number);
        if (strcmp(what, "where") == 0) {
            printf("{\"counter\": \"%p\", \"narrow\": \"%p\"}\n", (void *)(uintptr_t)counter, (void *)(uintptr_t)&narrow);
        } else if (strcmp(what, "change") == 0) {
            rounds = number;
            pthread_barrier_wait(&begin);
            pthread_barrier_wait(&done);
            printf("{\"counter\": %lu, \"narrow\": %u}\n", (unsigned long)*counter, narrow);
        } else if (strcmp(what, "born") == 0) {
            pthread_t born[THREADS];
            for (int i = 0; i < THREADS; i++)
                pthread_create(&born[i], NULL, newcomer, (void *)(intptr_t)number);
            for (int i = 0; i < THREADS; i++)
                pthread_join(born[i], NULL);
            printf("{\"counter\": %lu, \"narrow\": %u}\n", (unsigned long)*counter, narrow);
        } else if (strcmp(what, "storm") == 0) {
            storming = 1;
            pthread_create(&storm_thread, NULL, storm, NULL);
            printf("{\"storm\": 1}\n");
        } else if (strcmp(what, "stormed") == 0) {
            uint64_t until = *counter + (uint64_t)number;
            while (*counter < until)
                sched_yield();
            printf("{\"counter\": %lu}\n", (unsigned long)*counter);
        } else if (strcmp(what, "calm") == 0) {
            storming = 0;
            pthread_join(storm_thread, NULL);
            printf("{\"counter\": %lu}\n", (unsigned long)*counter);
        } else if (strcmp(what, "block") == 0) {
            pthread_create(&block_thread, NULL, blocker, NULL);
            pthread_barrier_wait(&blocked);
            printf("{\"narrow\": %u}\n", narrow);
        } else if (strcmp(what, "unblock") == 0) {
            pthread_barrier_wait(&blocked);
            pthread_join(block_thread, NULL);
            printf("{\"alive\": 1}\n");
        } else if (strcmp(what, "handle") == 0) {
            struct sigaction action = {.sa_handler = on_trap}, now;
            sigaction(SIGTRAP, NULL, &now);
            if (now.sa_handler != on_trap)
                sigaction(SIGTRAP, &action, NULL);
            raise(SIGTRAP);
            printf("{\"handled\": %d}\n", handled);
        } else if (strcmp(what, "trap") == 0) {
            printf("{\"kernel\": \"%s\"}\n", kernels_handler());
        } else if (strcmp(what, "free") == 0) {
            free((void *)(uintptr_t)counter);
            counter = NULL;
            printf("{\"freed\": 1}\n");
        } else if (strcmp(what, "end") == 0) {
            printf("{\"counter\": %lu}\n", counter ? (unsigned long)*counter : 0);
            fflush(stdout);
            return 0;
        } else {
            printf("{}\n");
        }
        fflush(stdout);
    }
    return 1;
}
