/*
 * injectees.c - works in one of many ways while functions are called inside it, and checks itself all the time.
 *
 * usage: injectees KIND. Prints its pid, works until its standard input ends, and prints how often it has done it.
 */
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "truth.h"

#define THREADS 4

static volatile int over;
static long rounds;

/* Whether standard input is at its end. */
static int told_to_stop(int wait_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = poll(&input, 1, wait_ms);
    CHECK(ready >= 0);
    return ready > 0;
}

/* Integers, flags, floating point and the red zone: a leaf. The same for the same seed. */
__attribute__((noinline, optimize("O2"))) static uint64_t mixed(uint64_t seed)
{
    uint64_t words[8] = {seed, 1, 2, 3, 4, 5, 6, 7};
    double x = 1.5, y = 0.25;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t a = words[i & 7], b;
        /* a carry that lives over several instructions */
        __asm__("addq %2, %0\n  adcq $0, %1\n  rclq $7, %0"
                : "+r"(a), "=r"(b)
                : "r"(seed), "1"(words[(i + 3) & 7])
                : "cc");
        words[(i + 1) & 7] ^= a * UINT64_C(0x9e3779b97f4a7c15) + b;
        x = x * 1.0000001 + y;
        y = y * 0.9999 + 1.0 / (1.0 + x);
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    for (int i = 0; i < 8; i++)
        bits = bits * 31 + words[i];
    return bits;
}

static void *compute(void *unused)
{
    uint64_t expected = mixed(42);
    while (!over) {
        CHECK(mixed(42) == expected);
        __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    }
    return unused;
}

static void *allocate(void *context)
{
    uint32_t random = (uint32_t)(uintptr_t)context * 2654435761u + 1;
    struct {
        unsigned char *bytes;
        size_t size;
    } kept[64] = {0};
    while (!over) {
        random = random * 1664525 + 1013904223;
        unsigned i = random >> 26;
        if (kept[i].bytes) {
            CHECK(kept[i].bytes[0] == (unsigned char)i && kept[i].bytes[kept[i].size - 1] == (unsigned char)i);
            free(kept[i].bytes);
        }
        kept[i].size = (random >> 8) % (i == 7 ? 300000 : 3000) + 1;
        kept[i].bytes = malloc(kept[i].size);
        CHECK(kept[i].bytes);
        kept[i].bytes[0] = kept[i].bytes[kept[i].size - 1] = (unsigned char)i;
        __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < 64; i++)
        free(kept[i].bytes);
    return NULL;
}

static void *load(void *unused)
{
    while (!over) {
        void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
        CHECK(library);
        double (*cosine)(double) = (double (*)(double))dlsym(library, "cos");
        CHECK(cosine && cosine(0) == 1);
        CHECK(dlclose(library) == 0);
        rounds++;
    }
    return unused;
}

static void *nothing(void *context)
{
    return context;
}

static void *make_threads(void *unused)
{
    while (!over) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, nothing, &rounds) == 0);
        CHECK(pthread_join(thread, &result) == 0 && result == &rounds);
        rounds++;
    }
    return unused;
}

/* On a stack of 16 or 64 KiB, behind which there are bytes that must not change. */
static void small_stack(size_t bytes)
{
    enum { GUARDED = 65536 };
    unsigned char *memory = mmap(NULL, bytes + GUARDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 0x5a, GUARDED);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, memory + GUARDED, bytes) == 0);
    CHECK(pthread_create(&thread, &attributes, compute, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    for (size_t i = 0; i < GUARDED; i++)
        CHECK(memory[i] == 0x5a);
}

static void *stop_later(void *unused)
{
    CHECK(told_to_stop(-1));
    over = 1;
    return unused;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    const char *kind = argv[1];
    pthread_t threads[THREADS];
    void *(*work)(void *) = strcmp(kind, "malloc") == 0    ? allocate
                            : strcmp(kind, "loader") == 0  ? load
                            : strcmp(kind, "threads") == 0 ? make_threads
                                                           : compute;
    print_line("%d", (int)getpid());
    if (strcmp(kind, "busy") == 0) { /* one thread alone */
        uint64_t expected = mixed(42);
        for (; !told_to_stop(0); rounds++)
            CHECK(mixed(42) == expected);
    } else {
        pthread_t timer;
        CHECK(pthread_create(&timer, NULL, stop_later, NULL) == 0);
        if (strncmp(kind, "stack", 5) == 0) {
            small_stack((size_t)atoi(kind + 5) << 10);
        } else {
            unsigned count = strcmp(kind, "malloc") == 0 ? THREADS : 1;
            for (unsigned i = 1; i < count; i++)
                CHECK(pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)i) == 0);
            work(NULL);
            for (unsigned i = 1; i < count; i++)
                CHECK(pthread_join(threads[i], NULL) == 0);
        }
        CHECK(pthread_join(timer, NULL) == 0);
    }
    print_line("{\"rounds\": %ld}", rounds);
    return 0;
}
