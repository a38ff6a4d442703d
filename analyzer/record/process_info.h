/*
 * process_info.h - what /proc tells about a process that is saying hello and waits for the answer.
 */
#ifndef HEAPSAKE_RECORD_PROCESS_INFO_H
#define HEAPSAKE_RECORD_PROCESS_INFO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* Appends PROCESS fields: pid, parent, arguments, executable, folder, environment's names, host. */
void process_info_fields(struct buf *fields, pid_t pid, pid_t *parent);

/* The parent of a process, 0 when unknown. */
pid_t process_info_parent(pid_t pid);

/* As ps would say it: 'R', 'S', 'T', 'Z' and so on; 0 when there is no such process. */
char process_info_state(pid_t pid);

/* Does its parent hear of its end? Not so of a clone without a signal. */
bool process_info_is_waited_for(pid_t pid);

/* The last part of the executable's name, for file names; "program" when it is not known. */
void process_info_name(pid_t pid, char *name, size_t size);

/* Does it run the same executable file as we do? */
bool process_info_is_heapsake(pid_t pid);

/* Seconds since it has started; 0 when unknown. */
double process_info_age(pid_t pid);

/* Resident bytes, 0 when unknown. */
uint64_t process_info_resident(pid_t pid);

/* How many times that thread of it has gone to sleep, 0 when unknown. A stop by ptrace counts as one. */
uint64_t process_info_sleeps(pid_t pid, int tid);
/* Since when its first thread has done so no more: it sleeps since then, if it sleeps. All zero: never looked at. */
struct asleep {
    uint64_t sleeps;
    uint64_t since_ns; /* CLOCK_MONOTONIC */
};

/* The wait status of a process that has ended, if the kernel tells it to others than its parent; -1: not. */
int process_info_wait_status(pid_t pid, int pidfd);

#endif
