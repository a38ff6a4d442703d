/*
 * child.c - see child.h
 *
 * The order matters: first nothing of the program may happen in here (its signals, its descriptors, its locks), then
 * the recorder is met, and only then anything is read.
 */
#include "child.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "../arena.h"
#include "../meeting.h"
#include "../proc_text.h"
#include "../python/python.h"
#include "../python/walk.h"
#include "../session.h"
#include "../sys.h"
#include "child_heap.h"
#include "graph.h"
#include "nodes.h"
#include "present.h"

#define ALTERNATE_STACK_BYTES ((size_t)64 << 10)
#define DEADLINE_SECONDS 60
#define DEADLINE_SECONDS_PER_GIB 60
#define NICE 5
#define MAX_FD (1 << 20)

struct child_guard *child_guard;

static _Noreturn void end(enum hs_child_status status)
{
    for (;;)
        sys_call(SYS_exit_group, status, 0, 0);
}

/* ---- quiet ---- */

/* The kernel's struct sigaction. */
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};
#define ACTION_RESTORER 0x04000000ul

/* The last ones are what abort() does, a breakpoint, and a call that a seccomp filter does not like. */
static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};

/* Leaves by the guard that was set last. Nothing of ours holds a lock or has a half-written record then. */
static void on_fault(int number)
{
    (void)number;
    struct child_guard *guard = child_guard;
    if (!guard)
        end(HS_CHILD_CRASHED);
    child_guard = guard->outer;
    longjmp(guard->place, 1);
}

/* The kernel wants one; on_fault never returns to it. */
static void restorer(void)
{
    end(HS_CHILD_CRASHED);
}

static void set_action(int number, void (*handler)(int), unsigned long flags)
{
    struct kernel_action action = {handler, flags | ACTION_RESTORER, restorer, 0};
    sys_call6(SYS_rt_sigaction, number, (long)&action, 0, sizeof action.mask, 0, 0);
}

/* All stay blocked but faults and the deadline: what a terminal or a supervisor sends to the program's group is not for
 * us. */
static void quiet_signals(void)
{
    for (int number = 1; number < 65; number++)
        set_action(number, SIG_DFL, 0);
    void *memory = arena_map(ALTERNATE_STACK_BYTES);
    stack_t alternate = {.ss_sp = memory, .ss_size = ALTERNATE_STACK_BYTES};
    if (memory)
        sys_call(SYS_sigaltstack, &alternate, 0, 0);
    uint64_t open = UINT64_C(1) << (SIGALRM - 1);
    for (unsigned i = 0; i < HS_COUNT_OF(faults); i++) {
        set_action(faults[i], on_fault, SA_NODEFER | SA_ONSTACK);
        open |= UINT64_C(1) << (faults[i] - 1);
    }
    uint64_t blocked = ~open;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, 0, sizeof blocked, 0, 0);
}

