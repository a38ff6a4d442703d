/*
 * detaching.c - leaving processes that were attached to: `heapsake detach`, Ctrl-C, --duration, and the death of
 * `heapsake attach`, a disk that is full and whatever else ends a recording.
 *
 * Each of them is made to call heapsake_detach() on a thread of its own (injection.h), which takes everything back and
 * says so in the session; that ends then. Injecting may take a while, so a thread does it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "record/asking.h"
#include "record/injection.h"
#include "record/recorder_private.h"

#define INJECTION_MS 10000u

struct detach_asker {
    struct detach_asker *next;
    int fd;
};

struct detaching {
    struct recorder *recorder;
    size_t count;
    pid_t pids[];
};

/* One that cannot be called: its recorder stops, which its hooks notice, and then pass calls on. */
static void give_up(struct recorder *recorder, pid_t pid, const char *why)
{
    char text[sizeof((struct error *)0)->text + 128];
    snprintf(text, sizeof text, "process %d cannot be left cleanly: %s; its hooks stay, and pass calls on", (int)pid,
             why);
    recorder_say(recorder, text);
    atomic_store(&recorder->stopping, 1);
    recorder_wake_drain(recorder);
    recorder_wake_main(recorder);
}

static void *detach_all(void *context)
{
    struct detaching *detaching = context;
    struct recorder *recorder = detaching->recorder;
    for (size_t i = 0; i < detaching->count; i++) {
        struct error error = {0};
        int code = injection_call(detaching->pids[i], recorder->options.library, "heapsake_detach", "", INJECTION_MS,
                                  NULL, &error);
        if (code != 0 && code != -ESRCH)
            give_up(recorder, detaching->pids[i], error.text);
    }
    free(detaching);
    return NULL;
}

void detaching_begin(struct recorder *recorder)
{
    if (recorder->detaching)
        return;
    recorder->detaching = true;
    struct detaching *detaching = malloc(sizeof *detaching + recorder->sessions * sizeof detaching->pids[0]);
    if (recorder->sessions == 0 || !detaching) {
        atomic_store(&recorder->stopping, 1); /* it was never met */
        recorder_wake_drain(recorder);
        free(detaching);
        return;
    }
    *detaching = (struct detaching){.recorder = recorder};
    for (const struct session *session = recorder->all; session; session = session->next_of_all) {
        if (atomic_load(&session->over) || atomic_load(&session->process->dead))
            continue;
        if (session->executing) /* it has become another program, which is not to be touched */
            atomic_store(&recorder->stopping, 1);
        else
            detaching->pids[detaching->count++] = session->process->pid;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, detach_all, detaching) == 0)
        pthread_detach(thread);
    else
        detach_all(detaching);
}

void detaching_after_stop(struct recorder *recorder, const struct session *session)
{
    struct error error = {0};
    pid_t pid = session->process->pid;
    uint32_t detached = atomic_load_explicit(&session->shared->detached, memory_order_acquire);
    if (!recorder->options.attach || recorder->detaching || session->executing || detached == HS_DETACHED_ASKED ||
        atomic_load(&session->process->dead))
        return;
    int code = injection_call(pid, recorder->options.library, "heapsake_detach", "", INJECTION_MS, NULL, &error);
    if (code != 0 && code != -ESRCH)
        give_up(recorder, pid, error.text);
}

void detaching_await(struct recorder *recorder, int fd)
{
    struct detach_asker *asker = malloc(sizeof *asker);
    if (!asker) {
        close(fd);
        return;
    }
    *asker = (struct detach_asker){recorder->detach_askers, fd};
    recorder->detach_askers = asker;
}

void detaching_answer(struct recorder *recorder, bool ok)
{
    while (recorder->detach_askers) {
        struct detach_asker *asker = recorder->detach_askers;
        recorder->detach_askers = asker->next;
        asking_answer(asker->fd, &(struct ask_answer){.kind = ok ? ANSWER_DONE : ANSWER_FAILED},
                      ok ? recorder->file : "its recorder ends");
        close(asker->fd);
        free(asker);
    }
}
