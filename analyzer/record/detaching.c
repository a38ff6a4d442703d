/*
 * detaching.c - leaving processes that were attached to: `heapsake detach`, Ctrl-C, --duration, and the death of
 * `heapsake attach`, a disk that is full and whatever else ends a recording.
 *
 * Each of them is made to call heapsake_detach() on a thread of its own (entering.h), which takes everything back and
 * says so in the session; that ends then. One may not be called now: it is stopped, a debugger has it, or its threads
 * are all in calls that cannot begin anew. It is tried again, and traced meanwhile, until it can or has ended; who
 * waits is told. Only a recorder that is asked to stop gives up. All this may take long, so a thread does it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/asking.h"
#include "record/entering.h"
#include "record/recorder_private.h"

#define TRY_MS 1000u
#define SOON_NS 20000000L              /* between two tries                                           */
#define BEGUN_NS UINT64_C(60000000000) /* for a call that is on its way, before it is asked for again */
#define LATE_NS UINT64_C(5000000000)   /* then who waits is told, and the process is tried less often: */
#define SELDOM_NS 999000000L           /* each try looks at all threads, and stops those that run     */

struct detach_asker {
    struct detach_asker *next;
    int fd;
};

struct left {
    pid_t pid;
    int pidfd; /* so that no later process of that number is meant; -1: there was none to be had */
    const struct hs_session *shared; /* the header of its session, mapped for this; NULL: cannot be looked at */
    uint64_t begun_ns;               /* since when it is on its way to call us, though it takes long; 0: it is not */
};

struct leaving {
    struct recorder *recorder;
    size_t count;
    struct left left[];
};

static struct leaving *leaving_new(struct recorder *recorder, size_t most)
{
    struct leaving *leaving = malloc(sizeof *leaving + most * sizeof leaving->left[0]);
    if (leaving)
        *leaving = (struct leaving){.recorder = recorder};
    return leaving;
}

/* The session may be gone long before the process is left. */
static void leaving_add(struct leaving *leaving, const struct session *session)
{
    void *shared = mmap(NULL, HS_HEADER_BYTES, PROT_READ, MAP_SHARED, session->memory_fd, 0);
    leaving->left[leaving->count++] = (struct left){
        .pid = session->process->pid,
        .pidfd = dup(session->process->pidfd),
        .shared = shared == MAP_FAILED ? NULL : shared,
    };
}

static void left_close(struct left *left)
{
    if (left->pidfd >= 0)
        close(left->pidfd);
    if (left->shared)
        munmap((void *)left->shared, HS_HEADER_BYTES);
}

static bool has_ended(const struct left *left)
{
    struct pollfd ended = {.fd = left->pidfd, .events = POLLIN};
    return left->pidfd >= 0 && poll(&ended, 1, 0) == 1;
}

/* It has taken everything back. */
static bool has_been_left(const struct left *left)
{
    return left->shared && atomic_load_explicit(&left->shared->detached, memory_order_acquire) == HS_DETACHED_ASKED;
}

/*
 * True: it has been called, or is not there any more. A script that Python has begun with is not followed by another
 * one: each would interrupt the one before, and where it takes longer than a try none would come to its end.
 */
static bool try_to_leave(const struct recorder *recorder, struct left *left, struct error *error)
{
    const struct injection_order order = {
        recorder->options.library, "heapsake_detach", recorder->options.session, TRY_MS, true, 0};
    if (has_ended(left) || has_been_left(left))
        return true;
    if (left->begun_ns && monotonic_ns() - left->begun_ns < BEGUN_NS) {
        error_set(error, -EINPROGRESS, "its Python has begun with heapsake's script, and has not come to its end yet");
        return false;
    }
    int code = entering_call(left->pid, &order, NULL, error);
    left->begun_ns = code == -EINPROGRESS ? monotonic_ns() : 0;
    return code == 0 || code == -ESRCH;
}

/* Those that are left, or gone, are taken out. */
static void try_all(struct leaving *leaving, struct error *error)
{
    size_t kept = 0;
    for (size_t i = 0; i < leaving->count; i++) {
        if (!try_to_leave(leaving->recorder, &leaving->left[i], error))
            leaving->left[kept++] = leaving->left[i];
        else
            left_close(&leaving->left[i]);
    }
    leaving->count = kept;
}

