/*
 * childwait.h - `heapsake run` while its program runs: it waits, and is transparent.
 *
 * Signals sent to it alone go on to the program; those of the terminal have
 * reached the whole group already. When the program stops, so does it, and
 * when it is continued, so is the program.
 */
#ifndef HEAPSAKE_RECORD_CHILDWAIT_H
#define HEAPSAKE_RECORD_CHILDWAIT_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "record/companion.h"

/* Blocks all signals, so that none is lost between here and child_wait(). */
struct child_signals {
    sigset_t mask_before;
    bool child_ignored; /* SIGCHLD was ignored before */
    int fd;             /* signalfd                    */
};
int child_signals_take(struct child_signals *signals);

struct child_wait {
    struct child_signals *signals;
    pid_t program;
    pid_t recorder;               /* 0: none                                               */
    int control_fd;               /* -1: none                                              */
    int status;                   /* out: the program's wait status                          */
    bool lost;                    /* out: the recorder has died                              */
    struct companion_words words; /* out: the caller frees them                  */
};

/* Waits until the program has ended and the recorder has said the closing screen, or has died. */
void child_wait(struct child_wait *wait);

#endif
