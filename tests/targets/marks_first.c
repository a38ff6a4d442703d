/* marks_first.c - threads whose first marks come at the same moment, a process for each round. Says how many were
 * refused. */
#include <heapsake/heapsake.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 30
#define THREADS 8

static atomic_int here, refused;

static void *thread(void *unused)
{
    atomic_fetch_add(&here, 1);
    while (atomic_load(&here) < THREADS)
        ;
    atomic_fetch_add(&refused, heapsake_mark("first") != 0);
    return unused;
}

int main(void)
{
    int rounds_refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[THREADS];
            for (int i = 0; i < THREADS; i++)
                pthread_create(&threads[i], NULL, thread, NULL);
            for (int i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
            _exit(atomic_load(&refused) != 0);
        }
        int status;
        waitpid(child, &status, 0);
        rounds_refused += status != 0;
    }
    printf("{\"rounds refused\": %d}\n", rounds_refused);
    return 0;
}