/* It stops, which the hooks notice, and then pass calls on. */
static void give_up(struct leaving *leaving, const char *why)
{
    struct recorder *recorder = leaving->recorder;
    char text[sizeof((struct error *)0)->text + 128];
    for (size_t i = 0; i < leaving->count; i++) {
        snprintf(text, sizeof text, "process %d is not left: %s; heapsake's hooks stay, and pass calls on",
                 (int)leaving->left[i].pid, why);
        recorder_say(recorder, text);
        left_close(&leaving->left[i]);
        atomic_fetch_add(&recorder->not_left, 1);
    }
    leaving->count = 0;
    atomic_store(&recorder->stopping, 1);
    recorder_wake_drain(recorder);
}

static void tell_of_delay(struct leaving *leaving, const char *why, bool first)
{
    char text[sizeof((struct error *)0)->text + 128];
    int pid = (int)leaving->left[0].pid;
    snprintf(text, sizeof text, "process %d cannot be left yet: %s; its recorder goes on trying", pid, why);
    if (first)
        recorder_say(leaving->recorder, text);
    snprintf(text, sizeof text, "it cannot be left yet: %s; its recorder goes on trying", why);
    detaching_answer(leaving->recorder, text);
}

static void leave_all(struct leaving *leaving, bool patient)
{
    uint64_t late_ns = monotonic_ns() + LATE_NS;
    for (bool told = false; leaving->count > 0;) {
        struct error error = {0};
        try_all(leaving, &error);
        bool late = monotonic_ns() >= late_ns;
        if (leaving->count > 0 && late && (!patient || atomic_load(&leaving->recorder->stopping))) {
            give_up(leaving, error.text);
        } else if (leaving->count > 0) {
            if (late)
                tell_of_delay(leaving, error.text, !told);
            told = late;
            nanosleep(&(struct timespec){.tv_nsec = late ? SELDOM_NS : SOON_NS}, NULL);
        }
    }
    struct recorder *recorder = leaving->recorder;
    free(leaving);
    atomic_fetch_sub(&recorder->leaving, 1);
    recorder_wake_main(recorder);
}

static void *leaver_main(void *context)
{
    leave_all(context, true);
    return NULL;
}

static void leave(struct leaving *leaving)
{
    pthread_t thread;
    atomic_fetch_add(&leaving->recorder->leaving, 1);
    if (pthread_create(&thread, NULL, leaver_main, leaving) == 0)
        pthread_detach(thread);
    else
        leave_all(leaving, false);
}

void detaching_begin(struct recorder *recorder)
{
    if (recorder->detaching)
        return;
    recorder->detaching = true;
    struct leaving *leaving = recorder->sessions > 0 ? leaving_new(recorder, recorder->sessions) : NULL;
    if (!leaving) {
        atomic_store(&recorder->stopping, 1); /* it was never met */
        recorder_wake_drain(recorder);
        return;
    }
    for (const struct session *session = recorder->all; session; session = session->next_of_all) {
        if (atomic_load(&session->over) || atomic_load(&session->process->dead))
            continue;
        if (session->executing) /* it has become another program, which is not to be touched */
            atomic_store(&recorder->stopping, 1);
        else
            leaving_add(leaving, session);
    }
    leave(leaving);
}

void detaching_after_stop(struct recorder *recorder, const struct session *session)
{
    uint32_t detached = atomic_load_explicit(&session->shared->detached, memory_order_acquire);
    if (!recorder->options.attach || recorder->detaching || session->executing || detached == HS_DETACHED_ASKED ||
        atomic_load(&session->process->dead))
        return;
    struct leaving *leaving = leaving_new(recorder, 1);
    if (!leaving)
        return;
    leaving_add(leaving, session);
    leave(leaving);
}

/* ---- who waits ---- */

void detaching_await(struct recorder *recorder, int fd)
{
    struct detach_asker *asker = malloc(sizeof *asker);
    if (!asker) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&recorder->lock);
    *asker = (struct detach_asker){recorder->detach_askers, fd};
    recorder->detach_askers = asker;
    pthread_mutex_unlock(&recorder->lock);
}

void detaching_answer(struct recorder *recorder, const char *why)
{
    pthread_mutex_lock(&recorder->lock);
    struct detach_asker *askers = recorder->detach_askers;
    recorder->detach_askers = NULL;
    pthread_mutex_unlock(&recorder->lock);
    while (askers) {
        struct detach_asker *asker = askers;
        askers = asker->next;
        asking_answer(asker->fd, &(struct ask_answer){.kind = why ? ANSWER_FAILED : ANSWER_DONE},
                      why ? why : recorder->file);
        close(asker->fd);
        free(asker);
    }
}
