/* console.c - console MODE: standard streams, waiting, and signals from outside. */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "truth.h"

static volatile sig_atomic_t caught[65];
static void on_signal(int number) { caught[number]++; }

static void copy(void) /* standard input to standard output, word for word */
{
    char buffer[4096];
    ssize_t length;
    while ((length = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        CHECK(write(STDOUT_FILENO, buffer, (size_t)length) == length);
    free(malloc(10));
    dprintf(STDERR_FILENO, "copied\n");
}

static void wait_for_end(void) /* says "ready", then lives until a signal ends it */
{
    free(malloc(10));
    print_line("ready");
    for (;;)
        pause();
}

static void count_interrupts(void) /* says "ready"; SIGUSR1 makes it tell what it got, and go */
{
    for (int number = 1; number < 65; number++) {
        struct sigaction action = {.sa_handler = on_signal};
        if (number != SIGKILL && number != SIGSTOP && number != SIGSEGV)
            sigaction(number, &action, NULL);
    }
    sigset_t all, before;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, &before) == 0);
    print_line("ready");
    while (!caught[SIGUSR1])
        sigsuspend(&before);
    print_line("{\"interrupts\": %d, \"terminations\": %d, \"hangups\": %d, \"windows\": %d}", (int)caught[SIGINT],
               (int)caught[SIGTERM], (int)caught[SIGHUP], (int)caught[SIGWINCH]);
    exit(3);
}

static void tick(void) /* allocates and prints a number, a hundred times a second, until a signal ends it */
{
    for (long i = 0;; i++) {
        free(malloc(100));
        print_line("%ld", i);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
#define MODE(name) {#name, name}
    MODE(copy), MODE(wait_for_end), MODE(count_interrupts), MODE(tick),
};

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    alarm(120); /* whatever happens, it goes */
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    CHECK(!"an unknown mode");
}
