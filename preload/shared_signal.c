/* shared_signal.c - see shared_signal.h */
#include "shared_signal.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

#include "real.h"
#include "sys.h"

#define MOST_SHARED 2

static struct shared {
    _Atomic int number;   /* 0: not in use. Once set it stays: a signal that has come already may still call the handler */
    _Atomic bool stopped; /* the program's own again: nothing is kept for it */
    const struct shared_signal_use *use;
    /* What the program has set for it. Written with all signals blocked, under `changing`; a handler copies it. */
    struct sigaction programs;
    _Atomic uint32_t version; /* odd while `programs` is being written */
} shared[MOST_SHARED];

static _Atomic uint32_t changing;

/* Which was shared at some time. */
static struct shared *find(int number)
{
    for (unsigned i = 0; i < MOST_SHARED; i++)
        if (number > 0 && atomic_load_explicit(&shared[i].number, memory_order_acquire) == number)
            return &shared[i];
    return NULL;
}

static struct shared *find_in_force(int number)
{
    struct shared *signal = find(number);
    return signal && !atomic_load_explicit(&signal->stopped, memory_order_acquire) ? signal : NULL;
}

static uint64_t set_mask(uint64_t mask)
{
    uint64_t before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&before, sizeof mask, 0, 0);
    return before;
}

static uint64_t lock(void)
{
    uint64_t before = set_mask(~UINT64_C(0));
    while (atomic_exchange(&changing, 1))
        sys_yield();
    return before;
}

static void unlock(uint64_t before)
{
    atomic_store(&changing, 0);
    set_mask(before);
}

static struct sigaction programs_copy(const struct shared *signal)
{
    struct sigaction copy;
    uint32_t seen;
    do {
        while ((seen = atomic_load(&signal->version)) & 1)
            sys_yield();
        copy = signal->programs;
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&signal->version) != seen);
    return copy;
}

static void set_programs(struct shared *signal, const struct sigaction *action)
{
    atomic_fetch_add(&signal->version, 1);
    signal->programs = *action;
    atomic_fetch_add(&signal->version, 1);
}

static bool is_function(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void forget_handler(struct shared *signal)
{
    struct sigaction none = {.sa_handler = SIG_DFL};
    uint64_t before = lock();
    set_programs(signal, &none);
    unlock(before);
}

/* The kernel's set of signals is the beginning of libc's. */
static uint64_t mask_of(const sigset_t *set)
{
    uint64_t mask;
    memcpy(&mask, set, sizeof mask);
    return mask;
}

/* What happens without a handler: the signal comes once more, when ours has returned, and then by default. */
static void take_default(int number, const siginfo_t *info, const struct sigaction *action)
{
    /* What the kernel raises itself (a breakpoint instruction) cannot be ignored. */
    if (action->sa_handler == SIG_IGN && info->si_code <= 0)
        return;
    struct sigaction none = {.sa_handler = SIG_DFL};
    real.sigaction(number, &none, NULL);
    sys_tgkill(sys_getpid(), sys_gettid(), number);
}

/* Not for us. */
static __attribute__((noinline)) void pass_on(struct shared *signal, int number, siginfo_t *info, void *context,
                                              int saved_errno)
{
    struct sigaction action = programs_copy(signal);
    if (is_function(&action)) {
        if (action.sa_flags & (int)SA_RESETHAND)
            forget_handler(signal);
        if (signal->use->uninterrupted) {
            uint64_t self = action.sa_flags & SA_NODEFER ? 0 : UINT64_C(1) << (number - 1);
            set_mask(mask_of(&((ucontext_t *)context)->uc_sigmask) | mask_of(&action.sa_mask) | self);
        }
        errno = saved_errno;
        if (action.sa_flags & SA_SIGINFO)
            action.sa_sigaction(number, info, context);
        else
            action.sa_handler(number);
    } else if (signal->use->default_kept) {
        take_default(number, info, &action);
    }
}

/* Small: there may be little left of the stack. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    struct shared *signal = find(number);
    if (signal && !signal->use->take(info, context))
        pass_on(signal, number, info, context, saved_errno);
    errno = saved_errno;
}

/* Our handler, with what the program's asks for; without one, so that calls go on. */
static int install(int number, const struct shared_signal_use *use, const struct sigaction *wanted)
{
    struct sigaction ours = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (is_function(wanted)) {
        ours.sa_mask = wanted->sa_mask;
        ours.sa_flags = SA_SIGINFO | (wanted->sa_flags & ~(int)SA_RESETHAND);
    }
    if (use->uninterrupted) {
        sigfillset(&ours.sa_mask);
        ours.sa_flags = (ours.sa_flags & ~SA_NODEFER) | SA_ONSTACK;
    }
    return real.sigaction(number, &ours, NULL);
}

HS_EXPORT int sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict old)
{
    real_ensure();
    struct shared *signal = find_in_force(number);
    if (HS_LIKELY(!signal))
        return real.sigaction(number, action, old);
    struct sigaction wanted, former;
    if (action)
        wanted = *action; /* the program's memory, and its fault if it is none, before anything is locked */
    uint64_t before = lock();
    former = programs_copy(signal);
    int result = action ? install(number, signal->use, &wanted) : 0;
    if (action && result == 0)
        set_programs(signal, &wanted);
    unlock(before);
    if (old && result == 0)
        *old = former;
    return result;
}

