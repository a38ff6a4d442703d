/* thread_stop.c - see thread_stop.h */
#include "record/thread_stop.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/proc_folder.h"
#include "record/process_info.h"

#define STOP_NS UINT64_C(100000000)       /* for an interrupted thread to stop                 */
#define MOST_STOP_NS UINT64_C(3000000000) /* ... for one that only waits for a processor       */
#define SOON_NS UINT64_C(200000)          /* most stop within this time                        */
#define SOON_LOOK_NS 5000L                /* between two looks until then ...                  */
#define LOOK_NS 50000L                    /* ... and afterwards                                */
#define SEIZE_TRIES 3u
#define USER_CODE 0x33u /* cs of 64-bit code */

/* The kernel's own numbers, which no program sees. */
#define KERNEL_ERESTARTSYS 512
#define KERNEL_ERESTARTNOINTR 513
#define KERNEL_ERESTARTNOHAND 514
#define KERNEL_ERESTART_RESTARTBLOCK 516

/* ---- what /proc tells ---- */

/* Calls that wait, and that can begin anew without anybody noticing. */
static bool can_begin_anew(long call)
{
    switch (call) {
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_accept:
    case SYS_accept4:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_futex:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_restart_syscall: /* a sleep that has been interrupted before */
    case SYS_flock:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_msgrcv:
    case SYS_io_getevents:
    case SYS_io_uring_enter: /* fails so only when it has submitted nothing */
        return true;
    default:
        return false;
    }
}

enum thread_doing thread_doing(pid_t pid, int tid, struct thread_place *place)
{
    char text[512];
    if (!proc_text(text, sizeof text, "/proc/%d/task/%d/syscall", pid, tid))
        return THREAD_ELSEWHERE;
    if (strncmp(text, "running", 7) == 0)
        return THREAD_RUNS;
    if (text[0] < '0' || text[0] > '9')
        return THREAD_ELSEWHERE;
    *place = (struct thread_place){.call = strtol(text, NULL, 10)};
    const char *pc = strrchr(text, ' ');
    place->pc = pc ? strtoull(pc + 1, NULL, 16) : 0;
    return place->pc != 0 && can_begin_anew(place->call) ? THREAD_WAITS : THREAD_ELSEWHERE;
}

/* Milliseconds of the scheduler's clock when the thread last ran. */
static bool last_ran_ms(const char *format, int pid, int tid, double *ms)
{
    char text[1024];
    if (!proc_text(text, sizeof text, format, pid, tid))
        return false;
    const char *at = strstr(text, "se.exec_start"), *colon = at ? strchr(at, ':') : NULL;
    *ms = colon ? strtod(colon + 1, NULL) : 0;
    return *ms > 0;
}

/* Where it ran last; -1: not known. */
static int last_cpu(pid_t pid, int tid)
{
    char text[1024];
    const char *cpu =
        proc_text(text, sizeof text, "/proc/%d/task/%d/stat", pid, tid) ? proc_stat_field(text, 39) : NULL;
    return cpu ? atoi(cpu) : -1;
}

/* The scheduler's clocks of two processors differ by milliseconds: both times are read from the same one. */
static uint64_t waited_ms(pid_t pid, int tid)
{
    double then = 0, now = 0;
    cpu_set_t before, there;
    int cpu = last_cpu(pid, tid);
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof before, &before) != 0)
        return 0;
    CPU_ZERO(&there);
    CPU_SET(cpu, &there);
    if (!last_ran_ms("/proc/%d/task/%d/sched", pid, tid, &then) || sched_setaffinity(0, sizeof there, &there) != 0)
        return 0;
    sched_yield(); /* so that it is noted that we run */
    bool known = last_ran_ms("/proc/thread-self/sched", 0, 0, &now);
    sched_setaffinity(0, sizeof before, &before);
    return known && now > then ? (uint64_t)(now - then) : 0;
}

void thread_waited(pid_t pid, int tid, struct thread_place *place)
{
    place->sleeps = process_info_sleeps(pid, tid); /* first: one too few is noticed, one too many is not */
    place->waited_ms = place->sleeps ? waited_ms(pid, tid) : 0;
}

bool thread_has_signal(pid_t pid, int tid)
{
    char status[4096];
    if (!proc_text(status, sizeof status, "/proc/%d/task/%d/status", pid, tid))
        return true;
    uint64_t pending = proc_field_number(status, "SigPnd", 16, 0) | proc_field_number(status, "ShdPnd", 16, 0);
    return (pending & ~proc_field_number(status, "SigBlk", 16, 0)) != 0;
}

