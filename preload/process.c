/* process.c - see process.h */
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "attach.h"
#include "emit.h"
#include "environment_loan.h"
#include "meeting.h"
#include "python/python.h"
#include "refs/modules_seen.h"
#include "session.h"
#include "snapshot/take.h"
#include "stack_table.h"
#include "summon.h"
#include "sys.h"
#include "thread.h"
#include "unwind.h"
#include "watch/watch.h"

static _Atomic uint64_t fork_ids;
static uint64_t last_fork_id; /* of the fork that the forking thread is in or has just done; libc runs one at a time */

static void before_fork(void)
{
    struct thread *self = hook_enter();
    if (!self)
        return;
    int saved_errno = errno;
    struct hs_message_fork body = {.fork_id = atomic_fetch_add(&fork_ids, 1) + 1, .pid = 0};
    last_fork_id = self->fork_id = body.fork_id;
    emit_message(self, HS_MESSAGE_FORK, &(struct emit_part){&body, sizeof body}, 1);
    errno = saved_errno;
    hook_leave(self);
}

static void after_fork_in_parent(void)
{
    struct thread *self = hook_enter();
    if (!self)
        return;
    self->fork_id = 0;
    hook_leave(self);
}

/* A child that is not traced. `still_used`: the parent's session, for a hook of ours that this fork has interrupted. */
static void leave_parent(struct thread *self, struct hs_session *still_used)
{
    session_end(HS_ATTACHED); /* of a session of its own, when it had got one */
    session.pid = sys_getpid();
    if (still_used && !session.shared)
        session.shared = still_used;
    else
        thread_forget_others(self); /* should it be attached to, nobody has to wait for them */
}

/*
 * The child of a traced process gets a session of its own. Its stack table goes on with the parent's numbers, so the
 * nodes are copied. The parent's mappings are given back, unless the fork was made by a signal handler that interrupted
 * one of our hooks: that hook will still finish a write there, the same as its twin in the parent does.
 */
static bool start_child_session(void)
{
    struct thread *self = thread_self;
    uint32_t depth_then = self ? self->depth : 0;
    uint64_t fork_id = self ? self->fork_id : 0;
    if (self)
        self->depth = 1;

    struct hs_session *parent = session.shared;
    uint64_t parent_id = parent->id;
    static struct hs_node *parent_segments[HS_MAX_NODE_SEGMENTS];
    for (unsigned i = 0; i < HS_MAX_NODE_SEGMENTS; i++) {
        parent_segments[i] = session.node_segments[i];
        session.node_segments[i] = NULL;
    }
    snapshot_after_fork();
    struct session_mappings old = session_detach_mappings();
    uint32_t nodes = atomic_load_explicit(&parent->node_count, memory_order_acquire);
    if (nodes > HS_NODE_MAX + 1)
        nodes = HS_NODE_MAX + 1;

    bool traced = meeting_hello(HS_HELLO_FORKED, parent_id, fork_id) && stack_table_copy(parent_segments, nodes);
    if (depth_then == 0)
        session_unmap(old);
    if (traced)
        traced = thread_after_fork(self);
    if (!traced) {
        leave_parent(self, depth_then ? parent : NULL);
        if (self)
            self->depth = depth_then;
        return false;
    }
    self = thread_self;
    if (self) {
        unwind_after_fork(self);
        python_after_fork(self);
        watch_after_fork(self);
        modules_seen_after_fork(self);
        self->depth = depth_then;
    }
    summon_offer();
    session_begin();
    return true;
}

bool process_after_raw_fork(void)
{
    /* The pid in it: the word itself is copied by fork, and a grandchild must not take it for its own. */
    static _Atomic int starting;
    int pid = sys_getpid();
    if (session.pid == pid)
        return false; /* not a child: tracing is about to begin or has just ended */
    if (atomic_exchange(&starting, pid) == pid)
        return false;
    return start_child_session();
}

static void after_fork_in_child(void)
{
    environment_loan_forked();
    attach_after_fork();
    if (atomic_load(&session.state) != SESSION_ON)
        return;
    int saved_errno = errno;
    start_child_session();
    errno = saved_errno;
}

void process_prepare(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

bool process_is_own(void)
{
    return sys_getpid() == session.pid;
}

/* A message from where the hook guard may or may not be held already. */
static void tell(enum hs_message_kind kind, const void *body, size_t length)
{
    if (atomic_load(&session.state) != SESSION_ON || !process_is_own())
        return;
    int saved_errno = errno;
    struct thread *self = hook_enter();
    if (self) {
        emit_message(self, kind, &(struct emit_part){body, length}, 1);
        hook_leave(self);
    }
    errno = saved_errno;
}

void process_forked(pid_t child)
{
    struct hs_message_fork body = {.fork_id = last_fork_id, .pid = child};
    tell(HS_MESSAGE_FORKED, &body, sizeof body);
}

void process_exec_begins(void)
{
    snapshot_before_exec();
    tell(HS_MESSAGE_EXEC, "", 0);
}

void process_exec_failed(void)
{
    tell(HS_MESSAGE_EXEC_FAILED, "", 0);
}

void process_exits(int status, const void *frame, bool by_exit)
{
    if (by_exit && process_is_own())
        modules_seen_loader_called();
    snapshot_at_exit(frame, by_exit);
    struct hs_message_exit body = {.status = status};
    tell(HS_MESSAGE_EXIT, &body, sizeof body);
    snapshot_farewell();
}
