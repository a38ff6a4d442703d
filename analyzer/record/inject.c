/*
 * inject.c - see inject.h
 *
 * A thread that is interrupted in a system call stands, for the tracer, behind the `syscall` instruction, with what the
 * kernel means to do in rax: -ERESTARTSYS and its kin say that the call shall begin anew. The kernel would do that
 * after the stop; since the thread goes to the entry instead, the entry's return does it: to two bytes before, with
 * the number of the call in rax. Of a call that has used up part of its time the kernel keeps the rest in the thread's
 * restart block, for which the number is that of restart_syscall. A signal frame would lose that, which is why there
 * is none.
 *
 * Some calls are not begun anew by the kernel, but given up with -EINTR, and count their time from the beginning when
 * we begin them: epoll_wait is that one which matters. Its timeout is a register, which is lessened by the time that
 * has passed: the kernel tells when the thread ran last.
 *
 *     stack      |  red zone, 128 bytes  | where to go on | ...
 *          rsp before ^                  ^ rsp at the entry
 */
#include "record/inject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record/process_info.h"
#include "record/recorder_private.h"

#define STOP_NS UINT64_C(100000000) /* for an interrupted thread to stop */
#define LOOK_NS 200000L
#define RED_ZONE 128u
#define USER_CODE 0x33u /* cs of 64-bit code */
#define MAX_THREADS 64u /* looked at in one summons */

/* The kernel's own numbers, which no program sees. */
#define KERNEL_ERESTARTSYS 512
#define KERNEL_ERESTARTNOINTR 513
#define KERNEL_ERESTARTNOHAND 514
#define KERNEL_ERESTART_RESTARTBLOCK 516

struct summons {
    pthread_t thread;
    struct recorder *recorder;
    pid_t pid;
    uint64_t entry;
    struct asleep asleep;
    _Atomic uint32_t result; /* enum summons_result; written last */
    char why[200];
};

/* ---- what /proc tells ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* The file's text in `text`; false: it cannot be read, errno says why. */
static bool read_text(char *text, size_t size, const char *format, int pid, int tid)
{
    char path[64];
    snprintf(path, sizeof path, format, pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, size - 1);
    int code = errno;
    close(fd);
    errno = code;
    if (length < 0)
        return false;
    text[length] = '\0';
    return true;
}

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
        return true;
    default:
        return false;
    }
}

struct place {
    long call;
    uint64_t pc;
    bool in_libc;       /* whose code does not look at an argument again */
    uint64_t waited_ms; /* 0: not known                                  */
};

/* Where a thread waits; false: it does not wait in a call that can begin anew. */
static bool find_place(const struct summons *summons, int tid, struct place *place)
{
    char text[512];
    if (!read_text(text, sizeof text, "/proc/%d/task/%d/syscall", summons->pid, tid) || text[0] < '0' || text[0] > '9')
        return false;
    place->call = strtol(text, NULL, 10);
    const char *pc = strrchr(text, ' ');
    place->pc = pc ? strtoull(pc + 1, NULL, 16) : 0;
    return place->pc != 0 && can_begin_anew(place->call);
}

/* For how long the program's first thread has waited, at least: as many times has it gone to sleep as then. */
static uint64_t waited_ms(const struct summons *summons, int tid)
{
    uint64_t now = now_ns();
    if (tid != summons->pid || summons->asleep.switches == 0 || now < summons->asleep.since_ns ||
        process_info_switches(summons->pid) != summons->asleep.switches)
        return 0;
    return (now - summons->asleep.since_ns) / 1000000;
}

/* Code that is not to be called from: the loader, which may hold its locks, the kernel's own, and ours. */
static bool is_good_code(const struct summons *summons, uint64_t pc, bool *in_libc)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)summons->pid);
    FILE *maps = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool good = false;
    while (maps && getline(&line, &size, maps) > 0) {
        char *dash, *end;
        uint64_t from = strtoull(line, &dash, 16), to = *dash == '-' ? strtoull(dash + 1, &end, 16) : 0;
        if (pc < from || pc >= to)
            continue;
        const char *name = strrchr(line, '/');
        good = !strstr(line, "[v") && !(name && (strncmp(name, "/ld-", 4) == 0 || strncmp(name, "/ld.", 4) == 0 ||
                                                 strncmp(name, "/libheapsake", 12) == 0));
        *in_libc = name && strncmp(name, "/libc", 5) == 0;
        break;
    }
    free(line);
    if (maps)
        fclose(maps);
    return good;
}