/* 0: it has none. Each thread has its own. */
static uint64_t tracer_of(pid_t pid, int tid)
{
    char status[4096] = "";
    proc_text(status, sizeof status, "/proc/%d/task/%d/status", pid, tid);
    return proc_field_number(status, "TracerPid", 10, 0);
}

void stop_denial_tell(const struct stop_denial *denial, char *why, size_t size)
{
    int64_t scope = proc_ptrace_scope();
    if (denial->tracer != 0)
        snprintf(why, size, "another program traces it (process %llu)", (unsigned long long)denial->tracer);
    else if (scope > 1)
        snprintf(why, size, "the system forbids it (kernel.yama.ptrace_scope is %lld)", (long long)scope);
    else
        snprintf(why, size, "the system does not let us stop it (%s)", strerror(denial->code));
}

/* ---- registers ---- */

static bool get_registers(int tid, struct user_regs_struct *registers)
{
    struct iovec part = {registers, sizeof *registers};
    return ptrace(PTRACE_GETREGSET, tid, (void *)1 /* NT_PRSTATUS */, &part) == 0 && part.iov_len == sizeof *registers;
}

bool thread_stop_set(int tid, const struct user_regs_struct *registers)
{
    struct user_regs_struct copy = *registers;
    struct iovec part = {&copy, sizeof copy};
    return ptrace(PTRACE_SETREGSET, tid, (void *)1 /* NT_PRSTATUS */, &part) == 0;
}

static bool behind_syscall(int tid, const struct user_regs_struct *registers)
{
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, tid, (void *)(registers->rip - 2), NULL);
    return errno == 0 && (code & 0xffff) == 0x050f;
}

static void begin_anew(struct user_regs_struct *registers, uint64_t call)
{
    registers->rip -= 2;
    registers->rax = call;
    registers->orig_rax = UINT64_MAX; /* the kernel has nothing to do about a call any more */
}

/* epoll_wait and epoll_pwait, which are about to begin anew: the timeout is the fourth argument. */
static void lessen_timeout(pid_t pid, int tid, struct user_regs_struct *registers, const struct thread_place *place)
{
    int32_t timeout = (int32_t)registers->r10;
    if ((place->call != SYS_epoll_wait && place->call != SYS_epoll_pwait) || timeout <= 0 || !place->in_libc ||
        place->waited_ms == 0 || process_info_sleeps(pid, tid) != place->sleeps + 1 /* the stop */)
        return;
    registers->r10 = place->waited_ms < (uint64_t)timeout ? (uint64_t)timeout - place->waited_ms : 0;
}

/*
 * A call that was given up because of us, and because of nobody else, begins anew. That is set before anything else is
 * looked at, since the thread would see the EINTR if we died before.
 */
static bool take_back_interrupt(pid_t pid, int tid, const struct thread_place *place,
                                struct user_regs_struct *registers)
{
    const struct user_regs_struct given_up = *registers;
    long call = (long)registers->orig_rax;
    if ((long)registers->rax != -EINTR || call < 0 || !can_begin_anew(call) || !behind_syscall(tid, registers))
        return true;
    begin_anew(registers, (uint64_t)call);
    if (!thread_stop_set(tid, registers))
        return false;
    if (thread_has_signal(pid, tid))
        *registers = given_up;
    else if (place && place->pc == given_up.rip)
        lessen_timeout(pid, tid, registers, place);
    return thread_stop_set(tid, registers);
}

bool thread_stop_rewind(int tid, const struct thread_place *place, struct user_regs_struct *registers, long *anew)
{
    long call = (long)registers->orig_rax;
    *anew = -1;
    if (registers->cs != USER_CODE)
        return false;
    if (call < 0) {
        if (place && registers->rip == place->pc - 2) /* take_back_interrupt's */
            *anew = place->call;
        return true;
    }
    switch (-(long)registers->rax) {
    case KERNEL_ERESTARTSYS:
    case KERNEL_ERESTARTNOINTR:
    case KERNEL_ERESTARTNOHAND:
        if (!can_begin_anew(call) || !behind_syscall(tid, registers))
            return false;
        begin_anew(registers, (uint64_t)call);
        *anew = call;
        return true;
    case KERNEL_ERESTART_RESTARTBLOCK:
        if (!behind_syscall(tid, registers))
            return false;
        begin_anew(registers, SYS_restart_syscall);
        *anew = call;
        return true;
    default: /* it has its result */
        registers->orig_rax = UINT64_MAX;
        return true;
    }
}

/* ---- the stop ---- */

