/* signals.c - signals MODE N: handlers that allocate while the program does, in every way that libc itself allows. */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "truth.h"

enum { PAGE = 4096 };

static struct truth truth;
static volatile sig_atomic_t handled;
static struct domain_truth in_handler;

static void storm(void (*handler)(int), int microseconds)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval every = {{0, microseconds}, {0, microseconds}};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void calm(void)
{
    struct itimerval never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    signal(SIGALRM, SIG_IGN);
}

static void maps(int number) /* mmap may be called in a handler, whatever it interrupted */
{
    (void)number;
    int saved = errno;
    void *block = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block != MAP_FAILED) {
        truth_alloc(&in_handler, PAGE);
        truth_free(&in_handler, PAGE);
        munmap(block, PAGE);
    }
    handled++;
    errno = saved;
}

static void mallocs(int number) /* only where the program is not itself inside of malloc */
{
    (void)number;
    void *block = malloc(333);
    if (block) {
        truth_alloc(&in_handler, 333);
        truth_free(&in_handler, 333);
        free(block);
    }
    handled++;
}

static int enough(long n) { return handled >= n; }

static void storm_over_malloc(long n)
{
    if (n)
        storm(maps, 50);
    for (long i = 0; !enough(n); i++) {
        size_t bytes = 16 + (size_t)i % 500;
        void *block = malloc(bytes);
        CHECK(block);
        truth_alloc(&truth.malloc, bytes);
        truth_free(&truth.malloc, bytes);
        free(block);
    }
    calm();
    truth.mmap = in_handler;
}

static void storm_over_mmap(long n) /* the program maps, the handler mallocs */
{
    if (n)
        storm(mallocs, 50);
    while (!enough(n)) {
        void *block = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(block != MAP_FAILED);
        truth_alloc(&truth.mmap, PAGE);
        truth_free(&truth.mmap, PAGE);
        CHECK(munmap(block, PAGE) == 0);
    }
    calm();
    truth.malloc = in_handler;
}

static void storm_over_nothing(long n)
{
    volatile unsigned sum = 0;
    if (n)
        storm(mallocs, 50);
    while (!enough(n))
        sum += sum * 3 + 1;
    calm();
    truth.malloc = in_handler;
}

static void on_own_stack(long n) /* a handler on a stack that the tracer has never seen */
{
    static unsigned char memory[64 << 10];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = mallocs, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    for (long i = 0; i < n; i++)
        CHECK(raise(SIGUSR1) == 0);
    truth.malloc = in_handler;
}

static const struct mode modes[] = {
#define MODE(name) {#name, name}
    MODE(storm_over_malloc), MODE(storm_over_mmap), MODE(storm_over_nothing), MODE(on_own_stack),
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    return truth_of_mode(modes, sizeof modes / sizeof modes[0], argv, &truth);
}