static uint64_t hex_field(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    return at ? strtoull(at + strlen(name), NULL, 16) : 0;
}

/* A signal that is about to be delivered must find the call as it was: it may want to interrupt it. */
static bool has_signal(const struct summons *summons, int tid)
{
    char status[4096];
    if (!read_text(status, sizeof status, "/proc/%d/task/%d/status", summons->pid, tid))
        return true;
    uint64_t pending = hex_field(status, "\nSigPnd:") | hex_field(status, "\nShdPnd:");
    return (pending & ~hex_field(status, "\nSigBlk:")) != 0;
}

/* ---- one thread ---- */

/* Waits for the stop that was asked for; false: another one came (which is passed on), or none, or the thread's end. */
static bool wait_for_stop(int tid)
{
    uint64_t limit = now_ns() + STOP_NS;
    do {
        int status;
        pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
        if (got == tid && WIFSTOPPED(status)) {
            if (status >> 8 == (SIGTRAP | PTRACE_EVENT_STOP << 8))
                return true;
            bool stopped = status >> 16 == PTRACE_EVENT_STOP; /* as a whole, by SIGSTOP: it stays so */
            ptrace(PTRACE_DETACH, tid, NULL, (void *)(long)(stopped ? 0 : WSTOPSIG(status)));
            return false;
        }
        if (got == tid || (got < 0 && errno != EINTR))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    } while (now_ns() < limit);
    return false; /* the kernel lets go of it when this thread ends */
}

static bool get_registers(int tid, struct user_regs_struct *registers)
{
    struct iovec part = {registers, sizeof *registers};
    return ptrace(PTRACE_GETREGSET, tid, (void *)1 /* NT_PRSTATUS */, &part) == 0 && part.iov_len == sizeof *registers;
}

/* epoll_wait and epoll_pwait, which are about to begin anew: the timeout is the fourth argument. */
static void lessen_timeout(struct user_regs_struct *registers, const struct place *place)
{
    int32_t timeout = (int32_t)registers->r10;
    if ((place->call != SYS_epoll_wait && place->call != SYS_epoll_pwait) || timeout <= 0 || !place->in_libc)
        return;
    registers->r10 = place->waited_ms < (uint64_t)timeout ? (uint64_t)timeout - place->waited_ms : 0;
}

/* Turns the registers into those of a call of the entry, and says in *back where that returns to. */
static bool make_call(const struct summons *summons, const struct place *place, struct user_regs_struct *registers,
                      uint64_t *back)
{
    long call = (long)registers->orig_rax, result = (long)registers->rax;
    *back = registers->rip;
    if (registers->cs != USER_CODE || call < 0)
        return false;
    if (result == -EINTR)
        lessen_timeout(registers, place);
    switch (-result) {
    case KERNEL_ERESTARTSYS:
    case KERNEL_ERESTARTNOINTR:
    case KERNEL_ERESTARTNOHAND:
    case EINTR:
        if (!can_begin_anew(call))
            return false;
        *back -= 2;
        registers->rax = (uint64_t)call;
        break;
    case KERNEL_ERESTART_RESTARTBLOCK:
        *back -= 2;
        registers->rax = SYS_restart_syscall;
        break;
    default:
        break; /* it has its result */
    }
    registers->orig_rax = UINT64_MAX; /* the kernel has nothing to do about a call any more */
    registers->rsp -= RED_ZONE + sizeof *back;
    registers->rip = summons->entry;
    return true;
}