static bool is_our_stop(int status)
{
    return status >> 8 == (SIGTRAP | PTRACE_EVENT_STOP << 8);
}

/* A stop that we have no use for: the thread goes on as if nothing had been. */
static void let_go(pid_t pid, int tid, int status)
{
    struct user_regs_struct registers;
    if (!WIFSTOPPED(status))
        return;
    if (is_our_stop(status) && get_registers(tid, &registers))
        take_back_interrupt(pid, tid, NULL, &registers);
    bool signal =
        status >> 16 != PTRACE_EVENT_STOP; /* else it is ours, or of the process as a whole, by SIGSTOP: it stays so */
    ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)(signal ? WSTOPSIG(status) : 0));
}

void thread_stop_release(pid_t pid)
{
    int status;
    pid_t tid;
    while ((tid = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG)) > 0)
        let_go(pid, tid, status);
}

/* It would stop if it had a processor. */
static bool is_runnable(pid_t pid, int tid)
{
    char text[1024];
    const char *state =
        proc_text(text, sizeof text, "/proc/%d/task/%d/stat", pid, tid) ? proc_stat_field(text, 3) : NULL;
    return state && (*state == 'R' || *state == 't'); /* it has just come to it */
}

/*
 * Waits for the stop that was asked for; false: another one came (which is passed on), or none, or the thread's end.
 * *since_ns is when it did not stand still yet.
 *
 * What was asked for cannot be taken back. A thread that waits for a processor is waited for, since it stops as soon as
 * it has one; one that waits otherwise, for a disk or its vfork child, may do so for long, and stops when nobody needs
 * it any more: whoever looks here next lets it go.
 *
 * Between two looks we sleep, so that the thread gets the processor if it waits for ours. (sched_yield() gives it to
 * everybody else, who may keep it for long after the stop.)
 */
static bool wait_for_stop(pid_t pid, int tid, uint64_t *since_ns)
{
    uint64_t begin = *since_ns, looked;
    do {
        int status;
        looked = monotonic_ns();
        pid_t got = waitpid(-1, &status, __WALL | __WNOTHREAD | WNOHANG);
        if (got == tid && WIFSTOPPED(status) && is_our_stop(status))
            return true;
        if (got > 0)
            let_go(pid, got, status);
        if (got == tid || (got < 0 && errno != EINTR))
            return false;
        *since_ns = looked;
        nanosleep(&(struct timespec){.tv_nsec = looked - begin < SOON_NS ? SOON_LOOK_NS : LOOK_NS}, NULL);
    } while (looked - begin < STOP_NS || (looked - begin < MOST_STOP_NS && is_runnable(pid, tid)));
    return false; /* the kernel lets go of it when this thread ends, if nobody does before */
}

/* By us, at an earlier time, when it did not come to a stop. */
static bool is_seized(int tid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
}

/*
 * As PTRACE_SEIZE. Another tracer may have held the thread for a moment, as another heapsake does that attaches at the
 * same time: what is refused without a tracer in sight is asked for again, and is a matter of rights if it stays so.
 */
static bool seize(pid_t pid, int tid, struct stop_denial *denial)
{
    for (unsigned tries = SEIZE_TRIES;;) {
        *denial = (struct stop_denial){0};
        if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0)
            return true;
        denial->code = errno;
        denial->tracer = denial->code == EPERM ? tracer_of(pid, tid) : 0;
        if (denial->code != EPERM || denial->tracer != 0 || --tries == 0)
            return false;
    }
}

enum stop_result thread_stop(pid_t pid, int tid, const struct thread_place *place, struct user_regs_struct *registers,
                             uint64_t *since_ns, struct stop_denial *denial)
{
    if (!seize(pid, tid, denial)) {
        if (denial->code != EPERM && denial->code != EACCES)
            return STOP_NOT_NOW;
        if (!is_seized(tid))
            return STOP_DENIED;
    }
    *since_ns = monotonic_ns();
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 || !wait_for_stop(pid, tid, since_ns))
        return STOP_NOT_NOW;
    if (get_registers(tid, registers) && take_back_interrupt(pid, tid, place, registers))
        return STOP_DONE;
    thread_stop_end(tid);
    return STOP_NOT_NOW;
}

void thread_stop_hurry(bool hurry)
{
    struct sched_param first = {.sched_priority = 1}, none = {0};
    sched_setscheduler(0, hurry ? SCHED_RR : SCHED_OTHER, hurry ? &first : &none);
}

void thread_stop_end(int tid)
{
    ptrace(PTRACE_DETACH, tid, NULL, NULL);
}
