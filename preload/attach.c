/*
 * attach.c - tracing of a process that runs already: its beginning, and its end without a trace of it.
 *
 * The injector (analyzer/record/injection.h), or a script that Python runs (script_door.c), makes the process open this
 * library and call the two functions below on a thread of its own, with all signals blocked, which ends when they
 * return. So they may wait and take locks as any thread may; what they must not do is to keep others waiting.
 *
 *   attach   meet the recorder; with the GIL, wrap CPython's allocators; without it, point GOT entries to the hooks;
 *            with it, watches on what --watch names by address, and a first snapshot
 *
 *   detach   with the GIL, a last snapshot, and the allocators back; without it, the GOT entries back; leave the
 *            session; when nobody is inside of a hook, close the watchpoints, give SIGTRAP back, and unmap it
 *
 * Until it has the GIL an attach has changed nothing but for watchpoints, which it takes back, and can be called off by
 * the recorder (hs_session.stop). What stays after a detach is the library, what arena.h has mapped (the structs of
 * threads, which find them again), a handler of fork and of exit, and a key of threads' own data; none of them does
 * anything without a session. Another attach begins another session.
 */
#include "attach.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>

#include "emit.h"
#include "environment.h"
#include "hook_malloc.h"
#include "hook_process.h"
#include "hook_replaced.h"
#include "hook_got.h"
#include "loader_lock.h"
#include "meeting.h"
#include "modules.h"
#include "python/capi.h"
#include "python/code_table.h"
#include "python/python.h"
#include "python/type_table.h"
#include "real.h"
#include "refs/modules_seen.h"
#include "session.h"
#include "snapshot/take.h"
#include "stack.h"
#include "stack_table.h"
#include "summon.h"
#include "sys.h"
#include "thread.h"
#include "watch/watch.h"

#define QUIESCE_NS UINT64_C(2000000000)
#define WAIT_NS UINT64_C(100000000) /* between two looks, should a wake-up be missed */

static _Atomic uint32_t busy; /* the thread that attaches or detaches, one at a time; 0: none */
static bool hooked;           /* something is in place that a detach has to take back */

static void tell_state(enum hs_attach_state state)
{
    atomic_store_explicit(&session.shared->attach_state, state, memory_order_release);
}

static bool is_called_off(void)
{
    return atomic_load_explicit(&session.shared->stop, memory_order_acquire) != HS_GO;
}

/* What is done once in the life of a process. False: this process cannot be traced. */
static bool prepare(void)
{
    static bool prepared;
    if (prepared)
        return true;
    if (sys_madvise(&tracing_live, sizeof tracing_live, MADV_WIPEONFORK) != 0)
        return false;
    real_resolve_late();
    thread_prepare();
    hook_process_prepare();
    return prepared = true;
}

/* Nothing that was told to another recorder is known to this one. */
static void forget_session(void)
{
    stack_table_forget();
    code_table_forget_all();
    type_table_forget_all();
    modules_forget();
    snapshot_after_fork();
}

/* When no thread is inside of a hook. */
static void unmap_session(void)
{
    forget_session();
    session_unmap(session_detach_mappings());
}

/* Those inside of a hook have written their events when the recorder hears that there are no more. */
static void leave_session(enum hs_detach why)
{
    session_close();
    bool quiet = thread_quiesce(QUIESCE_NS);
    if (quiet)
        watch_stop();
    session_tell_end(why);
    snapshot_wait(); /* reaps its child, of which nothing is known afterwards */
    if (quiet)
        unmap_session(); /* else somebody may still write into it: it stays mapped until the next attach */
}

/* ---- the beginning ---- */

/* What the process executes is traced by way of its environment, as under `heapsake run`. */
static void follow(void)
{
    Dl_info own;
    bool wanted = session.options & HS_OPTION_FOLLOW && dladdr((const void *)(uintptr_t)heapsake_attach, &own);
    environment_set_library(wanted ? own.dli_fname : "");
}

static void start_watches_here(uint64_t come, uint64_t gone, void *self)
{
    (void)come;
    (void)gone;
    watch_start(self);
}

/* This thread blocks all signals; trying a watchpoint out takes a few of that one. */
static void start_watches(struct thread *self)
{
    uint64_t trap = UINT64_C(1) << (SIGTRAP - 1);
    sys_call6(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&trap, 0, sizeof trap, 0, 0);
    loader_lock_held(start_watches_here, self);
    sys_call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&trap, 0, sizeof trap, 0, 0);
}

/* With the loader's lock. */
static void choose_frames(uint64_t come, uint64_t gone, void *unused)
{
    (void)come;
    (void)gone;
    (void)unused;
    stack_want_native =
        session.options & HS_OPTION_NATIVE || !python_present() || !python_is_program(program_invocation_name);
}

static void look_at_what_is_there(struct thread *self)
{
    watch_addresses(self);
    if (session.options & HS_OPTION_SNAPSHOTS)
        snapshot_take(self, HS_SNAPSHOT_ATTACH, 0);
}

/* Without the GIL: who has the loader's lock may be waiting for it, in a module that is being imported. */
static void install_got(struct thread *self)
{
    hooked = true;
    if (hook_got_prepare())
        hook_got_install(self);
    else
        emit_blind_spot(
            self, "The C library is too old: calls of malloc and free are not seen in a process that was attached to.");
    hook_replaced_start(self);
}

