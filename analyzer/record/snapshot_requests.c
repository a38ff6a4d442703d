/*
 * snapshot_requests.c - what the recorder asks of a program: a snapshot, now.
 *
 * One request is open at a time. A program that runs sees it at its next tick; one that sleeps is summoned
 * (summons.h) when it has not answered after a moment, and again, since a thread may be at a place where it cannot be
 * called. Who asks meanwhile waits with the others for the same snapshot.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/recorder.h"
#include "record/session_snapshots_private.h"
#include "record/summons.h"
#include "record/wish_answers.h"

#define SUMMON_NS UINT64_C(50000000)
#define SUMMON_AGAIN_NS UINT64_C(100000000)
#define BUSY_NS (ASK_BUSY_SECONDS * UINT64_C(1000000000))

/* ---- askers ---- */

struct snapshot_asker *snapshot_asker_new(int fd, pid_t pid)
{
    struct snapshot_asker *asker = calloc(1, sizeof *asker);
    if (asker)
        *asker = (struct snapshot_asker){.fd = fd, .pid = pid};
    return asker;
}

struct snapshot_asker *snapshot_asker_thread(struct hs_ring *ring, uint32_t wish)
{
    struct snapshot_asker *asker = snapshot_asker_new(-1, 0);
    if (!asker) {
        wish_answer(ring, wish, -ENOMEM);
        return NULL;
    }
    asker->ring = ring;
    asker->wish = wish;
    return asker;
}

bool askers_hear(const struct snapshot_asker *askers)
{
    while (askers && askers->fd < 0)
        askers = askers->next;
    return askers;
}

/* `result`: for threads. */
static void tell(struct snapshot_asker *askers, const struct ask_answer *answer, const char *text, int32_t result)
{
    while (askers) {
        struct snapshot_asker *next = askers->next;
        if (askers->ring) {
            wish_answer(askers->ring, askers->wish, result);
        } else {
            asking_answer(askers->fd, answer, text);
            close(askers->fd);
        }
        free(askers);
        askers = next;
    }
}

void askers_tell(struct snapshot_asker *askers, const struct ask_answer *answer, const char *text)
{
    tell(askers, answer, text, (int32_t)answer->number);
}

void askers_refuse(struct snapshot_asker *askers, int code, const char *why)
{
    tell(askers, &(struct ask_answer){.kind = ANSWER_FAILED}, why, code);
}

void askers_fail(struct snapshot_asker *askers, const char *why)
{
    askers_refuse(askers, -EIO, why);
}

void snapshot_asker_fail(struct snapshot_asker *asker, const char *why)
{
    asker->next = NULL;
    askers_fail(asker, why);
}

void snapshots_ask(struct session *session, struct snapshot_asker *asker)
{
    struct graph_snapshots *all = snapshots_of(session);
    if (!all || recorder_options(session->recorder)->policy.off) {
        snapshot_asker_fail(asker, all ? "snapshots are off: it was started with --no-snapshot" : "out of memory");
        return;
    }
    asker->next = all->waiting_askers;
    all->waiting_askers = asker;
}

void snapshots_wish(struct session *session, struct hs_ring *ring, uint32_t wish)
{
    struct snapshot_asker *asker = snapshot_asker_thread(ring, wish);
    if (asker)
        snapshots_ask(session, asker);
}

/* ---- requests ---- */

/* Numbers are compared so that they may wrap around. */
static bool is_reached(uint32_t number, uint32_t wanted)
{
    return (int32_t)(number - wanted) >= 0;
}

static void end_summons(struct snapshot_request *request)
{
    if (request->summons)
        summons_end(request->summons);
    request->summons = NULL;
}

struct snapshot_asker *request_answered(struct graph_snapshots *all, uint32_t number)
{
    struct snapshot_request *request = &all->request;
    if (number == 0 || request->number == 0 || !is_reached(number, request->number))
        return NULL;
    struct snapshot_asker *askers = request->askers;
    request->askers = NULL;
    request->number = 0;
    return askers;
}

static void open_request(struct session *session, unsigned reason, uint64_t now)
{
    struct graph_snapshots *all = session->snapshots;
    struct hs_session *shared = session->shared;
    atomic_store(&shared->snapshot_reason, reason);
    uint32_t number = atomic_fetch_add(&shared->snapshot_request, 1) + 1;
    all->request = (struct snapshot_request){.number = number,
                                             .reason = reason,
                                             .asked_ns = now,
                                             .summon_ns = now + SUMMON_NS,
                                             .askers = all->waiting_askers};
    all->waiting_askers = NULL;
}

