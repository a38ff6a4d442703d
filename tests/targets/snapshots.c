/*
 * snapshots.c - what a snapshot of a C program must find, and what the program must not notice of it.
 *
 * graph MODE    blocks whose sizes say where they are pointed to from; ends by return, exit() or _exit(), as MODE says
 * quiet SECONDS allocates and frees while snapshots are taken; says what it saw of them
 */
#include "truth.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

enum {
    SIZE_GLOBAL = 3001,    /* a global points to its start                                 */
    SIZE_STATIC = 3002,    /* a static variable of a function                              */
    SIZE_INTERIOR = 3003,  /* a global points into it                                      */
    SIZE_CHAINED = 3004,   /* the global's block points to it                              */
    SIZE_LOST = 3005,      /* nothing points to it                                         */
    SIZE_LOST_HEAD = 3006, /* nothing points to it, it points to the next one              */
    SIZE_LOST_TAIL = 3007,
    SIZE_LOCAL = 3008,        /* a local variable of main()                                   */
    SIZE_THREAD_STACK = 3009, /* a local variable of a thread that sleeps                    */
    SIZE_THREAD_TLS = 3010,
    SIZE_THREAD_KEY = 3011, /* pthread_setspecific                                         */
    SIZE_MAIN_TLS = 3012,
    SIZE_MAIN_KEY = 3013,
    SIZE_ENDED = 3014,      /* thread-local of a thread that has ended: lost                 */
    SIZE_MAPPED = 3015,     /* a mapping of the program points to it                          */
    SIZE_UNREADABLE = 3016, /* so does one that cannot be read any more: lost                   */
};

void *global;
char *interior;
static _Thread_local void *volatile local_to_thread;
static pthread_key_t key;
static int asleep[2];
static pid_t sleeper_tid;

/* Out of line, so that no copy of the pointer stays in the caller's registers or frame. */
static __attribute__((noinline)) void *block(size_t size)
{
    char *made = malloc(size);
    memset(made, 0, size);
    return made;
}

static __attribute__((noinline)) void wipe_stack(void)
{
    volatile char room[16384];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 0;
}

static __attribute__((noinline)) void lose(void)
{
    void *volatile lost = block(SIZE_LOST);
    void **volatile head = block(SIZE_LOST_HEAD);
    *head = block(SIZE_LOST_TAIL);
    lost = NULL;
    head = NULL;
    (void)lost;
}

static __attribute__((noinline)) void hold_in_mappings(void)
{
    void **readable = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void **closed = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    readable[5000] = block(SIZE_MAPPED);
    closed[5000] = block(SIZE_UNREADABLE);
    mprotect(closed, 65536, PROT_NONE);
}

static void *sleeper(void *unused)
{
    (void)unused;
    void *volatile local = block(SIZE_THREAD_STACK);
    local_to_thread = block(SIZE_THREAD_TLS);
    pthread_setspecific(key, block(SIZE_THREAD_KEY));
    sleeper_tid = (pid_t)syscall(SYS_gettid);
    if (write(asleep[1], "x", 1) != 1)
        abort();
    for (;;)
        pause();
    return local;
}

static void *ended(void *unused)
{
    (void)unused;
    local_to_thread = block(SIZE_ENDED);
    return NULL;
}

static void wait_for_sleeper(void)
{
    char byte;
    if (read(asleep[0], &byte, 1) != 1)
        abort();
    /* It has written; it is asleep when the kernel says that it is in pause(). */
    char path[64], state[16];
    do {
        snprintf(path, sizeof path, "/proc/self/task/%d/syscall", sleeper_tid);
        int fd = open(path, O_RDONLY);
        ssize_t got = read(fd, state, sizeof state - 1);
        close(fd);
        state[got > 0 ? got : 0] = '\0';
    } while (atoi(state) != SYS_pause);
}

static int graph(const char *mode)
{
    static void *kept;
    if (pipe(asleep) != 0 || pthread_key_create(&key, NULL) != 0)
        return 1;
    global = block(SIZE_GLOBAL);
    *(void **)global = block(SIZE_CHAINED);
    kept = block(SIZE_STATIC);
    __asm__ volatile("" : : "r"(&kept) : "memory");
    interior = (char *)block(SIZE_INTERIOR) + 1000;
    lose();
    hold_in_mappings();
    void *volatile local = block(SIZE_LOCAL);
    local_to_thread = block(SIZE_MAIN_TLS);
    pthread_setspecific(key, block(SIZE_MAIN_KEY));
    pthread_t thread;
    pthread_create(&thread, NULL, ended, NULL);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, sleeper, NULL);
    wait_for_sleeper();
    wipe_stack();
    if (!strcmp(mode, "exit"))
        exit(3);
    if (!strcmp(mode, "_exit"))
        _exit(3);
    return local ? 3 : 4;
}

static volatile sig_atomic_t children_signalled, forks_noticed;
static void on_child(int number)
{
    (void)number;
    children_signalled++;
}
static void on_fork(void)
{
    forks_noticed++;
}

static int quiet(double seconds)
{
    signal(SIGCHLD, on_child);
    pthread_atfork(on_fork, on_fork, on_fork);
    struct timespec now, begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    long waited = 0;
    void *keep[1000] = {0};
    do {
        for (unsigned i = 0; i < 1000; i++) {
            free(keep[i]);
            keep[i] = malloc(100 + i);
        }
        if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
            waited++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 < seconds);
    char line[128];
    int length = snprintf(line, sizeof line, "{\"children\": %ld, \"signals\": %d, \"forks\": %d}\n", waited,
                          (int)children_signalled, (int)forks_noticed);
    return write(1, line, (size_t)length) == length ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "quiet"))
        return quiet(atof(argv[2]));
    return graph(argc > 2 ? argv[2] : "return");
}
