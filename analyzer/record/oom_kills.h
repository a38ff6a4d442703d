/*
 * oom_kills.h - was it the kernel that killed a process, for lack of memory?
 *
 * A SIGKILL does not say who sent it. There are two witnesses: the kernel's log, which names the victim's pid but is
 * for root's eyes (and in its own pids), and the counter oom_kill of the process's memory cgroup, which counts all its
 * victims. A rise of the counter that no other victim explains is one of ours:
 *
 *    counter   ───────3─────────────3──────────4──4───────▶      victims known meanwhile: none but this process
 *                     ▲ look        ▲ begin       ▲ death
 *
 * What is compared is the counter at the process's begin, or at a look that is LOOK_SECONDS old or older, whichever
 * came last: an old kill of somebody who was not traced must not accuse a process that an administrator kills hours
 * later.
 *
 * cgroup v2 (memory.events, memory.max) and v1 (memory.oom_control, memory.limit_in_bytes, memory.max_usage_in_bytes).
 * All functions may be called by any thread.
 */
#ifndef HEAPSAKE_RECORD_OOM_KILLS_H
#define HEAPSAKE_RECORD_OOM_KILLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct oom_kills;
struct oom_group; /* a memory cgroup, shared by its processes */

/* Of one process; all zero: nothing is known of it. */
struct oom_process {
    struct oom_group *group; /* owns a reference    */
    uint64_t begin_ns;       /* CLOCK_MONOTONIC      */
    uint64_t kills;          /* the counter then     */
};

/* `proc` is "/proc" and `log` "/dev/kmsg", but in tests. NULL when memory runs out; NULL is allowed below. */
struct oom_kills *oom_kills_new(const char *proc, const char *log);
void oom_kills_free(struct oom_kills *kills);

/* An image of the process begins, and it waits for us: it cannot die just now. An exec may follow a move to another
 * cgroup. */
void oom_process_begin(struct oom_kills *kills, struct oom_process *process, pid_t pid);
/* From time to time while it lives; most calls do nothing. now: nanoseconds of CLOCK_MONOTONIC. */
void oom_process_look(struct oom_kills *kills, const struct oom_process *process, uint64_t now);
/*
 * It has died of SIGKILL: by the kernel, for lack of memory? Then *limit is that of the cgroup whose memory had run
 * out, in bytes, 0 when there was none (the machine's own was at its end) or it is not known. To be asked once.
 */
bool oom_process_killed(struct oom_kills *kills, const struct oom_process *process, pid_t pid, uint64_t *limit);
void oom_process_end(struct oom_kills *kills, struct oom_process *process);

/*
 * The calling process is to be the kernel's last choice in its cgroup, because it writes down what happened to the
 * others: its own memory counts 900 permille of all memory less (oom_score_adj). Not more, so that it goes when it is
 * the one that takes everything. Without the right to do so (CAP_SYS_RESOURCE) nothing changes.
 */
void oom_spare_self(void);

#endif
