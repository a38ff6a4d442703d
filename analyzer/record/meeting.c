/* meeting.c - hellos: who connects, may it, and what it gets. Main thread; nothing here may wait. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/asking.h"
#include "record/proc_folder.h"
#include "record/process_info.h"
#include "record/recorder_private.h"

#define MAX_GENERATIONS 100u /* looked through for a parent that is traced */

struct connection {
    struct connection *next;
    int fd;
    uint64_t since_ns;
};

static void accept_all(struct recorder *recorder, int listen_fd)
{
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            return; /* none left; or no descriptor: the program gives up in HS_HELLO_SECONDS */
        struct connection *connection = calloc(1, sizeof *connection);
        if (!connection) {
            close(fd);
            continue;
        }
        *connection = (struct connection){.next = recorder->connections, .fd = fd, .since_ns = monotonic_ns()};
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)connection | SOURCE_CONNECTION};
        if (epoll_ctl(recorder->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
            close(fd);
            free(connection);
            continue;
        }
        recorder->connections = connection;
    }
}

void meeting_accept(struct recorder *recorder)
{
    accept_all(recorder, recorder->listen_fd);
    if (recorder->options.away_fd > 0)
        accept_all(recorder, recorder->options.away_fd);
}

static void hang_up(struct recorder *recorder, struct connection *connection)
{
    for (struct connection **at = &recorder->connections; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    if (connection->fd >= 0) {
        /* Closing alone forgets it only with its last copy, and a clone that copies blocks may hold one. */
        epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
        close(connection->fd);
    }
    free(connection);
}

int meeting_expire(struct recorder *recorder, bool all)
{
    int next_ms = -1;
    uint64_t now = monotonic_ns(), limit = HS_HELLO_SECONDS * UINT64_C(1000000000);
    for (struct connection *connection = recorder->connections, *next; connection; connection = next) {
        next = connection->next;
        uint64_t age = now - connection->since_ns;
        if (all || age >= limit) {
            hang_up(recorder, connection);
            continue;
        }
        int left_ms = (int)((limit - age) / 1000000 + 1);
        if (next_ms < 0 || left_ms < next_ms)
            next_ms = left_ms;
    }
    return next_ms;
}

void recorder_welcome(int fd, enum hs_verdict verdict, int memory_fd)
{
    struct hs_welcome answer = {.magic = HS_HELLO_MAGIC, .version = HS_SESSION_VERSION, .verdict = verdict};
    if (verdict == HS_VERDICT_TRACE && proc_ptrace_scope() == 1)
        answer.ptracer_pid = getpid(); /* so that it names us: we are no ancestor */
    struct iovec part = {&answer, sizeof answer};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (memory_fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &memory_fd, sizeof memory_fd);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
}

/* Is this process to be traced, by --children? */
static bool is_wanted(const struct recorder *recorder, const struct process *process, const struct hs_hello *hello)
{
    if (process->root)
        return true;
    /* A program that reads its own trace is not to record how. */
    if (process_info_is_heapsake(process->pid))
        return false;
    switch (recorder->options.children) {
    case CHILDREN_ALL:
        return true;
    case CHILDREN_PYTHON:
        return hello->python;
    default:
        return false;
    }
}

/* May it be traced? Fills `peer`. */
static bool is_welcome(const struct recorder *recorder, const struct connection *connection,
                       const struct hs_hello *hello, struct ucred *peer)
{
    socklen_t length = sizeof *peer;
    if (hello->magic != HS_HELLO_MAGIC || hello->version != HS_SESSION_VERSION || atomic_load(&recorder->stopping) ||
        getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, peer, &length) != 0)
        return false;
    /* A pid of 0 is one that we cannot see from our namespace: nor could we see it die. */
    return peer->pid > 0 && (peer->uid == geteuid() || peer->uid == 0 || geteuid() == 0);
}

/* That of a process which is traced at this moment; NULL: it is not. */
static const struct session *session_of(const struct recorder *recorder, pid_t pid)
{
    for (const struct session *session = recorder->all; session; session = session->next_of_all)
        if (session->process->pid == pid && !atomic_load(&session->over) && !atomic_load(&session->process->dead))
            return session;
    return NULL;
}

/* The session of the process, or of its nearest ancestor that has one; 0: none has. */
static uint64_t session_above(const struct recorder *recorder, pid_t pid)
{
    for (unsigned generation = 0; pid > 1 && generation < MAX_GENERATIONS; generation++) {
        const struct session *session = session_of(recorder, pid);
        if (session)
            return session->id;
        pid = process_info_parent(pid);
    }
    return 0;
}

/* Has it been killed, or given up and runs untraced? */
static bool has_hung_up(const struct connection *connection)
{
    struct pollfd caller = {.fd = connection->fd};
    return poll(&caller, 1, 0) == 1 && (caller.revents & POLLHUP);
}

