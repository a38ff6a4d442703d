/* snapshot_signal.c - see snapshot_signal.h */
#include "snapshot_signal.h"

#include <stdatomic.h>

#include "session.h"
#include "shared_signal.h"

/* The program's own handler is to run, too. */
static bool take(siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (atomic_load(&session.state) == SESSION_ON && session.shared)
        atomic_fetch_add(&session.shared->snapshot_wanted, 1);
    return false;
}

static const struct shared_signal_use use = {.take = take};

void snapshot_signal_start(void)
{
    shared_signal_start((int)atomic_load(&session.shared->snapshot_signal), &use);
}
