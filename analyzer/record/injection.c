/* injection.c - see injection.h */
#include "record/injection.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/injection_stub.h"
#include "record/proc_folder.h"
#include "record/process_code.h"
#include "record/process_maps.h"
#include "record/safe_point.h"
#include "record/thread_stop.h"

#define MAX_TEXTS ((size_t)6 << 10) /* of a block, which must fit on a thread's stack */
#define MARGIN 4096u                /* of its stack that a thread is left */
#define FIRST_PAUSE_NS 200000L
#define LAST_PAUSE_NS 2000000L
#define SETTLE_NS UINT64_C(300000000) /* for a program to be started */

enum step { STEP_STOPPED = 1, STEP_SAFE, STEP_CODE, STEP_BLOCK, STEP_REGISTERS, STEP_LET_GO };

struct injection {
    pid_t pid;
    const struct injection_order *order;
    uint64_t deadline_ns; /* on the monotonic clock */
    struct injection_report report;
    struct error *error;
    int result;
    int fault; /* the step behind which to die; 0: none */

    struct process_maps maps;
    struct process_code *code;
    uint64_t cave;                 /* where the stub is, or will be */
    struct injection_block *block; /* as it will be written, but for back_to */
    char objection[128];           /* of the last thread that was not sent */
};

static void step(const struct injection *injection, enum step done)
{
    if (injection->fault == (int)done)
        kill(getpid(), SIGKILL);
}

static size_t stub_bytes(void)
{
    return (size_t)(injection_stub_end - injection_stub_begin);
}

/* Of the extended state that the system has switched on; 0: the processor has no xsave. */
static uint32_t state_bytes(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(0xd, 0, &a, &b, &c, &d))
        return 0;
    return (b + 63) & ~63u;
}

/* ---- what is known of the process ---- */

static int read_maps(struct injection *injection)
{
    int pid = (int)injection->pid, folder = proc_folder_open(injection->pid);
    int result = folder < 0 ? folder : process_maps_read(&injection->maps, folder);
    if (folder >= 0)
        close(folder);
    if (result == 0 && injection->maps.count == 0)
        result = -ESRCH;
    switch (-result) {
    case 0:
        return 0;
    case ENOENT:
        return error_set(injection->error, -ESRCH, "there is no process %d", pid);
    case ESRCH:
        return error_set(injection->error, -ESRCH, "process %d has ended, or is the kernel's own", pid);
    case EACCES:
    case EPERM:
        return error_set(injection->error, -EPERM, "process %d: the system does not let us look into it (%s)", pid,
                         strerror(-result));
    default:
        return error_set(injection->error, result, "process %d: its mappings cannot be read (%s)", pid,
                         strerror(-result));
    }
}

/*
 * Unused bytes behind the code of a module that is never unloaded, up to the end of the page. They are all alike, or
 * an earlier injection has written our code there, or a part of it.
 */
static uint64_t cave_of(const struct injection *injection, const struct code_module *module)
{
    if (!module)
        return 0;
    uint64_t start = (module->text_end + 15) & ~UINT64_C(15);
    const struct mapping *mapping = process_maps_find(&injection->maps, module->text_end - 1);
    size_t bytes = stub_bytes();
    unsigned char found[4096];
    if (!mapping || !mapping->execute || mapping->write || !mapping->private || start >= mapping->end ||
        mapping->end - start < bytes + 8 || bytes > sizeof found)
        return 0;
    struct iovec here = {found, bytes}, there = {(void *)start, bytes};
    if (process_vm_readv(injection->pid, &here, 1, &there, 1, 0) != (ssize_t)bytes)
        return 0;
    for (size_t i = 0; i < bytes; i++)
        if (found[i] != injection_stub_begin[i] && found[i] != 0 && found[i] != 0xcc)
            return 0;
    return start;
}

