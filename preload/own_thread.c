/* own_thread.c - see own_thread.h */
#include "own_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include "real.h"
#include "sys.h"

static bool create(const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    pthread_t thread;
    uint64_t blocked = ~(UINT64_C(1) << (32 - 1) | UINT64_C(1) << (33 - 1)), before = 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&blocked, (long)&before, sizeof blocked, 0, 0);
    bool started = real.pthread_create(&thread, attributes, run, argument) == 0;
    sys_call6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
    return started;
}

bool own_thread_start(void *stack, size_t stack_bytes, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    int code = stack ? pthread_attr_setstack(&attributes, stack, stack_bytes)
                     : pthread_attr_setstacksize(&attributes, stack_bytes);
    bool started = code == 0 && pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                   create(&attributes, run, argument);
    pthread_attr_destroy(&attributes);
    return started;
}
