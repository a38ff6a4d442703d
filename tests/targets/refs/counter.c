/*
 * counter.c - a C program that counts references of its own, and watches the counters. Prints its truth as JSON.
 *
 *   single N      one thread adds N times and takes N - 1 times
 *   locked N      four threads, under a mutex, add and take at random, N times each
 *   atomic N      the same with atomic operations
 *   sizes         counters of 1, 2, 4 and 8 bytes
 *   freed         a counter in a block that is freed, and written again as another block
 *   moved         one in a block that realloc moves
 *   unmapped      one in a mapping that goes, and comes again
 *   most          five counters: one too many
 *   wrong         what cannot be watched
 *   fork          a child and its parent go on with the same counter
 *   closed        all descriptors are closed behind our back, and the numbers reused
 *   blocked       a thread that blocks all signals
 *   crowd         a hundred threads, and no more descriptors than are usual
 *   horde         five hundred threads that change it, fewer descriptors than that, and a limit that can be raised
 *   alternate     a thread whose alternate stack is hardly larger than the kernel's frame of a signal
 *   cold N        N seconds' worth of nothing: only counts how long a loop takes
 *   hits N        N hits: prints nanoseconds per hit
 *   global N      the variable `global_count`, for --watch symbol:
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../include/heapsake/heapsake.h"

#define THREADS 4

struct object {
    char name[24];
    long count;
    char rest[200];
};

static int global_count = 1;
static long rounds;
static struct object *object;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic long changes;
static _Atomic long atomic_count = 1;

__attribute__((noinline)) static void take(long *count)
{
    (*(volatile long *)count)++;
}
__attribute__((noinline)) static void give(long *count)
{
    (*(volatile long *)count)--;
}

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static void *locked(void *argument)
{
    unsigned state = (unsigned)(uintptr_t)argument;
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        if (next_random(&state) % 2 || object->count <= 1)
            take(&object->count);
        else
            give(&object->count);
        atomic_fetch_add(&changes, 1);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void *by_atomics(void *argument)
{
    unsigned state = (unsigned)(uintptr_t)argument;
    for (long i = 0; i < rounds; i++) {
        atomic_fetch_add(&atomic_count, next_random(&state) % 2 ? 1 : -1);
        atomic_fetch_add(&changes, 1);
    }
    return NULL;
}

static void in_threads(void *(*function)(void *))
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, function, (void *)(i + 1));
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void *all_blocked(void *unused)
{
    sigset_t all;
    (void)unused;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (long i = 0; i < 100; i++)
        take(&object->count);
    return NULL;
}

static pthread_barrier_t crowd_there, crowd_goes;

static void *in_crowd(void *unused)
{
    pthread_barrier_wait(&crowd_there);
    pthread_barrier_wait(&crowd_goes);
    return unused;
}

static void *in_horde(void *unused)
{
    in_crowd(unused);
    pthread_mutex_lock(&mutex);
    take(&object->count);
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* So many threads are there, and wait. */
static void gather(pthread_t *threads, unsigned count, void *(*one)(void *))
{
    pthread_barrier_init(&crowd_there, NULL, count + 1);
    pthread_barrier_init(&crowd_goes, NULL, count + 1);
    for (unsigned i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, one, NULL);
    pthread_barrier_wait(&crowd_there);
}

