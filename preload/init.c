/*
 * init.c - the library's constructor: the order in which tracing begins.
 *
 * Everything here happens before main and before the program has a second thread. Whatever fails leaves the program
 * untraced and otherwise as it was.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "environment.h"
#include "hook_malloc.h"
#include "hook_process.h"
#include "hook_replaced.h"
#include "meeting.h"
#include "python/python.h"
#include "real.h"
#include "recorder_start.h"
#include "refs/modules_seen.h"
#include "session.h"
#include "snapshot_signal.h"
#include "stack.h"
#include "summon.h"
#include "sys.h"
#include "thread.h"
#include "watch/watch.h"

/* Nonzero in every process but a forked child, whatever made it. */
static bool prepare_live_word(void)
{
    return sys_madvise(&tracing_live, sizeof tracing_live, MADV_WIPEONFORK) == 0;
}

/*
 * Symbols that we asked for in vain have left a message for the program's next dlerror(), in blocks that nobody has
 * seen being allocated. The first call takes the message, the second frees the blocks.
 */
static void forget_dlerror(void)
{
    dlerror();
    dlerror();
}

static void start_tracing(const char *argument0)
{
    session.generation = 1;
    session_begin();
    struct thread *self = hook_enter();
    if (!self) {
        session_end(HS_ATTACHED);
        return;
    }
    /* A program that only embeds an interpreter, now or later, has native code of its own to show. */
    stack_want_native = session.options & HS_OPTION_NATIVE || !python_present() || !python_is_program(argument0);
    watch_start(self);
    python_start(self);
    hook_replaced_start(self);
    modules_seen_start(self);
    if (python_state == PYTHON_STARTING)
        atomic_store(&hook_malloc_chores, HOOK_MALLOC_ALWAYS);
    forget_dlerror();
    snapshot_signal_start();
    summon_offer();
    hook_leave(self);
}

__attribute__((constructor)) static void heapsake_start(int argc, char **argv, char **envp)
{
    int saved_errno = errno;
    environment_take(envp);
    real_resolve();
    bool alone = environment_session()[0] == '\0';
    if (!prepare_live_word() || (alone && (environment_library()[0] == '\0' || !recorder_start(envp)))) {
        errno = saved_errno;
        return;
    }
    if (meeting_hello(HS_HELLO_START, 0, 0)) {
        thread_prepare();
        hook_process_prepare();
        start_tracing(argc > 0 ? argv[0] : "");
    } else {
        forget_dlerror();
    }
    errno = saved_errno;
}
