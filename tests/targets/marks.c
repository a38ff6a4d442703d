/*
 * marks.c - programs that mark what they do. `marks MODE` prints JSON: what the calls have returned.
 *
 *   nested       regions in and beside each other, and marks
 *   threads N    N threads with a region each, which the main thread ends; what they pass on to each other is in order
 *   fork         a child that goes on with its parent's regions, and has its own
 *   exec SELF    the same, with an image that is executed
 *   names N      N different names, and long ones
 *   snapshot N   so many, each followed by a mark; in two threads at once
 *   kill         prints its pid, waits for a line, and takes snapshots until one fails
 *   calm         marks all the time until a line comes; says how often it was traced, and not
 */
#include <heapsake/heapsake.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "truth.h"

enum { SIZE = 5003 };

static void *volatile kept[64];

static void keep(unsigned count)
{
    static unsigned used;
    while (count--)
        kept[used++ % 64] = malloc(SIZE);
}

/* ---- nested ---- */

static void nested(void)
{
    int traced = heapsake_tracing(), outer = heapsake_region_begin("outer", 0);
    keep(1);
    int inner = heapsake_region_begin("inner \x1b[31m\xff", HEAPSAKE_ALL_THREADS);
    keep(2);
    int first = heapsake_mark("middle"), ended = heapsake_region_end(outer);
    keep(4);
    heapsake_region_end(inner);
    int again = heapsake_region_end(inner), open = heapsake_region_begin("open", 0);
    heapsake_mark("middle");
    keep(8);
    print_line(
        "{\"traced\": %d, \"outer\": %d, \"mark\": %d, \"ended\": %d, \"again\": %d, \"open\": %d, \"flags\": %d, "
        "\"none\": %d, \"negative\": %d, \"flush\": %d}",
        traced, outer > 0, first, ended, again, open > inner, heapsake_region_begin("x", 6), heapsake_region_end(0),
        heapsake_region_end(HEAPSAKE_NOT_TRACED), heapsake_flush());
}

/* ---- threads ---- */

enum { TURNS = 200 };
static pthread_barrier_t all_begun;
static _Atomic int turn;
static int thread_count;
static int regions[16];

static void *in_thread(void *context)
{
    int number = (int)(size_t)context;
    char name[32];
    snprintf(name, sizeof name, "thread %d", number);
    regions[number] = heapsake_region_begin(name, 0);
    pthread_barrier_wait(&all_begun);
    /* One after the other: each begins a region of all threads, which the next one ends after a block of its own. */
    static int passed_on;
    for (;;) {
        int now = turn;
        if (now >= TURNS)
            return NULL;
        if (now % thread_count != number) {
            sched_yield();
            continue;
        }
        free(malloc(SIZE));
        if (passed_on)
            heapsake_region_end(passed_on);
        free(malloc(SIZE + 1));
        passed_on = heapsake_region_begin("passed on", HEAPSAKE_ALL_THREADS);
        turn = now + 1;
    }
}

static void threads(int count)
{
    pthread_t thread[16];
    thread_count = count;
    pthread_barrier_init(&all_begun, NULL, (unsigned)count);
    for (int i = 0; i < count; i++)
        pthread_create(&thread[i], NULL, in_thread, (void *)(size_t)i);
    for (int i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < count; i++)
        heapsake_region_end(regions[i]);
    print_line("{\"turns\": %d}", TURNS);
}

/* ---- fork and exec ---- */

static void forks(void)
{
    int region = heapsake_region_begin("before", HEAPSAKE_ALL_THREADS);
    keep(1);
    pid_t child = fork();
    if (child == 0) {
        int ended = heapsake_region_end(region), own = heapsake_region_begin("child", 0);
        keep(2);
        heapsake_region_end(own);
        int snapshot = heapsake_snapshot(), flush = heapsake_flush();
        print_line("{\"pid\": %d, \"ended\": %d, \"own\": %d, \"snapshot\": %d, \"flush\": %d}", (int)getpid(), ended,
                   own > region, snapshot, flush);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    keep(4);
    heapsake_region_end(region);
    heapsake_mark("parent");
}

/* ---- names ---- */

static void names(int count)
{
    char name[10000];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "name %d", i);
        heapsake_mark(name);
    }
    memset(name, 'x', sizeof name);
    name[4096] = '\0';
    heapsake_mark(name);
    name[4096] = 'y';
    name[4097] = '\0';
    heapsake_mark(name);
    name[4096] = 'z';
    heapsake_mark(name);
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xb6", 2); /* characters of two bytes */
    name[sizeof name - 1] = '\0';
    heapsake_mark(name);
    heapsake_mark("");
    print_line("{\"flush\": %d}", heapsake_flush());
}

/* ---- snapshots ---- */

static int snapshots_taken[2][64];

static void *take_snapshots(void *context)
{
    int *taken = context, count = taken[0];
    for (int i = 0; i < count; i++)
        if ((taken[i] = heapsake_snapshot()) > 0)
            heapsake_mark("taken");
    return NULL;
}

static void snapshots(int count)
{
    pthread_t thread;
    snapshots_taken[0][0] = snapshots_taken[1][0] = count;
    pthread_create(&thread, NULL, take_snapshots, snapshots_taken[1]);
    take_snapshots(snapshots_taken[0]);
    pthread_join(thread, NULL);
    char text[2048];
    size_t at = 0;
    for (int i = 0; i < 2 * count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", i ? ", " : "", snapshots_taken[i % 2][i / 2]);
    print_line("[%s]", text);
}

static void until_killed(void)
{
    char line[8];
    int code, count = 0;
    print_line("%d", (int)getpid());
    if (read(STDIN_FILENO, line, sizeof line) < 1)
        return;
    while ((code = heapsake_snapshot()) > 0)
        if (++count == 3)
            print_line("taking");
    print_line("{\"code\": %d, \"flush\": %d, \"mark\": %d, \"tracing\": %d}", code, heapsake_flush(),
               heapsake_mark("x"), heapsake_tracing());
}

static void calm(void)
{
    long traced = 0, not_traced = 0;
    print_line("%d", (int)getpid());
    struct pollfd line = {.fd = STDIN_FILENO, .events = POLLIN};
    while (poll(&line, 1, 1) == 0) {
        int region = heapsake_region_begin("calm", 0);
        free(malloc(SIZE));
        heapsake_region_end(region);
        *(heapsake_mark("calm") == 0 ? &traced : &not_traced) += 1;
    }
    print_line("{\"traced\": %ld, \"not_traced\": %ld, \"at_the_end\": %d}", traced, not_traced, heapsake_tracing());
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(mode, "nested") == 0) {
        nested();
    } else if (strcmp(mode, "threads") == 0) {
        threads(count);
    } else if (strcmp(mode, "fork") == 0) {
        forks();
    } else if (strcmp(mode, "exec") == 0) {
        heapsake_region_begin("before", 0);
        execl(argv[2], argv[2], "nested", (char *)NULL);
    } else if (strcmp(mode, "names") == 0) {
        names(count);
    } else if (strcmp(mode, "snapshot") == 0) {
        snapshots(count);
    } else if (strcmp(mode, "kill") == 0) {
        until_killed();
    } else if (strcmp(mode, "calm") == 0) {
        calm();
    } else {
        return 2;
    }
    return 0;
}