/* Nobody waits for it any longer. The program may have begun with it all the same. */
static void give_up(struct session *session, const char *why, uint64_t now)
{
    struct graph_snapshots *all = session->snapshots;
    struct snapshot_asker *askers = all->request.askers;
    all->request.askers = NULL;
    all->request.number = 0;
    atomic_store(&session->shared->snapshot_reason, 0);
    snapshot_watch_failed(&all->watch, now);
    askers_refuse(askers, -ETIMEDOUT, why);
}

static void summon(struct session *session, uint64_t now)
{
    struct snapshot_request *request = &session->snapshots->request;
    if (request->summons) {
        switch (summons_result(request->summons, request->hindrance, sizeof request->hindrance)) {
        case SUMMONS_UNDER_WAY:
            return;
        default:
            end_summons(request);
            request->summon_ns = now + SUMMON_AGAIN_NS;
            return;
        }
    }
    if (now < request->summon_ns)
        return;
    uint64_t entry = atomic_load(&session->shared->summon_entry);
    if (entry != 0)
        request->summons = summons_begin(session->recorder, session->process->pid, entry, session->snapshots->asleep);
    request->summon_ns = now + SUMMON_AGAIN_NS;
}

/* What the program wants by --snapshot-signal, and what the policy says. */
static unsigned due(struct session *session, uint64_t now)
{
    struct graph_snapshots *all = session->snapshots;
    uint32_t wanted = atomic_load(&session->shared->snapshot_wanted);
    (void)now;
    if (all->waiting_askers)
        return HS_SNAPSHOT_ASKED;
    if (wanted != all->wanted_by_signal) {
        all->wanted_by_signal = wanted;
        return HS_SNAPSHOT_SIGNAL;
    }
    unsigned reason = all->due;
    all->due = 0;
    return reason;
}

static void look_at_sleep(struct graph_snapshots *all, pid_t pid, uint64_t now)
{
    uint64_t sleeps = process_info_sleeps(pid, pid);
    if (sleeps != all->asleep.sleeps)
        all->asleep = (struct asleep){sleeps, now};
}

void snapshots_sampled(struct session *session, uint64_t resident)
{
    const struct snapshot_policy *policy = &recorder_options(session->recorder)->policy;
    struct graph_snapshots *all = policy->off || resident == 0 ? NULL : snapshots_of(session);
    if (all)
        look_at_sleep(all, session->process->pid, session->origin_ns + session_now(session));
    if (all && all->request.number == 0 && !all->first)
        all->due = snapshot_due(policy, &all->watch, session_now(session), resident);
}

void requests_step(struct session *session, bool over, uint64_t now)
{
    struct graph_snapshots *all = session->snapshots;
    struct snapshot_request *request = &all->request;
    if (over) {
        end_summons(request);
        if (request->number != 0)
            give_up(session, "the program ended before it could take one", now);
        askers_fail(all->waiting_askers, "the program has ended");
        all->waiting_askers = NULL;
        return;
    }
    if (request->number == 0) {
        end_summons(request);
        unsigned reason = all->first ? 0 : due(session, now);
        if (reason != 0)
            open_request(session, reason, now);
        return;
    }
    if (now - request->asked_ns > BUSY_NS) {
        char why[400] = "the program is busy where no snapshot can be taken (in C code that keeps the interpreter "
                        "locked?): it did not answer within 10 seconds";
        if (request->hindrance[0])
            snprintf(why, sizeof why, "the program did not answer within %d seconds, and cannot be called: %s",
                     ASK_BUSY_SECONDS, request->hindrance);
        end_summons(request);
        give_up(session, why, now);
        return;
    }
    /* Answered: what it says is on its way through the ring. */
    if (!is_reached(atomic_load(&session->shared->snapshot_answer), request->number))
        summon(session, now);
}

void requests_free(struct graph_snapshots *all)
{
    end_summons(&all->request);
    askers_fail(all->request.askers, "the recorder has ended");
    askers_fail(all->waiting_askers, "the recorder has ended");
    all->request.askers = all->waiting_askers = NULL;
}
