/*
 * small_stacks.c - a program whose threads have little stack left when a snapshot is taken; below it lies a page that
 * nobody may touch.
 *
 * thread   a thread with the smallest stack that there is allocates until a line comes on standard input
 * handler  a signal handler on an alternate stack of 8 KiB ends the program with status 7
 */
#include "truth.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define GUARD 4096u
#define THREAD_STACK 16384u
#define SIGNAL_STACK 8192u

static _Atomic int done;

static char *stack_new(size_t size)
{
    char *memory = mmap(NULL, GUARD + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0)
        abort();
    return memory + GUARD;
}

static void *allocate(void *unused)
{
    while (!done) {
        void *volatile block = malloc(100);
        free(block);
    }
    return unused;
}

static void run_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    char line[2];
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack_new(THREAD_STACK), THREAD_STACK) != 0 ||
        pthread_create(&thread, &attributes, allocate, NULL) != 0)
        abort();
    print_line("%d", (int)getpid());
    if (read(STDIN_FILENO, line, 1) < 0)
        abort();
    done = 1;
    pthread_join(thread, NULL);
}

static void on_signal(int number)
{
    (void)number;
    _exit(7);
}

static void run_handler(void)
{
    stack_t alternate = {.ss_sp = stack_new(SIGNAL_STACK), .ss_size = SIGNAL_STACK};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "thread"))
        run_thread();
    else if (argc == 2 && !strcmp(argv[1], "handler"))
        run_handler();
    else
        return 2;
    return 0;
}
