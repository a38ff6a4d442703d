/*
 * threads_seen.c - see threads_seen.h
 *
 * /proc/self/task/TID/syscall says "running", or the number of the system call that the thread is in, six arguments,
 * its stack pointer and its program counter. A thread that is in a system call when it is asked may have left it by
 * the time of the clone, deeper or less deep in its stack by then: that is a moment of some ten microseconds, and what
 * it pushes or pops in it is hardly the only reference to anything.
 */
#include "threads_seen.h"

#include "../arena.h"
#include "../proc_text.h"
#include "../session.h"
#include "../sys.h"
#include "../tasks.h"

#define TIME_NS UINT64_C(5000000) /* that asking may take in all */

static struct scan_thread *list; /* SCAN_MAX_THREADS; made when it is first needed, then kept */

static uintptr_t stack_pointer_of(int tid)
{
    char text[256];
    if (tasks_read(tid, "syscall", text, sizeof text) <= 0)
        return 0;
    const char *at = text;
    uint64_t value;
    /* the number is decimal, and -1 in a page fault or the like; "running" is no number */
    if (*at == '-')
        at++;
    if (!proc_number(at, 10, &value, &at))
        return 0;
    unsigned skipped = text[0] == '-' ? 0 : 6; /* without a call there are no arguments */
    for (unsigned i = 0; i < skipped; i++)
        if (!proc_number(at, 16, &value, &at))
            return 0;
    return proc_number(at, 16, &value, &at) ? value : 0;
}

struct sight {
    struct scan_threads *threads;
    uint64_t give_up;
};

static int see(int tid, void *argument)
{
    const struct sight *sight = argument;
    struct scan_threads *threads = sight->threads;
    if ((uint32_t)tid == threads->own.tid)
        return 0;
    if (threads->count == SCAN_MAX_THREADS) {
        threads->incomplete = true;
        return 1;
    }
    uintptr_t sp = sys_monotonic_ns() < sight->give_up ? stack_pointer_of(tid) : 0;
    list[threads->count++] = (struct scan_thread){.tid = (uint32_t)tid, .sp = sp};
    return 0;
}

void threads_see_others(struct scan_threads *threads)
{
    threads->count = 0;
    threads->incomplete = false;
    if (!atomic_load_explicit(&session.threaded, memory_order_relaxed))
        return;
    if (!list)
        list = arena_map(SCAN_MAX_THREADS * sizeof *list);
    threads->others = list;
    struct sight sight = {threads, sys_monotonic_ns() + TIME_NS};
    if (!list || tasks_visit(see, &sight) < 0)
        threads->incomplete = true;
}
