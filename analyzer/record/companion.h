/*
 * companion.h - the recorder beside `heapsake run` or `heapsake attach`: its start, and what is said between the two.
 *
 * It is a child in a session of its own. Both talk over a pair of sockets (enum control_kind in recorder.h).
 */
#ifndef HEAPSAKE_RECORD_COMPANION_H
#define HEAPSAKE_RECORD_COMPANION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "record/recorder.h"

struct companion {
    pid_t recorder;
    int control_fd; /* -1: closed */
    char session[SESSION_NAME_BYTES];
    char *file; /* the trace, once that is READY; the caller frees it */
};

/* In the recorder's process, which keeps nothing of the terminal, of the caller's pipes and of its descriptors but
 * those of `kept`, which are put in order; all are above the standard streams' numbers. */
void companion_leave_surroundings(int *kept, size_t count);

/* Starts a recorder, which listens in options->network, too, where that is given. 0 or a negative errno. */
int companion_start(struct companion *companion, const struct recorder_options *options);

/*
 * Asks it whether the trace can be written, by CONTROL_OPEN or CONTROL_PROGRAM, whose `value` is the pid. REFUSED and
 * RUN_UNTRACED have been said to the user, and the talk is over; `program_runs`: there is a program that then runs
 * untraced.
 */
enum readiness { READY, RUN_UNTRACED, REFUSED };
enum readiness companion_ask(struct companion *companion, enum control_kind kind, pid_t value, bool program_runs);

/* Tells it something. It may have died, which is noticed elsewhere. */
void companion_tell(int control_fd, enum control_kind kind, int value);

/* What it has said so far; all zero at first. */
struct companion_words {
    bool told;          /* the closing screen is whole                                              */
    bool not_left;      /* the program was attached to, and could not be left                        */
    bool untraced;      /* the library was never loaded into the program                            */
    bool taken;         /* another recorder traces the program that was to be attached to           */
    int attach_state;   /* enum hs_attach_state                                                     */
    struct buf followed; /* pids of other processes that are traced by now, a pid_t each             */
    struct buf closing; /* the closing screen                                                       */
    char *causes;       /* a trace whose leaks can be told in a moment, or NULL                      */
};
/* Takes one message, if there is one, without waiting; lines for the user are printed. 1: taken; 0: there is none; -1:
 * it has hung up. */
int companion_listen(int control_fd, struct companion_words *words);
void companion_words_free(struct companion_words *words);

/* Prints the closing screen on standard error, with the first leaks above its last line. `mask`: the signal mask of
 * whoever runs us. */
void companion_print_screen(const struct companion_words *words, const sigset_t *mask);

#endif
