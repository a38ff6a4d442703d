/*
 * shared_signal.h - signals that the library handles in a program that may handle them, too.
 *
 * The kernel has our handler; what the program sets for that number is kept, given back by sigaction and signal, and
 * called behind ours for every signal that is not for us alone. For all other numbers the hooks of sigaction and signal
 * pass the call on.
 */
#ifndef HEAPSAKE_PRELOAD_SHARED_SIGNAL_H
#define HEAPSAKE_PRELOAD_SHARED_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

/*
 * What we want of a signal. `take` is called in the handler, must be async-signal-safe, and says whether the signal was
 * for us alone: then the program does not learn of it.
 *
 * `uninterrupted`: all signals are blocked while `take` runs, on the alternate stack where the thread has one; the
 * program's handler then gets the mask that it has asked for. Otherwise mask and stack are the program's from the
 * start.
 *
 * `default_kept`: where the program has no handler, what its disposition says happens: the default action, or nothing
 * when it ignores the signal. Otherwise nothing happens.
 */
struct shared_signal_use {
    bool (*take)(siginfo_t *info, void *context);
    bool (*waited)(siginfo_t *info); /* the same where the program has waited for it; NULL: it is the program's */
    bool uninterrupted;
    bool default_kept;
};

/* From now on; `use` stays. False: it is shared already, or cannot be had, and nothing has changed. */
bool shared_signal_start(int number, const struct shared_signal_use *use);

/*
 * The program's own again: the hooks keep nothing for it any more. `give_back`: the kernel gets what the program has
 * set, if our handler is still there; to be said when no signal of ours is on its way to any thread. Else the handler stays, and
 * passes on what is not for us alone. It can be shared again.
 */
void shared_signal_stop(int number, bool give_back);

/* Is there any? */
bool shared_signal_used(void);
/* The program has waited for a signal, blocked, and got it: was it for us alone, and is taken now? */
bool shared_signal_waited(int number, siginfo_t *info);

/* Is our handler still there? A program can set one without sigaction and signal (sigset, a system call). */
bool shared_signal_is_ours(int number);

#endif
