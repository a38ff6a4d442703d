/*
 * modules_come.c - threads that open and close modules, beside others that allocate.
 *
 * usage: modules_come SECONDS MODULE... Two threads open each other one of the modules, and close them again, round by
 * round; others allocate blocks of the loader's entries' size, and write into them. At the end prints {"rounds": N}.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

#include "truth.h"

#define MOST 1000
#define BLOCKS 64
#define THREADS 8

static char **paths;
static int count;
static _Atomic int ending;
static _Atomic long rounds;

static void *open_and_close(void *first)
{
    static void *modules[MOST];
    while (!ending) {
        for (long i = (long)first; i < count; i += 2)
            CHECK((modules[i] = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL)) != NULL);
        for (long i = (long)first; i < count; i += 2)
            CHECK(dlclose(modules[i]) == 0);
        rounds++;
    }
    return NULL;
}

static void *allocate(void *seed)
{
    unsigned random = (unsigned)(long)seed;
    while (!ending) {
        void *blocks[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            size_t size = 900 + (size_t)(rand_r(&random) % 600);
            CHECK((blocks[i] = malloc(size)) != NULL);
            memset(blocks[i], 0xee, size);
        }
        for (int i = 0; i < BLOCKS; i++)
            free(blocks[i]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    paths = argv + 2;
    count = argc - 2;
    CHECK(count >= 2 && count <= MOST);
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < 2 ? open_and_close : allocate, (void *)i) == 0);
    usleep((useconds_t)(atof(argv[1]) * 1e6));
    ending = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    print_line("{\"rounds\": %ld}", rounds);
    return 0;
}
