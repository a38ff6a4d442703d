/*
 * threads.c - many threads that all allocate and all live: what does each further one cost?
 *
 *   threads COUNT    prints its own memory while all of them live
 */
#include <pthread.h>
#include <stdlib.h>

#include "own_memory.h"

/* More than any ring holds, so that every page of every ring has been touched. */
#define PAIRS 20000

static pthread_barrier_t worked, measured;

static void *work(void *unused)
{
    (void)unused;
    for (int i = 0; i < PAIRS; i++) {
        void *volatile block = malloc(32 + i % 64);
        free(block);
    }
    pthread_barrier_wait(&worked);
    pthread_barrier_wait(&measured);
    return NULL;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t *threads = calloc((size_t)count + 1, sizeof *threads);
    pthread_barrier_init(&worked, NULL, (unsigned)count + 1);
    pthread_barrier_init(&measured, NULL, (unsigned)count + 1);
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    pthread_barrier_wait(&worked);
    print_own_memory();
    pthread_barrier_wait(&measured);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}
