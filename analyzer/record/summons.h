/*
 * summons.h - a program that sleeps in a system call is made to call hs_session.summon_entry.
 *
 * One thread of the program that /proc shows blocked in a system call is seized by ptrace and interrupted; its
 * registers are changed so that it goes on at the entry, with the way back on its stack; and it is let go at once. From
 * then on the program needs nothing of us: whenever the recorder dies, the program is either untouched or finishes by
 * itself (preload/summon.h). The interrupted call begins anew, and its caller sees nothing.
 *
 * A summons is made by a thread of its own: ptrace calls are bound to a thread, and it may wait for the
 * program, which the drain must not.
 */
#ifndef HEAPSAKE_RECORD_SUMMONS_H
#define HEAPSAKE_RECORD_SUMMONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "record/process_info.h"

struct recorder;
struct summons;

enum summons_result {
    SUMMONS_UNDER_WAY = 0,
    SUMMONS_DONE = 1,    /* a thread has been sent to the entry                                */
    SUMMONS_AGAIN = 2,   /* no thread is at a place where it can be called: perhaps later        */
    SUMMONS_REFUSED = 3, /* the system does not let us                                         */
};

/* NULL: no thread could be had. */
struct summons *summons_begin(struct recorder *recorder, pid_t pid, uint64_t entry, struct asleep asleep);
/* How it stands. REFUSED fills `why`; DONE and AGAIN leave it alone. */
enum summons_result summons_result(struct summons *summons, char *why, size_t size);
/* Waits for its thread, a tenth of a second at most, and frees it. */
void summons_end(struct summons *summons);

#endif