static int find_functions(struct injection *injection)
{
    struct injection_block *block = injection->block;
    const struct {
        const char *name;
        uint64_t *address;
    } needed[] = {
        {"dlopen", &block->dlopen},
        {"dlsym", &block->dlsym},
        {"pthread_create", &block->pthread_create},
        {"pthread_attr_init", &block->pthread_attr_init},
        {"pthread_attr_setstacksize", &block->pthread_attr_setstacksize},
        {"pthread_attr_setdetachstate", &block->pthread_attr_setdetachstate},
        {"__errno_location", &block->errno_location},
    };
    if (!process_code_role(injection->code, MODULE_LIBC) || !process_code_role(injection->code, MODULE_LOADER))
        return error_set(injection->error, -ENOTSUP,
                         "process %d has no glibc that can load a library: it is a static executable, or its libc is "
                         "another one",
                         (int)injection->pid);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!(*needed[i].address = process_code_libc_function(injection->code, needed[i].name)))
            return error_set(injection->error, -ENOTSUP,
                             "process %d: its libc has no %s: glibc 2.34 or later is needed", (int)injection->pid,
                             needed[i].name);
    return 0;
}

static bool has_loaded(const struct process_maps *maps)
{
    for (size_t i = 0; i < maps->count; i++)
        if (mapping_role(&maps->all[i]) == MODULE_HEAPSAKE)
            return true;
    return false;
}

/* Reads again what may have changed. */
static int look(struct injection *injection)
{
    int result = read_maps(injection);
    if (result == 0 && injection->order->loaded && !has_loaded(&injection->maps))
        return error_set(injection->error, -ESRCH, "process %d has become another program", (int)injection->pid);
    if (result != 0 || (injection->code && process_code_is_current(injection->code, &injection->maps)))
        return result;
    process_code_close(injection->code);
    injection->code = NULL;
    if ((result = process_code_open(&injection->code, injection->pid, &injection->maps, injection->error)) != 0 ||
        (result = find_functions(injection)) != 0)
        return result;
    static const enum module_role hosts[] = {MODULE_LIBC, MODULE_EXECUTABLE, MODULE_LOADER};
    injection->cave = 0;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts && !injection->cave; i++)
        injection->cave = cave_of(injection, process_code_role(injection->code, hosts[i]));
    if (!injection->cave)
        return error_set(injection->error, -ENOTSUP,
                         "process %d has no %zu unused bytes behind the code of its libc, executable or loader",
                         (int)injection->pid, stub_bytes());
    return 0;
}

/* ---- what is written ---- */

static int make_block(struct injection *injection)
{
    const char *const texts[] = {injection->order->library, injection->order->function, injection->order->argument};
    size_t bytes = sizeof(struct injection_block);
    for (size_t i = 0; i < 3; i++)
        bytes += strlen(texts[i]) + 1;
    bytes = (bytes + 15) & ~(size_t)15;
    if (injection->order->library[0] != '/' || bytes > MAX_TEXTS)
        return error_set(injection->error, -EINVAL, "the library's path must be absolute, and all texts short");
    struct injection_block *block = calloc(1, bytes);
    if (!block)
        return error_set(injection->error, -ENOMEM, "no memory for a call into process %d", (int)injection->pid);
    *block = (struct injection_block){.state_bytes = state_bytes(), .bytes = bytes};
    uint64_t *const places[] = {&block->library, &block->function, &block->argument};
    size_t at = sizeof *block;
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(texts[i]) + 1;
        memcpy((char *)block + at, texts[i], length);
        *places[i] = at;
        at += length;
    }
    injection->block = block;
    if (!block->state_bytes)
        return error_set(injection->error, -ENOTSUP, "this machine's processor or kernel has no xsave");
    return 0;
}

static bool is_there(pid_t pid, uint64_t address, const void *bytes, size_t length)
{
    unsigned char found[4096];
    struct iovec here = {found, length}, there = {(void *)address, length};
    return length <= sizeof found && process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)length &&
           memcmp(found, bytes, length) == 0;
}

/* Words of 8 bytes, also where the process itself could not write, or where its stack has yet to grow. */
static bool poke_words(int tid, uint64_t address, const void *bytes, size_t length)
{
    for (size_t at = 0; at < length; at += 8) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, tid, (void *)(address + at), NULL);
        if (errno != 0)
            return false;
        memcpy(&word, (const char *)bytes + at, length - at < 8 ? length - at : 8);
        if (ptrace(PTRACE_POKEDATA, tid, (void *)(address + at), (void *)word) != 0)
            return false;
    }
    return true;
}