static enum hs_verdict answer(struct recorder *recorder, const struct connection *connection,
                              const struct hs_hello *hello, struct session **session)
{
    struct ucred peer;
    if (!is_welcome(recorder, connection, hello, &peer) || has_hung_up(connection))
        return HS_VERDICT_REFUSE;
    struct process *process = recorder_process(recorder, peer.pid);
    if (!process)
        return HS_VERDICT_REFUSE;
    recorder->root_said_hello |= process->root;
    /* While processes are left, none is added: nobody would leave it. */
    if (recorder->detaching || !is_wanted(recorder, process, hello))
        return HS_VERDICT_IGNORE;
    struct error error = {0};
    if (session_new(session, recorder, process, &error) != 0) {
        char text[sizeof error.text + 64];
        snprintf(text, sizeof text, "%s; process %d runs untraced", error.text, (int)process->pid);
        recorder_say(recorder, text);
        return HS_VERDICT_REFUSE;
    }
    oom_process_begin(recorder->oom_kills, &process->oom, process->pid);
    (*session)->python = hello->python;
    (*session)->same_pids = hello->pid == peer.pid;
    if (hello->kind == HS_HELLO_ATTACHED)
        session_is_attached(*session);
    if (hello->kind == HS_HELLO_FORKED) {
        (*session)->forked = true;
        (*session)->parent_id = hello->parent_session;
        (*session)->fork_id = hello->fork_id;
    } else {
        (*session)->parent_id = session_above(recorder, (*session)->parent_pid);
    }
    return HS_VERDICT_TRACE;
}

/* Frees the connection, but not its descriptor, which is returned. */
static int take_over(struct recorder *recorder, struct connection *connection)
{
    int fd = connection->fd;
    epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    connection->fd = -1;
    hang_up(recorder, connection);
    return fd;
}

/* The child of a snapshot: it waits until the drain thread has an area for it. */
static void meet_snapshot_child(struct recorder *recorder, struct connection *connection, const struct hs_hello *hello)
{
    struct ucred peer;
    bool welcome = is_welcome(recorder, connection, hello, &peer);
    int pidfd = welcome ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : -1;
    struct snapshot_child *child = pidfd >= 0 ? snapshot_child_new(connection->fd, peer.pid, pidfd, hello) : NULL;
    if (!child) {
        if (pidfd >= 0)
            close(pidfd);
        recorder_welcome(connection->fd, HS_VERDICT_REFUSE, -1);
        hang_up(recorder, connection);
        return;
    }
    take_over(recorder, connection);
    pthread_mutex_lock(&recorder->lock);
    child->next = recorder->children_met;
    recorder->children_met = child;
    pthread_mutex_unlock(&recorder->lock);
    recorder_wake_drain(recorder);
}

/* Its library says that it serves another recorder. */
static void meet_taken(struct recorder *recorder, struct connection *connection, const struct hs_hello *hello)
{
    struct ucred peer;
    if (is_welcome(recorder, connection, hello, &peer))
        recorder->root_is_taken |= recorder->root && recorder->root->pid == peer.pid;
    recorder_welcome(connection->fd, HS_VERDICT_REFUSE, -1);
    hang_up(recorder, connection);
}

static void send_answer(int fd, enum answer_kind kind, const char *text)
{
    asking_answer(fd, &(struct ask_answer){.kind = kind}, text);
}

/* `heapsake snapshot` asks. Only the user whose recorder this is, and root, may. */
static void be_asked(struct recorder *recorder, struct connection *connection, const struct ask *ask)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    bool allowed = getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
                   (peer.uid == geteuid() || peer.uid == 0);
    struct snapshot_asker *asker = NULL;
    bool detach = ask->what == ASK_DETACH;
    if (!session_of(recorder, ask->pid)) {
        send_answer(connection->fd, ANSWER_NOT_MINE, "");
    } else if (ask->version != ASK_VERSION) {
        send_answer(connection->fd, ANSWER_FAILED, "its recorder is of another version of heapsake");
    } else if (!allowed) {
        send_answer(connection->fd, ANSWER_FAILED, "it is another user's: only that user and root may ask");
    } else if (detach && !recorder->options.attach) {
        send_answer(connection->fd, ANSWER_FAILED, "heapsake run has started it, and traces it to its end");
    } else if (detach) {
        send_answer(connection->fd, ANSWER_WAIT, "");
        detaching_await(recorder, take_over(recorder, connection));
        detaching_begin(recorder);
        return;
    } else if ((asker = snapshot_asker_new(connection->fd, ask->pid))) {
        send_answer(connection->fd, ANSWER_WAIT, "");
        take_over(recorder, connection);
        pthread_mutex_lock(&recorder->lock);
        asker->next = recorder->asked;
        recorder->asked = asker;
        pthread_mutex_unlock(&recorder->lock);
        recorder_wake_drain(recorder);
        return;
    }
    hang_up(recorder, connection);
}

static void be_greeted(struct recorder *recorder, struct connection *connection, const struct hs_hello *hello)
{
    if (hello->kind == HS_HELLO_SNAPSHOT) {
        meet_snapshot_child(recorder, connection, hello);
        return;
    }
    if (hello->kind == HS_HELLO_TAKEN) {
        meet_taken(recorder, connection, hello);
        return;
    }
    struct session *session = NULL;
    enum hs_verdict verdict = answer(recorder, connection, hello, &session);
    int memory_fd = session ? session->memory_fd : -1;
    /* The drain thread knows it before the program does. */
    if (session)
        recorder_pass_on(recorder, session);
    recorder_welcome(connection->fd, verdict, memory_fd);
    hang_up(recorder, connection);
}

void meeting_read(struct recorder *recorder, struct connection *connection)
{
    union {
        struct hs_hello hello;
        struct ask ask;
    } words;
    ssize_t got;
    do
        got = recv(connection->fd, &words, sizeof words, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got == sizeof words.hello)
        be_greeted(recorder, connection, &words.hello);
    else if (got == sizeof words.ask && words.ask.magic == ASK_MAGIC)
        be_asked(recorder, connection, &words.ask);
    else
        hang_up(recorder, connection);
}
