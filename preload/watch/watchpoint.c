/* watchpoint.c - see watchpoint.h */
#include "watchpoint.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

#include "../sys.h"
#include "../tasks.h"
#include "high_descriptors.h"
#include "internal/watchpoint.h"

/* At the time of opening; more than a system runs that is not told to. Touched as far as there are threads. */
#define MOST_THREADS 32768u
#define LOOKED_AT 64u /* threads whose descriptors are looked at at once */

struct event {
    int fd;
    uint64_t id; /* the kernel's number of it */
};

static struct {
    uint32_t threads; /* 0: not open */
    struct event events[MOST_THREADS][WATCHPOINTS];
} open_events;

static uint64_t nothing; /* where watchpoints lie that are not in use */

static bool is_ours(const struct event *event)
{
    uint64_t id = 0;
    return sys_call(SYS_ioctl, event->fd, PERF_EVENT_IOC_ID, &id) == 0 && id == event->id;
}

static void close_event(const struct event *event)
{
    if (is_ours(event))
        sys_close(event->fd);
}

/* 0 or a negative errno. */
static int open_event(struct event *event, int tid, const struct high_descriptors *high)
{
    struct perf_event_attr attributes = hs_watchpoint_attributes(&nothing, sizeof nothing, 0);
    attributes.disabled = 1;
    long fd = sys_call6(SYS_perf_event_open, (long)&attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC, 0);
    if (fd < 0)
        return (int)fd;
    *event = (struct event){.fd = high_descriptors_move(high, (int)fd)};
    long code = sys_call(SYS_ioctl, event->fd, PERF_EVENT_IOC_ID, &event->id);
    if (code < 0)
        sys_close(event->fd);
    return (int)code;
}

/* All watchpoints of one thread. */
static int open_thread(struct event *events, int tid, const struct high_descriptors *high)
{
    for (unsigned i = 0; i < WATCHPOINTS; i++) {
        int code = open_event(&events[i], tid, high);
        if (code != 0) {
            while (i-- > 0)
                close_event(&events[i]);
            return code;
        }
    }
    return 0;
}

/* A thread that has ended meanwhile needs none. */
static int add_thread(int tid, void *argument)
{
    const struct high_descriptors *high = argument;
    if (open_events.threads == MOST_THREADS || (open_events.threads + 1) * WATCHPOINTS > high->room)
        return -EMFILE;
    int code = open_thread(open_events.events[open_events.threads], tid, high);
    if (code == 0)
        open_events.threads++;
    return code == -ESRCH ? 0 : code;
}

static int open_threads(void)
{
    struct high_descriptors high;
    high_descriptors_begin(&high);
    int code = tasks_visit(add_thread, &high);
    if (code < 0 && !open_events.threads)
        code = add_thread(sys_gettid(), &high); /* there may be no /proc */
    high_descriptors_end(&high);
    return code;
}

static bool kernel_is_new(void)
{
    struct utsname name;
    return sys_call(SYS_uname, &name, 0, 0) == 0 && hs_watchpoint_kernel_is_new(name.release);
}

int watchpoints_open(void)
{
    if (open_events.threads)
        return 0;
    if (!kernel_is_new())
        return -ENOSYS;
    int code = open_threads();
    if (code != 0)
        watchpoints_close();
    return code;
}

bool watchpoint_aim(unsigned point, const void *address, unsigned bytes, uint64_t tag)
{
    bool aimed = open_events.threads > 0;
    for (uint32_t i = 0; i < open_events.threads && aimed; i++) {
        struct perf_event_attr attributes = hs_watchpoint_attributes(address, bytes, tag);
        const struct event *event = &open_events.events[i][point];
        aimed = is_ours(event) && sys_call(SYS_ioctl, event->fd, PERF_EVENT_IOC_MODIFY_ATTRIBUTES, &attributes) == 0;
    }
    if (!aimed)
        watchpoint_release(point);
    return aimed;
}

void watchpoint_release(unsigned point)
{
    for (uint32_t i = 0; i < open_events.threads; i++) {
        const struct event *event = &open_events.events[i][point];
        if (is_ours(event))
            sys_call(SYS_ioctl, event->fd, PERF_EVENT_IOC_DISABLE, 0);
    }
}

/* Of a few threads at a time, others each time. */
bool watchpoints_there(void)
{
    static _Atomic uint32_t next;
    uint32_t threads = open_events.threads, some = threads < LOOKED_AT ? threads : LOOKED_AT;
    uint32_t first = atomic_fetch_add(&next, some);
    for (uint32_t i = 0; i < some; i++)
        for (unsigned point = 0; point < WATCHPOINTS; point++)
            if (!is_ours(&open_events.events[(first + i) % threads][point]))
                return false;
    return threads > 0;
}

void watchpoints_close(void)
{
    /* A forked child may hold copies of the descriptors: closing alone would leave them aimed. */
    for (unsigned point = 0; point < WATCHPOINTS; point++)
        watchpoint_release(point);
    watchpoints_after_fork();
}

/* They are the parent's, who goes on with its own: nothing else is done to them. */
void watchpoints_after_fork(void)
{
    for (uint32_t i = 0; i < open_events.threads; i++)
        for (unsigned point = 0; point < WATCHPOINTS; point++)
            close_event(&open_events.events[i][point]);
    open_events.threads = 0;
}
