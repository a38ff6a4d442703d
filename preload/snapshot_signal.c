/* snapshot_signal.c - see snapshot_signal.h */
#include "snapshot_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "real.h"
#include "session.h"
#include "sys.h"

static _Atomic int our_signal; /* 0: none */

/* What the program has set for it. Written with all signals blocked, under `changing`; a handler copies it. */
static struct sigaction programs;
static _Atomic uint32_t changing;
static _Atomic uint32_t version; /* odd while `programs` is being written */

static uint64_t block_all(void)
{
    uint64_t all = ~UINT64_C(0), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, sizeof all, 0, 0);
    return before;
}

static void unblock(uint64_t before)
{
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
}

static struct sigaction programs_copy(void)
{
    struct sigaction copy;
    uint32_t seen;
    do {
        while ((seen = atomic_load(&version)) & 1)
            sys_yield();
        copy = programs;
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&version) != seen);
    return copy;
}

static void set_programs(const struct sigaction *action)
{
    atomic_fetch_add(&version, 1);
    programs = *action;
    atomic_fetch_add(&version, 1);
}

static void forget_handler(void)
{
    uint64_t before = block_all();
    while (atomic_exchange(&changing, 1))
        sys_yield();
    struct sigaction none = {.sa_handler = SIG_DFL};
    set_programs(&none);
    atomic_store(&changing, 0);
    unblock(before);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    if (atomic_load(&session.state) == SESSION_ON && session.shared)
        atomic_fetch_add(&session.shared->snapshot_wanted, 1);
    struct sigaction action = programs_copy();
    if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
        if (action.sa_flags & (int)SA_RESETHAND)
            forget_handler();
        errno = saved_errno;
        if (action.sa_flags & SA_SIGINFO)
            action.sa_sigaction(number, info, context);
        else
            action.sa_handler(number);
    }
    errno = saved_errno;
}

/* Our handler, with what the program's asks for; without one, so that calls go on. */
static int install(int number, const struct sigaction *wanted)
{
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (wanted->sa_handler != SIG_DFL && wanted->sa_handler != SIG_IGN) {
        ours.sa_mask = wanted->sa_mask;
        ours.sa_flags = SA_SIGINFO | (wanted->sa_flags & ~(int)SA_RESETHAND);
    }
    return real.sigaction(number, &ours, NULL);
}

HS_EXPORT int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict old)
{
    real_ensure();
    if (number == 0 || number != atomic_load_explicit(&our_signal, memory_order_relaxed))
        return real.sigaction(number, action, old);
    struct sigaction wanted, former;
    if (action)
        wanted = *action; /* the program's memory, and its fault if it is none, before anything is locked */
    uint64_t before = block_all();
    while (atomic_exchange(&changing, 1))
        sys_yield();
    former = programs_copy();
    int result = action ? install(number, &wanted) : 0;
    if (action && result == 0)
        set_programs(&wanted);
    atomic_store(&changing, 0);
    unblock(before);
    if (old && result == 0)
        *old = former;
    return result;
}

HS_EXPORT void (*signal(int number, void (*handler)(int)))(int)
{
    real_ensure();
    if (number == 0 || number != atomic_load_explicit(&our_signal, memory_order_relaxed))
        return real.signal(number, handler);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, number);
    return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

void snapshot_signal_start(void)
{
    int number = (int)atomic_load(&session.shared->snapshot_signal);
    struct sigaction found;
    if (number <= 0 || number > 64 || real.sigaction(number, NULL, &found) != 0)
        return;
    set_programs(&found);
    if (install(number, &found) == 0)
        atomic_store(&our_signal, number);
}
