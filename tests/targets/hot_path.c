/* hot_path.c - hot_path N: N allocations and frees; says how many calls reached the real allocator meanwhile (real_count.c). */
#include <dlfcn.h>
#include <pthread.h>

#include "truth.h"

static long n;

static void *work(void *unused)
{
    (void)unused;
    for (long i = 0; i < n; i++) {
        void *block = malloc(1 + (size_t)i % 900);
        block = realloc(block, 1000);
        free(block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    long long (*real_calls)(void) = (long long (*)(void))dlsym(RTLD_DEFAULT, "real_calls");
    CHECK(real_calls);
    n = atol(argv[1]);
    long long before = real_calls();
    work(NULL);
    long long alone = real_calls() - before;
    pthread_t thread; /* pthread_create makes calls of its own: counted from inside the thread's life by the caller */
    before = real_calls();
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0 && pthread_join(thread, NULL) == 0);
    long long threaded = real_calls() - before;
    print_line("{\"alone\": %lld, \"threaded\": %lld}", alone, threaded);
}
