/*
 * summon.h - being called by the recorder while the program sleeps.
 *
 * The recorder (analyzer/record/summons.c) stops one thread in a system call and sends it to summon_entry,
 * with the place to go back to on the stack, below the red zone. The entry saves everything that a thread has: flags,
 * general registers, and the extended state by xsave; it calls summoned(), puts everything back, and returns to where
 * the thread was. No signal frame is used, because sigreturn would lose the kernel's restart block of an interrupted
 * sleep; for the same reason nothing here may use a system call that makes such a block in the summoned thread
 * (nanosleep, poll, a futex with a timeout).
 *
 * A program without Python takes its snapshot right there. With Python a thread is started that takes the GIL, takes
 * the snapshot and ends; it is not waited for, records nothing of its own, and has all signals blocked.
 *
 * The thread may hold any lock that one may hold while one waits for something.
 */
#ifndef HEAPSAKE_PRELOAD_SUMMON_H
#define HEAPSAKE_PRELOAD_SUMMON_H

/* Tells the recorder where the entry is, if this machine and process allow it. From the constructor, and in a forked
 * child, once the session is on. */
void summon_offer(void);

#endif
