/*
 * environment_loan.h - `environ` with our variables, for the time of a system() or popen().
 *
 * These two give their child `environ` itself, by calls inside libc that no hook sees. So while one of them runs,
 * `environ` is a completed copy. Several threads may be inside at once: the first lends, the last takes back.
 */
#ifndef HEAPSAKE_PRELOAD_ENVIRONMENT_LOAN_H
#define HEAPSAKE_PRELOAD_ENVIRONMENT_LOAN_H

/* Lends; each call is followed by one of environment_take_back(). Preserve errno, for any thread, not for handlers. */
void environment_lend(void);
/* What the program has set or unset meanwhile stays as it is now; our variables go. */
void environment_take_back(void);
/* In a forked child: the threads that had borrowed do not exist here, and take nothing back. */
void environment_loan_forked(void);

#endif
