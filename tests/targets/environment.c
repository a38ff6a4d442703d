/*
 * environment.c - prints its environment after having used it in every way while commands of system() were running.
 *
 * Commands that end when a pipe is closed make the order certain: each thread has one pipe.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct command {
    pthread_t thread;
    int started[2], until[2];
};

/* Says that it has started, and waits until the other end is closed. */
static void *run(void *argument)
{
    struct command *command = argument;
    char text[200];
    snprintf(text, sizeof text, "echo >/proc/self/fd/%d; read line </proc/self/fd/%d; exit 3", command->started[1],
             command->until[0]);
    int status = system(text);
    return (void *)(long)WEXITSTATUS(status);
}

static void begin(struct command *command)
{
    char byte;
    if (pipe(command->started) || pipe(command->until) || fcntl(command->until[1], F_SETFD, FD_CLOEXEC))
        abort();
    if (pthread_create(&command->thread, NULL, run, command) || read(command->started[0], &byte, 1) != 1)
        abort();
}

static void end(struct command *command)
{
    void *status;
    close(command->until[1]);
    pthread_join(command->thread, &status);
    printf("status %ld\n", (long)status);
}

static void show(const char *when)
{
    printf("%s:", when);
    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, "HEAPSAKE_O", 10) != 0) /* what the user of a bare LD_PRELOAD has set */
            printf(" %s", *entry);
    putchar('\n');
    fflush(stdout);
}

static void in_child(const char *when)
{
    pid_t child = fork();
    if (child == 0) {
        show(when);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void)
{
    static struct command first, second;
    setenv("KEPT", "1", 1);
    setenv("CHANGED", "before", 1);
    setenv("REMOVED", "before", 1);

    begin(&first);
    begin(&second);
    in_child("child");
    setenv("CHANGED", "after", 1);
    unsetenv("REMOVED");
    end(&first);
    end(&second);
    show("changed");

    begin(&first);
    begin(&second);
    end(&first);
    setenv("ADDED", "new", 1);
    end(&second);
    show("added");

    begin(&first);
    void *status; /* joined before the pipe is closed: the command must not end by itself meanwhile */
    pthread_cancel(first.thread);
    pthread_join(first.thread, &status);
    close(first.until[1]);
    puts(status == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
    show("cancelled");

    for (int i = 0; i < 3; i++)
        if (system("exit 4") >> 8 != 4)
            abort();
    show("last");
    return 0;
}