/* False: it was called off. */
static bool install_with_gil(struct thread *self)
{
    tell_state(HS_ATTACH_AWAITS_PYTHON);
    int state = python_capi.PyGILState_Ensure();
    bool called_off = is_called_off();
    if (!called_off) {
        hooked = true;
        python_attach();
    }
    python_capi.PyGILState_Release(state);
    if (called_off) {
        python_forget();
        return false;
    }
    install_got(self);
    if (python_has_gil()) {
        state = python_capi.PyGILState_Ensure();
        look_at_what_is_there(self);
        python_capi.PyGILState_Release(state);
    }
    return true;
}

static bool install(struct thread *self, enum python_state python)
{
    if (python == PYTHON_RUNNING)
        return install_with_gil(self);
    if (python == PYTHON_STARTING)
        python_poll(self);
    install_got(self);
    look_at_what_is_there(self);
    return true;
}

static void attach(const char *session_name)
{
    /* Traced before: nothing of that may be left, also where this is a child that went untraced. */
    if (session.generation) {
        if (!thread_quiesce(QUIESCE_NS))
            return;
        watch_stop();
        unmap_session();
    }
    environment_set_session(session_name);
    session.generation++;
    if (!meeting_hello(HS_HELLO_ATTACHED, 0, 0))
        return;
    atomic_store(&session.threaded, 1);
    atomic_store(&session.shared->threaded, 1);
    tell_state(HS_ATTACH_MET);
    session_begin();
    struct thread *self = hook_enter();
    if (!self) {
        leave_session(HS_DETACHED_ASKED);
        return;
    }
    loader_lock_held(choose_frames, NULL);
    modules_seen_start(self);
    start_watches(self);
    bool in_place = install(self, python_find(self));
    if (in_place) {
        follow();
        summon_offer();
        tell_state(HS_ATTACH_DONE);
    }
    hook_leave(self);
    if (!in_place)
        leave_session(HS_DETACHED_ASKED);
}

/* ---- the end ---- */

static void take_last_snapshot(struct thread *self)
{
    if (session.options & HS_OPTION_SNAPSHOTS)
        snapshot_take(self, HS_SNAPSHOT_DETACH, 0);
}

/*
 * The interpreter may have come, gone, or been finalized since the attach. One that does not run has no GIL to take;
 * its allocators are put back all the same, each function by one that goes with the others.
 */
static void remove_from_python(bool with_gil)
{
    struct thread *self = hook_enter(); /* NULL: tracing has ended before, because the recorder did */
    if (self) {
        take_last_snapshot(self);
        watch_end(self);
    }
    bool all = python_detach(with_gil);
    if (self && !all)
        emit_blind_spot(self, "Something had put its own allocator above heapsake's: that stays, and passes calls on.");
    if (self)
        hook_leave(self);
}

/* Without the GIL, as install_got(). */
static void remove_got(void)
{
    struct thread *self = hook_enter();
    hook_replaced_stop();
    if (!hook_got_remove() && self)
        emit_blind_spot(
            self,
            "GOT entries of some modules were sealed meanwhile: they lead to heapsake's hooks for ever, which pass "
            "calls on.");
    if (self)
        hook_leave(self);
}

static void remove_with_gil(void)
{
    /* Its thread state comes and goes unseen. */
    struct thread *self = hook_enter();
    int state = python_capi.PyGILState_Ensure();
    if (self)
        hook_leave(self);
    remove_from_python(true);
    self = hook_enter();
    python_capi.PyGILState_Release(state);
    if (self)
        hook_leave(self);
}

static void detach(void)
{
    snapshot_wait(); /* one that is under way keeps the last one from being taken */
    if (python_has_gil())
        remove_with_gil();
    else
        remove_from_python(false);
    remove_got();
    hooked = false;
    environment_set_library("");
    atomic_store(&hook_malloc_chores, 0);
    leave_session(HS_DETACHED_ASKED);
    python_forget();
}

/* ---- the doors ---- */

/*
 * One after the other: a detach that comes while an attach waits for the GIL has to take that back. An interpreter that
 * is being finalized ends the threads that ask for its GIL: the next one goes on where such a one has stopped.
 */
static void begin(void)
{
    uint32_t own = (uint32_t)sys_gettid(), holder = 0;
    sys_call(SYS_prctl, PR_SET_NAME, "heapsake", 0);
    while (!atomic_compare_exchange_strong(&busy, &holder, own)) {
        if (sys_tgkill(sys_getpid(), (int)holder, 0) == -ESRCH)
            continue; /* it is still the one that is expected */
        sys_futex_wait(&busy, holder, WAIT_NS);
        holder = 0;
    }
}

static void end(void)
{
    atomic_store(&busy, 0);
    sys_futex_wake_all(&busy);
}

void attach_after_fork(void)
{
    atomic_store(&busy, 0);
}

HS_EXPORT void heapsake_attach(const char *session_name)
{
    begin();
    if (atomic_load(&session.state) == SESSION_ON && !session_recorder_alive())
        session_end(HS_DETACHED_RECORDER_DIED); /* which no full ring has shown yet */
    if (atomic_load(&session.state) != SESSION_ON) {
        if (hooked)
            detach(); /* of a recorder that has died */
        if (prepare())
            attach(session_name);
    } else {
        meeting_decline(session_name);
    }
    end();
}

HS_EXPORT void heapsake_detach(const char *session_name)
{
    begin();
    if (strcmp(session_name, environment_session()) != 0)
        ; /* of a session that is over: this one is another recorder's */
    else if (hooked)
        detach();
    else if (atomic_load(&session.state) == SESSION_ON)
        session_end(HS_DETACHED_ASKED); /* preloaded, by a process that is followed: the hooks pass calls on */
    end();
}
