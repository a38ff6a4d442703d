/*
 * touched.c - a program with much memory in use: how long does a snapshot stop it?
 *
 *   touched MIB           allocates and writes MIB mebibytes, then ends
 *   touched MIB fork      ... clones itself as a snapshot does, and says the seconds that it took
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 1024;
    char *volatile *blocks = malloc((size_t)count * sizeof *blocks);
    for (long i = 0; blocks && i < count; i++)
        if ((blocks[i] = malloc(1 << 20)))
            memset(blocks[i], 1, 1 << 20);
    if (argc > 2) {
        double begin = seconds();
        long child = syscall(SYS_clone, 0, 0, 0, 0, 0);
        if (child == 0)
            _exit(0);
        double end = seconds();
        waitpid((pid_t)child, NULL, __WCLONE);
        printf("%.6f\n", end - begin);
    }
    return !blocks;
}