/* Somebody may be waiting for the end of a pipe or a connection. */
static void close_descriptors(void)
{
    if (sys_call(SYS_close_range, 0, ~0U, 0) == 0)
        return;
    struct rlimit limit = {0, MAX_FD};
    sys_call6(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
    int count = limit.rlim_max < MAX_FD ? (int)limit.rlim_max : MAX_FD;
    for (int fd = 0; fd < count; fd++)
        sys_close(fd);
}

/* When memory runs out, this one is to go, not the program; and unless somebody waits, it yields the processor. */
static void be_humble(bool awaited)
{
    if (!awaited)
        sys_call(SYS_setpriority, PRIO_PROCESS, 0, NICE);
    /* No core file: a limit of 1 also where the kernel pipes cores to a program, which a limit of 0 does not stop. */
    struct rlimit no_core = {1, 1};
    if (sys_call6(SYS_prlimit64, 0, RLIMIT_CORE, (long)&no_core, 0, 0, 0) != 0) {
        no_core = (struct rlimit){0, 0};
        sys_call6(SYS_prlimit64, 0, RLIMIT_CORE, (long)&no_core, 0, 0, 0);
    }
    sys_call6(SYS_prctl, PR_SET_NAME, (long)"heapsake-snap", 0, 0, 0, 0);
    sys_call6(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0, 0);
    long fd = sys_call6(SYS_openat, -100, (long)"/proc/self/oom_score_adj", 1, 0, 0, 0);
    if (fd >= 0) {
        sys_call(SYS_write, fd, "1000", 4);
        sys_close((int)fd);
    }
}

/* SIGALRM is not handled, so it ends us. */
static void set_deadline(uint64_t resident)
{
    struct itimerval deadline = {.it_value.tv_sec =
                                     DEADLINE_SECONDS + (time_t)(resident >> 30) * DEADLINE_SECONDS_PER_GIB};
    sys_call(SYS_setitimer, ITIMER_REAL, &deadline, 0);
}

/* ---- the area ---- */

static struct hs_area *map_area(int fd)
{
    struct hs_area *area = sys_mmap(NULL, HS_AREA_STREAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_failed(area) || area->magic != HS_AREA_MAGIC)
        return NULL;
    uint64_t bytes = area->bytes;
    sys_munmap(area, HS_AREA_STREAM);
    if (bytes < HS_AREA_STREAM + HS_STREAM_BYTES || bytes > UINT64_C(1) << 46)
        return NULL;
    area = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (sys_failed(area))
        return NULL;
    uint64_t offset = area->live_offset, count = area->live_count;
    if (area->bytes != bytes || offset < HS_AREA_STREAM + HS_STREAM_BYTES || offset > bytes || offset % 16 ||
        count > (bytes - offset) / sizeof(struct hs_live_block))
        return NULL;
    return area;
}

/* ---- what there is to tell ---- */

static void walk_python(const struct hs_area *area)
{
    struct child_guard guard;
    if (CHILD_GUARDED(&guard)) {
        python_graph_walk(area->options & HS_OPTION_RECORD_VALUES);
        child_guard_end(&guard);
    } else {
        graph_end();
        graph_problem("The walk over Python's objects crashed: what it had not come to is missing.");
    }
}

/*
 * Pages that nobody else shares: those that the program, or we, have written to since the clone. When the program has
 * ended meanwhile there is no telling, and no copying either: all pages are ours then.
 */
static void tell_copied(void)
{
    char text[4096];
    uint64_t clean, dirty;
    if (sys_call(SYS_getppid, 0, 0, 0) != session.pid)
        return;
    nodes_end(); /* its tables are not copies of anything */
    if (proc_read("/proc/self/smaps_rollup", text, sizeof text) > 0 &&
        proc_find_number(text, "Private_Clean:", &clean) && proc_find_number(text, "Private_Dirty:", &dirty) &&
        sys_call(SYS_getppid, 0, 0, 0) == session.pid)
        graph_field(HSK_FIELD_SNAPSHOT_COPIED, (clean + dirty) << 10);
}

static void tell_everything(const struct child_order *order, struct hs_area *area)
{
    uint64_t began = sys_monotonic_ns();
    if (python_state == PYTHON_RUNNING)
        walk_python(area);
    scan_blocks();
    scan_roots(order->threads);
    graph_flush();
    graph_field(HSK_FIELD_SNAPSHOT_WALK, sys_monotonic_ns() - began);
    tell_copied();
    graph_finish();
}

void child_run(const struct child_order *order)
{
    /* In this copy of it the session is over: tracing_live.word was wiped, and no hook may take that for
     * a new process. */
    atomic_store(&session.state, SESSION_OFF);
    quiet_signals();
    close_descriptors();
    be_humble(order->awaited);
    set_deadline(order->resident);
    child_heap_serve();

    int fd = meeting_snapshot(session.shared->id, order->number);
    if (fd < 0)
        end(HS_CHILD_NO_RECORDER);
    struct hs_area *area = map_area(fd);
    sys_close(fd);
    if (!area)
        end(HS_CHILD_NO_RECORDER);
    present_begin();
    const struct hs_live_block *live = (const void *)((const char *)area + area->live_offset);
    if (!graph_begin(area) || !nodes_begin(live, area->live_count))
        end(HS_CHILD_NO_MEMORY);
    tell_everything(order, area);
    end(graph_stopped() ? HS_CHILD_NO_RECORDER : HS_CHILD_DONE);
}