static void disperse(pthread_t *threads, unsigned count)
{
    pthread_barrier_wait(&crowd_goes);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

#define MOST_DESCRIPTORS 2048

/* Descriptors that can still be had. */
static int available(void)
{
    static int descriptors[MOST_DESCRIPTORS];
    int count = 0;
    while (count < MOST_DESCRIPTORS && (descriptors[count] = open("/dev/null", O_RDONLY)) >= 0)
        count++;
    for (int i = 0; i < count; i++)
        close(descriptors[i]);
    return count;
}

#define CROWD 100u

static void crowd(void)
{
    pthread_t threads[CROWD];
    struct rlimit limit = {1024, 1024};
    setrlimit(RLIMIT_NOFILE, &limit);
    gather(threads, CROWD, in_crowd);
    int code = heapsake_watch_counter(&global_count, sizeof global_count);
    int left = available();
    disperse(threads, CROWD);
    printf("{\"code\": %d, \"free\": %d}\n", code, left);
}

#define HORDE 500u

static void horde(void)
{
    pthread_t threads[HORDE];
    struct rlimit limit, after;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 100;
    setrlimit(RLIMIT_NOFILE, &limit);
    gather(threads, HORDE, in_horde);
    int before = available();
    int code = heapsake_watch_counter(&object->count, sizeof object->count);
    int watched = available();
    getrlimit(RLIMIT_NOFILE, &after);
    disperse(threads, HORDE);
    printf("{\"code\": %d, \"taken\": %d, \"limit_kept\": %d, \"final\": %ld}\n", code, before - watched,
           memcmp(&limit, &after, sizeof limit) == 0, object->count);
}

#define BELOW 65536u

/* Tells how many bytes below its alternate stack were written. */
static void *on_alternate(void *unused)
{
    size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 1024;
    unsigned char *memory = malloc(BELOW + size);
    long written = 0;
    (void)unused;
    memset(memory, 0xab, BELOW);
    stack_t stack = {.ss_sp = memory + BELOW, .ss_size = size};
    if (sigaltstack(&stack, NULL) != 0)
        return (void *)-1L;
    for (long i = 0; i < 100; i++)
        take(&object->count);
    for (size_t i = 0; i < BELOW; i++)
        written += memory[i] != 0xab;
    return (void *)written;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *a_mapping(void *where)
{
    return mmap(where, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "single";
    rounds = argc > 2 ? atol(argv[2]) : 1000;
    object = calloc(1, sizeof *object);
    object->count = 1;
    int code = 0;
    if (strcmp(mode, "horde") == 0) {
        horde();
        return 0;
    }
    if (strcmp(mode, "global") == 0) {
        for (long i = 0; i < rounds; i++)
            (*(volatile int *)&global_count)++;
        printf("{\"final\": %d}\n", global_count);
        return 0;
    }
    if (strcmp(mode, "crowd") == 0) {
        crowd();
        return 0;
    }
    if (strcmp(mode, "atomic") == 0)
        code = heapsake_watch_counter(&atomic_count, sizeof atomic_count);
    else if (strcmp(mode, "sizes") != 0 && strcmp(mode, "most") != 0 && strcmp(mode, "wrong") != 0)
        code = heapsake_watch_counter(&object->count, sizeof object->count);
    if (strcmp(mode, "single") == 0) {
        for (long i = 0; i < rounds; i++)
            take(&object->count);
        for (long i = 0; i < rounds - 1; i++)
            give(&object->count);
        printf("{\"code\": %d, \"final\": %ld, \"changes\": %ld}\n", code, object->count, 2 * rounds - 1);
    } else if (strcmp(mode, "locked") == 0) {
        in_threads(locked);
        printf("{\"code\": %d, \"final\": %ld, \"changes\": %ld}\n", code, object->count, (long)changes);
    } else if (strcmp(mode, "atomic") == 0) {
        in_threads(by_atomics);
        printf("{\"code\": %d, \"final\": %ld, \"changes\": %ld}\n", code, (long)atomic_count, (long)changes);
    } else if (strcmp(mode, "sizes") == 0) {
        static struct {
            uint64_t eight;
            uint32_t four;
            uint16_t two;
            uint8_t one, beside;
        } counters = {.eight = UINT64_C(1) << 40};
        code = heapsake_watch_counter(&counters.eight, 8) | heapsake_watch_counter(&counters.four, 4) |
               heapsake_watch_counter(&counters.two, 2) | heapsake_watch_counter(&counters.one, 1);
        volatile uint8_t *beside = &counters.beside, *one = &counters.one;
        *(volatile uint64_t *)&counters.eight += 1;
        *(volatile uint32_t *)&counters.four += 2;
        *(volatile uint16_t *)&counters.two += 3;
        *one += 4;
        *beside += 5;
        printf("{\"code\": %d, \"finals\": [%lu, 2, 3, 4]}\n", code, (unsigned long)counters.eight);
    } else if (strcmp(mode, "freed") == 0) {
        take(&object->count);
        free(object);
        object = malloc(sizeof *object);
        memset(object, 7, sizeof *object);
        for (long i = 0; i < 100; i++)
            take(&object->count);
        printf("{\"code\": %d, \"final\": 2}\n", code);
    } else if (strcmp(mode, "moved") == 0) {
        struct object *beside = malloc(64);
        take(&object->count);
        object = realloc(object, 100000);
        for (long i = 0; i < 100; i++)
            take(&object->count);
        printf("{\"code\": %d, \"final\": 2}\n", code);
        free(beside);
    } else if (strcmp(mode, "unmapped") == 0) {
        long *count = a_mapping(NULL);
        code |= heapsake_watch_counter(count, sizeof *count);
        take(count);
        munmap(count, 4096);
        a_mapping(count);
        for (long i = 0; i < 100; i++)
            take(count);
        printf("{\"code\": %d, \"final\": 1}\n", code);
    } else if (strcmp(mode, "most") == 0) {
        static long counters[5];
        int codes[5];
        for (unsigned i = 0; i < 5; i++)
            codes[i] = heapsake_watch_counter(&counters[i], sizeof counters[i]);
        int again = heapsake_watch_counter(&counters[0], sizeof counters[0]), gone = heapsake_unwatch(&counters[1]);
        int freed = heapsake_watch_counter(&counters[4], sizeof counters[4]), missing = heapsake_unwatch(&counters[1]);
        for (unsigned i = 0; i < 5; i++)
            take(&counters[i]);
        printf("{\"codes\": [%d, %d, %d, %d, %d], \"again\": %d, \"gone\": %d, \"freed\": %d, \"missing\": %d}\n",
               codes[0], codes[1], codes[2], codes[3], codes[4], again, gone, freed, missing);
    } else if (strcmp(mode, "wrong") == 0) {
        printf("{\"codes\": [%d, %d, %d, %d, %d]}\n", heapsake_watch_counter(NULL, 8),
               heapsake_watch_counter(&object->count, 3), heapsake_watch_counter((char *)&object->count + 1, 8),
               heapsake_watch(&object->count), heapsake_unwatch(&object->count));
    } else if (strcmp(mode, "fork") == 0) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            for (long i = 0; i < 50; i++)
                take(&object->count);
            long *own = calloc(1, sizeof *own);
            int child_code = heapsake_watch_counter(own, sizeof *own);
            take(own);
            fprintf(stderr, "%d %d\n", (int)getpid(), child_code);
            _exit(0);
        }
        waitpid(child, NULL, 0);
        take(&object->count);
        printf("{\"code\": %d, \"final\": %ld}\n", code, object->count);
    } else if (strcmp(mode, "closed") == 0) {
        take(&object->count);
        for (int fd = 3; fd < 4096; fd++)
            close(fd);
        int strangers[1200], count = 0;
        while (count < 1200 && (strangers[count] = open("/dev/null", O_RDONLY)) >= 0)
            count++;
        take(&object->count); /* nobody sees it */
        long *other = calloc(1, sizeof *other);
        int again = heapsake_watch_counter(other, sizeof *other);
        take(other);
        int there = 0;
        for (int i = 0; i < count; i++)
            there += fcntl(strangers[i], F_GETFD) >= 0;
        printf("{\"code\": %d, \"again\": %d, \"count\": %d, \"there\": %d}\n", code, again, count, there);
    } else if (strcmp(mode, "blocked") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, all_blocked, NULL);
        pthread_join(thread, NULL);
        take(&object->count);
        printf("{\"code\": %d, \"final\": %ld}\n", code, object->count);
    } else if (strcmp(mode, "alternate") == 0) {
        pthread_t thread;
        void *written;
        pthread_create(&thread, NULL, on_alternate, NULL);
        pthread_join(thread, &written);
        printf("{\"code\": %d, \"final\": %ld, \"written_below\": %ld}\n", code, object->count, (long)written);
    } else if (strcmp(mode, "cold") == 0 || strcmp(mode, "hits") == 0) {
        long other = 0, *count = mode[0] == 'c' ? &other : &object->count;
        double began = seconds();
        for (long i = 0; i < rounds; i++)
            take(count);
        printf("{\"code\": %d, \"nanoseconds\": %.2f}\n", code, (seconds() - began) * 1e9 / (double)rounds);
    }
    return 0;
}