HS_EXPORT void (*signal(int number, void (*handler)(int)))(int)
{
    real_ensure();
    if (HS_LIKELY(!find_in_force(number)))
        return real.signal(number, handler);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, number);
    return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

bool shared_signal_used(void)
{
    bool used = false;
    for (unsigned i = 0; i < MOST_SHARED; i++)
        used |= find_in_force(atomic_load_explicit(&shared[i].number, memory_order_relaxed)) != NULL;
    return used;
}

bool shared_signal_waited(int number, siginfo_t *info)
{
    const struct shared *signal = find_in_force(number);
    return signal && signal->use->waited && signal->use->waited(info);
}

static bool is_ours(const struct sigaction *action)
{
    return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

bool shared_signal_is_ours(int number)
{
    struct sigaction now;
    return real.sigaction(number, NULL, &now) == 0 && is_ours(&now);
}

/* The one that it had before, or a free one. */
static struct shared *place_for(int number)
{
    struct shared *signal = find(number);
    for (unsigned i = 0; i < MOST_SHARED && !signal; i++)
        if (atomic_load(&shared[i].number) == 0)
            signal = &shared[i];
    return signal;
}

bool shared_signal_start(int number, const struct shared_signal_use *use)
{
    struct sigaction found;
    bool started = false;
    uint64_t before = lock();
    struct shared *signal = number > 0 && number <= 64 && !find_in_force(number) ? place_for(number) : NULL;
    if (signal && real.sigaction(number, NULL, &found) == 0) {
        if (!is_ours(&found)) /* else it could not be stopped entirely, and what the program had set is known */
            set_programs(signal, &found);
        else
            found = programs_copy(signal);
        signal->use = use;
        atomic_store_explicit(&signal->number, number, memory_order_release);
        started = install(number, use, &found) == 0;
        atomic_store_explicit(&signal->stopped, !started, memory_order_release);
    }
    unlock(before);
    return started;
}

void shared_signal_stop(int number, bool give_back)
{
    struct sigaction now;
    uint64_t before = lock();
    struct shared *signal = find_in_force(number);
    if (signal) {
        struct sigaction programs = programs_copy(signal);
        if (give_back && real.sigaction(number, NULL, &now) == 0 && is_ours(&now))
            real.sigaction(number, &programs, NULL);
        atomic_store_explicit(&signal->stopped, true, memory_order_release);
    }
    unlock(before);
}
