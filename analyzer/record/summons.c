/*
 * summons.c - see summons.h
 *
 * Stopping the thread, and what becomes of the call that it is in, is thread_stop.h's.
 *
 *     stack      |  red zone, 128 bytes  | where to go on | ...
 *          rsp before ^                  ^ rsp at the entry
 */
#include "record/summons.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/proc_folder.h"
#include "record/process_info.h"
#include "record/process_maps.h"
#include "record/recorder_private.h"
#include "record/thread_stop.h"

#define MAX_THREADS 64u /* looked at in one summons */

struct summons {
    pthread_t thread;
    struct recorder *recorder;
    pid_t pid;
    uint64_t entry;
    struct asleep asleep;
    _Atomic uint32_t result; /* enum summons_result; written last */
    char why[200];
};

/* For how long the program's first thread has waited, at least: as many times has it gone to sleep as then. */
static uint64_t waited_ms(const struct summons *summons, int tid)
{
    uint64_t now = monotonic_ns();
    if (tid != summons->pid || summons->asleep.sleeps == 0 || now < summons->asleep.since_ns ||
        process_info_sleeps(summons->pid, tid) != summons->asleep.sleeps)
        return 0;
    return (now - summons->asleep.since_ns) / 1000000;
}

/* Code that is not to be called from: the loader, which may hold its locks, the kernel's own, and ours. */
static bool is_good_code(const struct summons *summons, uint64_t pc, bool *in_libc)
{
    struct process_maps maps = PROCESS_MAPS_INIT;
    int folder = proc_folder_open(summons->pid);
    if (folder < 0)
        return false;
    const struct mapping *here = process_maps_read(&maps, folder) == 0 ? process_maps_find(&maps, pc) : NULL;
    enum module_role role = here ? mapping_role(here) : MODULE_OTHER;
    bool good = here && !mapping_is_kernels(here) && role != MODULE_LOADER && role != MODULE_HEAPSAKE;
    *in_libc = role == MODULE_LIBC;
    process_maps_free(&maps);
    close(folder);
    return good;
}

/* ---- one thread ---- */

static bool send_to_entry(const struct summons *summons, int tid, const struct thread_place *place,
                          struct user_regs_struct *registers)
{
    long call;
    if (thread_has_signal(summons->pid, tid) || !thread_stop_rewind(tid, place, registers, &call))
        return false;
    /* Below the red zone nothing is the thread's; and the registers change all at once. */
    uint64_t back = registers->rip;
    registers->rsp -= RED_ZONE + sizeof back;
    registers->rip = summons->entry;
    return ptrace(PTRACE_POKEDATA, tid, (void *)registers->rsp, (void *)back) == 0 && thread_stop_set(tid, registers);
}

static enum summons_result refused(struct summons *summons, const struct stop_denial *denial)
{
    stop_denial_tell(denial, summons->why, sizeof summons->why);
    return SUMMONS_REFUSED;
}

static enum summons_result summon_waiting(struct summons *summons, int tid)
{
    struct thread_place place = {0};
    struct user_regs_struct registers;
    struct stop_denial denial;
    uint64_t since_ns;
    if (thread_doing(summons->pid, tid, &place) != THREAD_WAITS || !is_good_code(summons, place.pc, &place.in_libc))
        return SUMMONS_AGAIN;
    place.waited_ms = waited_ms(summons, tid);
    place.sleeps = summons->asleep.sleeps;
    switch (thread_stop(summons->pid, tid, &place, &registers, &since_ns, &denial)) {
    case STOP_DENIED:
        return refused(summons, &denial);
    case STOP_NOT_NOW:
        return SUMMONS_AGAIN;
    case STOP_DONE:
        break;
    }
    /* still in the call that it was seen in: behind it, or, if it is to begin anew, before it */
    bool still = registers.rip == place.pc || registers.rip == place.pc - 2;
    bool sent = still && send_to_entry(summons, tid, &place, &registers);
    thread_stop_end(tid);
    return sent ? SUMMONS_DONE : SUMMONS_AGAIN;
}

static enum summons_result summon_thread(struct summons *summons, int tid)
{
    thread_stop_hurry(true);
    enum summons_result result = summon_waiting(summons, tid);
    thread_stop_hurry(false);
    return result;
}

/* The first thread first: it has the largest stack, and is a program's own more often than others. */
static enum summons_result summon(struct summons *summons)
{
    char text[64];
    if (!proc_text(text, sizeof text, "/proc/%d/syscall", summons->pid, 0) && (errno == EPERM || errno == EACCES))
        return refused(summons, &(struct stop_denial){.code = errno});
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