/* At once where that is possible: each access waits for the lock of the process's mappings, which its
 * threads may hold. */
static bool write_stack(pid_t pid, int tid, uint64_t address, void *bytes, size_t length)
{
    struct iovec here = {bytes, length}, there = {(void *)address, length};
    return process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)length || poke_words(tid, address, bytes, length);
}

/* Bytes below the red zone that are needed. */
static uint64_t room_for(const struct injection *injection)
{
    return 16 + sizeof(uint64_t) + injection->block->bytes + STUB_ROOM;
}

/* The stopped thread, whose registers are those that it goes on with, goes to the stub first. */
static bool send_to_stub(struct injection *injection, int tid, struct user_regs_struct *registers)
{
    struct injection_block *block = injection->block;
    uint64_t back = registers->rip;
    uint64_t back_at = registers->rsp - RED_ZONE - sizeof back;
    uint64_t at = (back_at - block->bytes) & ~UINT64_C(15);
    block->back_to = back_at;
    if (!is_there(injection->pid, injection->cave, injection_stub_begin, stub_bytes()) &&
        !poke_words(tid, injection->cave, injection_stub_begin, stub_bytes()))
        return false;
    step(injection, STEP_CODE);
    /* from the lowest byte that the stub will use: the stack must reach there */
    char image[STUB_ROOM + MAX_TEXTS + 32] = {0};
    memcpy(image + STUB_ROOM, block, block->bytes);
    memcpy(image + STUB_ROOM + (back_at - at), &back, sizeof back);
    if (!write_stack(injection->pid, tid, at - STUB_ROOM, image, STUB_ROOM + (back_at - at) + sizeof back))
        return false;
    step(injection, STEP_BLOCK);
    registers->rsp = at;
    registers->rip = injection->cave + (uint64_t)(injection_stub_entry - injection_stub_begin);
    if (!thread_stop_set(tid, registers))
        return false;
    step(injection, STEP_REGISTERS);
    return true;
}

/* ---- threads ---- */

static void object(struct injection *injection, const char *why)
{
    snprintf(injection->objection, sizeof injection->objection, "%s", why);
}

static bool try_stopped(struct injection *injection, int tid, const struct thread_place *place,
                        struct user_regs_struct *registers)
{
    long call;
    if (!thread_stop_rewind(tid, place, registers, &call)) {
        object(injection, "in a system call that cannot begin anew, or in 32-bit code");
        return false;
    }
    const char *why = safe_point_objection(injection->code, &injection->maps, injection->pid, tid, registers, call,
                                           room_for(injection) + MARGIN);
    if (!why && thread_has_signal(injection->pid, tid))
        why = "about to get a signal";
    if (why) {
        object(injection, why);
        return false;
    }
    step(injection, STEP_SAFE);
    if (!send_to_stub(injection, tid, registers)) {
        object(injection, "at a place where nothing can be written");
        return false;
    }
    return true;
}

/* 1: it is on its way. 0: not this one, not now. */
static int try_thread(struct injection *injection, int tid, const struct thread_place *place)
{
    struct user_regs_struct registers;
    struct injection_report *report = &injection->report;
    char why[200];
    struct stop_denial denial;
    uint64_t since_ns;
    thread_stop_hurry(true);
    enum stop_result stop = thread_stop(injection->pid, tid, place, &registers, &since_ns, &denial);
    if (stop != STOP_DONE)
        thread_stop_hurry(false);
    switch (stop) {
    case STOP_NOT_NOW:
        object(injection, "stopped, or in a wait that cannot be interrupted");
        return 0;
    case STOP_DENIED:
        stop_denial_tell(&denial, why, sizeof why);
        return error_set(injection->error, -EPERM, "process %d: %s", (int)injection->pid, why);
    case STOP_DONE:
        break;
    }
    step(injection, STEP_STOPPED);
    report->attempts++;
    bool sent = try_stopped(injection, tid, place, &registers);
    thread_stop_end(tid);
    report->stopped_ns = monotonic_ns() - since_ns;
    thread_stop_hurry(false);
    report->longest_ns = report->stopped_ns > report->longest_ns ? report->stopped_ns : report->longest_ns;
    if (sent) {
        step(injection, STEP_LET_GO);
        report->tid = tid;
    }
    return sent;
}