static bool send_to_entry(const struct summons *summons, int tid, const struct place *place)
{
    struct user_regs_struct registers;
    uint64_t back;
    if (!get_registers(tid, &registers) || registers.rip != place->pc || has_signal(summons, tid))
        return false;
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, tid, (void *)(registers.rip - 2), NULL);
    if (errno != 0 || (code & 0xffff) != 0x050f) /* syscall */
        return false;
    if (!make_call(summons, place, &registers, &back))
        return false;
    /* Below the red zone nothing is the thread's; and the registers change all at once. */
    struct iovec part = {&registers, sizeof registers};
    return ptrace(PTRACE_POKEDATA, tid, (void *)registers.rsp, (void *)back) == 0 &&
           ptrace(PTRACE_SETREGSET, tid, (void *)1 /* NT_PRSTATUS */, &part) == 0;
}

static enum summons_result refused(struct summons *summons, int code)
{
    char status[4096], scope[16] = "";
    const char *tracer = NULL;
    if (read_text(status, sizeof status, "/proc/%d/status", summons->pid, 0) &&
        (tracer = strstr(status, "\nTracerPid:\t")) && tracer[12] != '0')
        snprintf(summons->why, sizeof summons->why, "another program traces it (process %ld)",
                 strtol(tracer + 12, NULL, 10));
    else if (read_text(scope, sizeof scope, "/proc/sys/kernel/yama/ptrace_scope", 0, 0) && scope[0] > '1')
        snprintf(summons->why, sizeof summons->why, "the system forbids it (kernel.yama.ptrace_scope is %c)", scope[0]);
    else
        snprintf(summons->why, sizeof summons->why, "the system does not let its recorder stop it (%s)",
                 strerror(code));
    return SUMMONS_REFUSED;
}

static enum summons_result summon_thread(struct summons *summons, int tid)
{
    struct place place = {0};
    if (!find_place(summons, tid, &place) || !is_good_code(summons, place.pc, &place.in_libc))
        return SUMMONS_AGAIN;
    place.waited_ms = waited_ms(summons, tid);
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return errno == EPERM || errno == EACCES ? refused(summons, errno) : SUMMONS_AGAIN;
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 || !wait_for_stop(tid))
        return SUMMONS_AGAIN;
    bool sent = send_to_entry(summons, tid, &place);
    ptrace(PTRACE_DETACH, tid, NULL, NULL);
    return sent ? SUMMONS_DONE : SUMMONS_AGAIN;
}

/* The first thread first: it has the largest stack, and is a program's own more often than others. */
static enum summons_result summon(struct summons *summons)
{
    char text[64];
    if (!read_text(text, sizeof text, "/proc/%d/syscall", summons->pid, 0) && (errno == EPERM || errno == EACCES))
        return refused(summons, errno);
    enum summons_result result = summon_thread(summons, summons->pid);
    snprintf(text, sizeof text, "/proc/%d/task", (int)summons->pid);
    DIR *threads = result == SUMMONS_AGAIN ? opendir(text) : NULL;
    struct dirent *entry;
    unsigned looked = 0;
    while (threads && result == SUMMONS_AGAIN && looked++ < MAX_THREADS && (entry = readdir(threads))) {
        int tid = atoi(entry->d_name);
        if (tid > 0 && tid != summons->pid)
            result = summon_thread(summons, tid);
    }
    if (threads)
        closedir(threads);
    return result;
}

static void *summoner_main(void *context)
{
    struct summons *summons = context;
    struct recorder *recorder = summons->recorder;
    atomic_store(&summons->result, summon(summons));
    recorder_wake_drain(recorder);
    return NULL;
}

struct summons *summons_begin(struct recorder *recorder, pid_t pid, uint64_t entry, struct asleep asleep)
{
    struct summons *summons = calloc(1, sizeof *summons);
    if (!summons)
        return NULL;
    *summons = (struct summons){.recorder = recorder, .pid = pid, .entry = entry, .asleep = asleep};
    if (pthread_create(&summons->thread, NULL, summoner_main, summons) != 0) {
        free(summons);
        return NULL;
    }
    return summons;
}

enum summons_result summons_result(struct summons *summons, char *why, size_t size)
{
    enum summons_result result = (enum summons_result)atomic_load(&summons->result);
    if (result == SUMMONS_REFUSED)
        snprintf(why, size, "%s", summons->why);
    return result;
}

void summons_end(struct summons *summons)
{
    pthread_join(summons->thread, NULL);
    free(summons);
}
