/*
 * hook_sigwait.c - sigwait and its kin do not give the program a signal that is for us.
 *
 * What a watchpoint raises while the program blocks SIGTRAP stays pending, and a program that waits for all signals
 * would get it. It is taken here, as by the handler, and the wait goes on.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>

#include "real.h"
#include "shared_signal.h"
#include "sys.h"

#define SECOND UINT64_C(1000000000)

HS_EXPORT int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info)
{
    siginfo_t own;
    real_ensure();
    for (;;) {
        int saved_errno = errno, number = real.sigwaitinfo(set, info ? info : &own);
        if (HS_LIKELY(number <= 0 || !shared_signal_waited(number, info ? info : &own)))
            return number;
        errno = saved_errno;
    }
}

HS_EXPORT int sigwait(const sigset_t *restrict set, int *restrict number)
{
    siginfo_t info;
    int saved_errno = errno, got;
    real_ensure();
    if (HS_LIKELY(!shared_signal_used()))
        return real.sigwait(set, number);
    while ((got = sigwaitinfo(set, &info)) < 0 && errno == EINTR)
        errno = saved_errno;
    int code = got < 0 ? errno : 0;
    if (code == 0)
        *number = got;
    errno = saved_errno;
    return code;
}

HS_EXPORT int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info,
                           const struct timespec *restrict timeout)
{
    siginfo_t own;
    struct timespec left;
    real_ensure();
    if (HS_LIKELY(!timeout || !shared_signal_used()))
        return timeout ? real.sigtimedwait(set, info, timeout) : sigwaitinfo(set, info);
    left = *timeout;
    uint64_t began = sys_monotonic_ns(), whole = (uint64_t)left.tv_sec * SECOND + (uint64_t)left.tv_nsec;
    for (;;) {
        int saved_errno = errno, number = real.sigtimedwait(set, info ? info : &own, &left);
        if (number <= 0 || !shared_signal_waited(number, info ? info : &own))
            return number;
        errno = saved_errno;
        uint64_t passed = sys_monotonic_ns() - began, rest = passed < whole ? whole - passed : 0;
        left = (struct timespec){.tv_sec = (time_t)(rest / SECOND), .tv_nsec = (long)(rest % SECOND)};
    }
}