/* A thread that does what is wanted, after a look at what the process is now. As try_thread. */
static int consider(struct injection *injection, int tid, enum thread_doing wanted)
{
    struct thread_place place = {0};
    if (thread_doing(injection->pid, tid, &place) != wanted)
        return 0;
    int result = look(injection);
    if (result != 0)
        return result;
    if (wanted == THREAD_RUNS)
        return try_thread(injection, tid, NULL);
    const struct code_module *module = process_code_module(injection->code, place.pc);
    place.in_libc = module && module->role == MODULE_LIBC;
    if (place.call == SYS_epoll_wait || place.call == SYS_epoll_pwait)
        thread_waited(injection->pid, tid, &place);
    return try_thread(injection, tid, &place);
}

/* The first thread first: it is a program's own more often than others. Those that wait before those that run. */
static int try_all(struct injection *injection)
{
    static const enum thread_doing wanted[] = {THREAD_WAITS, THREAD_RUNS};
    char path[64];
    int result = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)injection->pid);
    for (size_t i = 0; i < 2 && result == 0; i++) {
        result = consider(injection, injection->pid, wanted[i]);
        DIR *threads = result == 0 ? opendir(path) : NULL;
        struct dirent *entry;
        while (threads && result == 0 && (entry = readdir(threads)) && monotonic_ns() < injection->deadline_ns) {
            int tid = atoi(entry->d_name);
            if (tid > 0 && tid != injection->pid)
                result = consider(injection, tid, wanted[i]);
        }
        if (threads)
            closedir(threads);
    }
    return result;
}

/* A program that is being started has not mapped everything yet, or is about to become another one. */
static int first_look(struct injection *injection)
{
    uint64_t until = monotonic_ns() + SETTLE_NS;
    int result;
    while ((result = look(injection)) == -ENOTSUP && monotonic_ns() < until) {
        process_code_close(injection->code);
        injection->code = NULL;
        nanosleep(&(struct timespec){.tv_nsec = LAST_PAUSE_NS}, NULL);
    }
    return result;
}

static int inject(struct injection *injection)
{
    object(injection, "in no system call that can begin anew");
    int result = make_block(injection);
    if (result == 0)
        result = first_look(injection);
    for (long pause = FIRST_PAUSE_NS; result == 0;) {
        result = try_all(injection);
        if (result != 0)
            return result > 0 ? 0 : result;
        if ((result = look(injection)) != 0)
            return result;
        if (monotonic_ns() >= injection->deadline_ns)
            return error_set(
                injection->error, -ETIMEDOUT,
                "no thread of process %d came to a place where it can be called (of %u that were stopped the "
                "last one was %s)",
                (int)injection->pid, injection->report.attempts, injection->objection);
        nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
        thread_stop_release(injection->pid);
        pause = pause * 3 / 2 < LAST_PAUSE_NS ? pause * 3 / 2 : LAST_PAUSE_NS;
    }
    return result;
}

/* A thread of its own, so that the kernel lets go, when it ends, of what did not come to a stop. */
static void *injector_main(void *context)
{
    struct injection *injection = context;
    /* What it holds still should not wait while others compute. Only some may ask for that; this thread ends soon. */
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), -20);
    prctl(PR_SET_TIMERSLACK, 1000);
    injection->result = inject(injection);
    process_code_close(injection->code);
    process_maps_free(&injection->maps);
    free(injection->block);
    return NULL;
}

int injection_call(pid_t pid, const struct injection_order *order, struct injection_report *report, struct error *error)
{
    const char *fault = getenv("HEAPSAKE_FAULT_INJECTION");
    struct injection injection = {
        .pid = pid,
        .order = order,
        .deadline_ns = monotonic_ns() + (uint64_t)order->deadline_ms * 1000000,
        .error = error,
        .fault = fault ? atoi(fault) : 0,
    };
    pthread_t thread;
    int code = pthread_create(&thread, NULL, injector_main, &injection);
    if (code != 0)
        return error_set(error, -code, "no thread for a call into process %d (%s)", (int)pid, strerror(code));
    pthread_join(thread, NULL);
    if (report)
        *report = injection.report;
    return injection.result;
}
