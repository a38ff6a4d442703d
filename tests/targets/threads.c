/* threads.c - threads MODE N: allocations that cross threads, and threads that come and go. Prints its truth. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "truth.h"

enum { QUEUE = 64, MARK = 7013 /* a size that nothing else asks for */ };

static struct truth truth;
static pthread_attr_t small;

static void start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    CHECK(pthread_create(thread, &small, run, argument) == 0);
}

/*
 * Handover: one thread allocates, the other frees at once, so that the very same
 * addresses go round between them as fast as they can.
 */
static _Atomic(void *) queue[QUEUE];
static long handovers;

/* Spins, but not for whole slices of time while the other one waits for a processor. */
static void wait_a_little(unsigned *spins)
{
    if (++*spins % 1024 == 0)
        sched_yield();
}

static void *producer(void *unused)
{
    unsigned spins = 0;
    (void)unused;
    for (long i = 0; i < handovers; i++) {
        void *block = malloc(48 + (size_t)(i & 1) * 16);
        CHECK(block);
        void *empty = NULL;
        while (!atomic_compare_exchange_weak(&queue[i % QUEUE], &empty, block)) {
            empty = NULL;
            wait_a_little(&spins);
        }
    }
    return NULL;
}

static void *consumer(void *unused)
{
    unsigned spins = 0;
    (void)unused;
    for (long i = 0; i < handovers; i++) {
        void *block;
        while (!(block = atomic_exchange(&queue[i % QUEUE], NULL)))
            wait_a_little(&spins);
        free(block);
    }
    return NULL;
}

static void handover(long n)
{
    pthread_t threads[2];
    handovers = n;
    start(&threads[0], producer, NULL);
    start(&threads[1], consumer, NULL);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    truth.malloc = (struct domain_truth){.allocations = n, .frees = n, .allocated_bytes = n / 2 * 16 + n * 48};
}

/* Everyone reallocs and frees blocks that others made, through shared slots. */
enum { EXCHANGERS = 4, SLOTS = 16 };
static _Atomic(void *) slots[SLOTS];
static _Atomic long long exchange_allocations, exchange_frees, exchange_bytes;

static void *exchanger(void *argument)
{
    unsigned seed = (unsigned)(size_t)argument * 7919 + 1;
    long long allocations = 0, frees = 0, bytes = 0;
    for (long i = 0; i < handovers; i++) {
        seed = seed * 1103515245 + 12345;
        size_t size = 24 + (seed >> 16) % 200;
        void *block = malloc(size);
        CHECK(block);
        allocations++;
        bytes += (long long)size;
        block = atomic_exchange(&slots[(seed >> 8) % SLOTS], block);
        if (!block)
            continue;
        if (seed & 0x10000) { /* someone else's block changes its size, often its place */
            block = realloc(block, size + 100);
            CHECK(block);
            frees++;
            allocations++;
            bytes += (long long)size + 100;
        }
        free(block);
        frees++;
    }
    exchange_allocations += allocations;
    exchange_frees += frees;
    exchange_bytes += bytes;
    return NULL;
}

static void exchange(long n)
{
    pthread_t threads[EXCHANGERS];
    handovers = n / EXCHANGERS;
    for (size_t i = 0; i < EXCHANGERS; i++)
        start(&threads[i], exchanger, (void *)i);
    for (int i = 0; i < EXCHANGERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < SLOTS; i++) {
        void *block = atomic_exchange(&slots[i], NULL);
        if (block) {
            free(block);
            exchange_frees++;
        }
    }
    truth.malloc = (struct domain_truth){
        .allocations = exchange_allocations, .frees = exchange_frees, .allocated_bytes = exchange_bytes};
    CHECK(exchange_allocations == exchange_frees);
}

/* One after the other; each dies with its last events still in its ring. */
static void *short_life(void *argument)
{
    void *kept = malloc(MARK);
    CHECK(kept);
    free(malloc(MARK + 1));
    *(void **)argument = kept;
    return NULL;
}

static void short_lived(long n)
{
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        void *kept = NULL;
        start(&thread, short_life, &kept);
        CHECK(pthread_join(thread, NULL) == 0);
        truth_alloc(&truth.malloc, MARK);
        truth_alloc(&truth.malloc, MARK + 1);
        truth_free(&truth.malloc, MARK + 1);
        if (i % 2) {
            free(kept);
            truth_free(&truth.malloc, MARK);
        }
    }
}

/* All of them live at the same time, and all allocate at the same moment. */
static pthread_barrier_t barrier;

static void *at_the_barrier(void *argument)
{
    void *blocks[50];
    (void)argument;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 50; i++)
        CHECK((blocks[i] = malloc(MARK)));
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 50; i++)
        free(blocks[i]);
    return NULL;
}

static void at_once(long n)
{
    static pthread_t threads[1000];
    CHECK(n <= 1000);
    if (!n)
        return;
    CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)n) == 0);
    for (long i = 0; i < n; i++)
        start(&threads[i], at_the_barrier, NULL);
    for (long i = 0; i < n; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    truth.malloc = (struct domain_truth){.allocations = 50 * n, .frees = 50 * n, .allocated_bytes = 50 * n * MARK};
}

/* The last free of a thread happens in a destructor of thread-specific data, when much of the thread is gone. */
static pthread_key_t key;

static void in_the_destructor(void *block)
{
    free(block);
    free(malloc(MARK));
}

static void *with_a_destructor(void *argument)
{
    (void)argument;
    void *block = malloc(MARK);
    CHECK(block && pthread_setspecific(key, block) == 0);
    pthread_exit(NULL);
}

static void destructors(long n)
{
    CHECK(pthread_key_create(&key, in_the_destructor) == 0);
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        start(&thread, with_a_destructor, NULL);
        CHECK(pthread_join(thread, NULL) == 0);
        for (int k = 0; k < 2; k++) {
            truth_alloc(&truth.malloc, MARK);
            truth_free(&truth.malloc, MARK);
        }
    }
}

/* Nobody joins these, and the process ends while the last may still be at it. */
static sem_t done;

static void *detached_life(void *argument)
{
    (void)argument;
    void *volatile kept = malloc(MARK);
    CHECK(kept);
    sem_post(&done);
    return NULL;
}

static void detached(long n)
{
    CHECK(sem_init(&done, 0, 0) == 0);
    CHECK(pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED) == 0);
    for (long i = 0; i < n; i++) {
        pthread_t thread;
        start(&thread, detached_life, NULL);
        while (sem_wait(&done))
            ;
        truth_alloc(&truth.malloc, MARK);
    }
}

static const struct mode modes[] = {
    {"handover", handover},       {"exchange", exchange},       {"short_lived", short_lived},
    {"at_once", at_once},         {"destructors", destructors}, {"detached", detached},
};

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 64 << 10) == 0);
    return truth_of_mode(modes, sizeof modes / sizeof modes[0], argv, &truth);
}
