/*
 * threads_seen.c - see threads_seen.h
 *
 * /proc/self/task/TID/syscall says "running", or the number of the system call that the thread is in, six arguments,
 * its stack pointer and its program counter. A thread that is in a system call when it is asked may have left it by
 * the time of the clone, deeper or less deep in its stack by then: that is a moment of some ten microseconds, and what
 * it pushes or pops in it is hardly the only reference to anything.
 */
#include "threads_seen.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "../arena.h"
#include "../session.h"
#include "../sys.h"
#include "proc_text.h"

#define TIME_NS UINT64_C(5000000) /* that asking may take in all */

struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

static struct scan_thread *list; /* SCAN_MAX_THREADS; made when it is first needed, then kept */

static uintptr_t stack_pointer_of(const char *tid)
{
    char path[64], text[256];
    char *limit = path + sizeof path - 1;
    text_append(text_append(text_append(path, limit, "/proc/self/task/"), limit, tid), limit, "/syscall");
    if (proc_read(path, text, sizeof text) <= 0)
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

static void see(struct scan_threads *threads, const char *name, uint64_t give_up)
{
    uint64_t tid;
    if (!proc_number(name, 10, &tid, NULL) || tid == threads->own.tid)
        return;
    if (threads->count == SCAN_MAX_THREADS) {
        threads->incomplete = true;
        return;
    }
    uintptr_t sp = sys_monotonic_ns() < give_up ? stack_pointer_of(name) : 0;
    list[threads->count++] = (struct scan_thread){.tid = (uint32_t)tid, .sp = sp};
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
    threads->incomplete = true;
    long fd =
        list ? sys_call6(SYS_openat, AT_FDCWD, (long)"/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0)
             : -1;
    if (fd < 0)
        return;
    threads->incomplete = false;
    uint64_t give_up = sys_monotonic_ns() + TIME_NS;
    _Alignas(8) char entries[4096];
    long got;
    while ((got = sys_call(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got;) {
            const struct directory_entry *entry = (const struct directory_entry *)(const void *)(entries + at);
            if (entry->name[0] >= '0' && entry->name[0] <= '9')
                see(threads, entry->name, give_up);
            at += entry->length;
        }
    }
    sys_close((int)fd);
}
