/* late_traps.c - see late_traps.h */
#include "late_traps.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "../proc_text.h"
#include "../sys.h"
#include "../tasks.h"

/*
 * So long must a thread have run that never sleeps: the kernel accounts at its ticks, the slowest of which are 10 ms
 * apart, so that less could all be from before.
 */
#define RUN_NS UINT64_C(25000000)
#define LOOK_AGAIN_NS UINT64_C(2000000)
#define STATUS_BYTES 4096u /* SigPnd and ShdPnd stand in the first half of that */

/* What it has run so far, by schedstat. False: it is not known, or the thread has ended. */
static bool run_time(int tid, uint64_t *ns)
{
    char text[128];
    return tasks_read(tid, "schedstat", text, sizeof text) > 0 && proc_number(text, 10, ns, NULL);
}

/* Between a write and its trap no thread sleeps. One that has ended does not trap, either. */
static bool is_asleep(int tid)
{
    char text[1024];
    if (tasks_read(tid, "stat", text, sizeof text) <= 0)
        return true;
    const char *name_end = strrchr(text, ')');
    return name_end && strncmp(name_end, ") R", 3) != 0;
}

static bool has_one_pending(int tid)
{
    char text[STATUS_BYTES];
    static const char *const keys[] = {"\nSigPnd:", "\nShdPnd:"};
    if (tasks_read(tid, "status", text, sizeof text) <= 0)
        return false;
    for (unsigned i = 0; i < HS_COUNT_OF(keys); i++) {
        const char *line = strstr(text, keys[i]);
        uint64_t pending;
        if (!line || !proc_number(line + strlen(keys[i]), 16, &pending, NULL) || pending & UINT64_C(1) << (SIGTRAP - 1))
            return true;
    }
    return false;
}

static bool comes_past(int tid, uint64_t until)
{
    uint64_t before, now;
    if (is_asleep(tid))
        return true;
    bool known = run_time(tid, &before);
    while (sys_monotonic_ns() < until) {
        struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
        sys_call(SYS_nanosleep, &pause, NULL, 0);
        if (is_asleep(tid) || (known && run_time(tid, &now) && now - before > RUN_NS))
            return true;
    }
    return false;
}

/* 1: it may have one. */
static int look_at(int tid, void *until)
{
    bool past = tid == sys_gettid() || comes_past(tid, *(const uint64_t *)until);
    return !past || has_one_pending(tid);
}

bool late_traps_none(uint64_t patience_ns)
{
    uint64_t until = sys_monotonic_ns() + patience_ns;
    return tasks_visit(look_at, &until) == 0;
}
