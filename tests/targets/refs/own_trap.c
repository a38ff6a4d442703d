/*
 * own_trap.c - a program with uses of SIGTRAP of its own. Prints what it has seen; nothing of it may change when
 * counters are watched. With a counter to watch, it is written to all the while.
 *
 *   handler    a handler that counts: raise, int3, kill from another process
 *   info       one with SA_SIGINFO, a mask and SA_RESETHAND
 *   query      what sigaction and signal say
 *   ignored    SIG_IGN and raise
 *   default    dies of raise(SIGTRAP)
 *   breakpoint dies of int3
 *   ignored_breakpoint   dies of int3 though it is ignored
 *   wait       blocks it and waits for it with sigwait
 *   wait_all   blocks all signals, changes the counter, and waits for any
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../include/heapsake/heapsake.h"

static volatile long counter;
static volatile int handled, blocked_inside, code_seen;

static void on_trap(int number)
{
    handled += number == SIGTRAP;
}

static void on_info(int number, siginfo_t *info, void *context)
{
    sigset_t now;
    (void)context;
    handled += number == SIGTRAP;
    code_seen = info->si_code;
    sigprocmask(SIG_BLOCK, NULL, &now);
    blocked_inside = sigismember(&now, SIGUSR1) * 100 + sigismember(&now, SIGUSR2) * 10 + sigismember(&now, SIGTRAP);
}

static void set(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGTRAP, &action, NULL);
}

static void breakpoint(void)
{
    counter++;
    __asm__ volatile("int3");
    counter++;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "handler";
    heapsake_watch_counter((const void *)&counter, sizeof counter);
    counter++;
    if (strcmp(mode, "handler") == 0) {
        set(on_trap);
        raise(SIGTRAP);
        breakpoint();
        pid_t child = fork();
        if (child == 0) {
            kill(getppid(), SIGTRAP);
            _exit(0);
        }
        waitpid(child, NULL, 0);
        counter++;
        printf("handled %d\n", handled);
    } else if (strcmp(mode, "info") == 0) {
        struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | SA_RESETHAND}, now;
        sigemptyset(&action.sa_mask);
        sigaddset(&action.sa_mask, SIGUSR1);
        sigaction(SIGTRAP, &action, NULL);
        counter++;
        breakpoint();
        sigaction(SIGTRAP, NULL, &now);
        printf("handled %d, blocked %03d, code %d, default again %d\n", handled, blocked_inside, code_seen,
               now.sa_handler == SIG_DFL);
    } else if (strcmp(mode, "query") == 0) {
        struct sigaction now;
        sigaction(SIGTRAP, NULL, &now);
        int first = now.sa_handler == SIG_DFL;
        int second = signal(SIGTRAP, on_trap) == SIG_DFL, third = signal(SIGTRAP, SIG_IGN) == on_trap;
        sigaction(SIGTRAP, NULL, &now);
        counter++;
        printf("%d %d %d %d\n", first, second, third, now.sa_handler == SIG_IGN);
    } else if (strcmp(mode, "ignored") == 0) {
        set(SIG_IGN);
        raise(SIGTRAP);
        counter++;
        printf("alive\n");
    } else if (strcmp(mode, "default") == 0) {
        printf("now\n");
        fflush(stdout);
        raise(SIGTRAP);
        printf("never\n");
    } else if (strcmp(mode, "breakpoint") == 0 || strcmp(mode, "ignored_breakpoint") == 0) {
        if (mode[0] == 'i')
            set(SIG_IGN);
        printf("now\n");
        fflush(stdout);
        breakpoint();
        printf("never\n");
    } else if (strcmp(mode, "wait") == 0) {
        sigset_t set_of;
        int got = 0;
        sigemptyset(&set_of);
        sigaddset(&set_of, SIGTRAP);
        sigprocmask(SIG_BLOCK, &set_of, NULL);
        raise(SIGTRAP);
        sigwait(&set_of, &got);
        printf("got %d\n", got == SIGTRAP);
    } else if (strcmp(mode, "wait_all") == 0) {
        sigset_t all;
        siginfo_t info = {0};
        struct timespec moment = {.tv_nsec = 50000000};
        int got = 0;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        counter++;
        printf("timed %d\n", sigtimedwait(&all, &info, &moment));
        kill(getpid(), SIGUSR1);
        counter++;
        printf("info %d\n", sigwaitinfo(&all, &info) == SIGUSR1 && info.si_pid == getpid());
        kill(getpid(), SIGUSR2);
        counter++;
        printf("plain %d %d\n", sigwait(&all, &got), got == SIGUSR2);
    }
    return 0;
}
