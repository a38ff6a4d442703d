/* recorder.c - see recorder.h: the recorder's main thread */
#include "record/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/launch.h"
#include "record/process_info.h"
#include "record/recorder_private.h"

/* How long to listen on when nobody is left: for children whose parents ended before they could say hello. */
#define LINGER_NS UINT64_C(250000000)
#define LINGER_FORKED_NS UINT64_C(2000000000)

/* ---- listening ---- */

int recorder_listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length == 0 || length > sizeof address.sun_path - 1)
        return -EINVAL;
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        int code = -errno;
        close(fd);
        return code;
    }
    /* Below are the standard streams' numbers, which the program may have closed on purpose. */
    if (fd <= STDERR_FILENO) {
        int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        int code = -errno;
        close(fd);
        return higher < 0 ? code : higher;
    }
    return fd;
}

int recorder_listen(char name[SESSION_NAME_BYTES])
{
    int fd = -EADDRINUSE;
    for (int attempt = 0; fd == -EADDRINUSE && attempt < 100; attempt++) {
        uint64_t random = 0;
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
            random = monotonic_ns() * UINT64_C(0x9e3779b97f4a7c15);
        snprintf(name, SESSION_NAME_BYTES, "heapsake.%ld.%016llx", (long)getpid(), (unsigned long long)random);
        fd = recorder_listen_at(name);
    }
    return fd;
}

/* ---- for the other threads ---- */

const struct recorder_options *recorder_options(const struct recorder *recorder)
{
    return &recorder->options;
}

void recorder_wake_main(struct recorder *recorder)
{
    uint64_t one = 1;
    ssize_t written = write(recorder->wake_fd, &one, sizeof one);
    (void)written; /* it fails when the counter is full: then it is awake */
}

void recorder_wake_drain(struct recorder *recorder)
{
    atomic_fetch_add(&recorder->drain_wake, 1);
    syscall(SYS_futex, &recorder->drain_wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void recorder_say(struct recorder *recorder, const char *text)
{
    size_t size = strlen(text) + 1;
    pthread_mutex_lock(&recorder->lock);
    struct said *said = recorder->said;
    while (said && strcmp(said->text, text) != 0)
        said = said->next;
    struct said *fresh = said ? NULL : malloc(sizeof *fresh + size);
    if (fresh) {
        memcpy(fresh->text, text, size);
        fresh->next = recorder->said;
        recorder->said = fresh;
        buf_append(&recorder->saying, text, size);
    }
    pthread_mutex_unlock(&recorder->lock);
    recorder_wake_main(recorder);
}

void recorder_pass_on(struct recorder *recorder, struct session *session)
{
    recorder->sessions++;
    session->next_of_all = recorder->all;
    recorder->all = session;
    if (session->process->root) {
        recorder->root_sessions++;
        recorder->root_seen = true;
    }
    session->process->references++;
    atomic_store(&recorder->last_met, session->id);
    pthread_mutex_lock(&recorder->lock);
    session->next = recorder->arrived;
    recorder->arrived = session;
    pthread_mutex_unlock(&recorder->lock);
    recorder_wake_drain(recorder);
}

/* ---- control ---- */

static void control_close(struct recorder *recorder)
{
    if (recorder->control_fd >= 0) {
        epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, recorder->control_fd, NULL); /* as in hang_up() */
        close(recorder->control_fd);
    }
    recorder->control_fd = -1;
}

static void control_send(struct recorder *recorder, enum control_kind kind, int32_t value, const void *text,
                         size_t length)
{
    if (recorder->control_fd < 0)
        return;
    struct control control = {.kind = kind, .value = value};
    struct iovec parts[] = {{&control, sizeof control}, {(void *)(uintptr_t)text, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = length ? 2 : 1};
    /* When nobody is there any more, control_read() hears of it, and does what there is to do. */
    while (sendmsg(recorder->control_fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static void send_sayings(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    struct buf saying = recorder->saying;
    recorder->saying = BUF_INIT;
    pthread_mutex_unlock(&recorder->lock);
    for (size_t at = 0; at < saying.length;) {
        size_t length = strlen((char *)saying.data + at);
        control_send(recorder, CONTROL_SAY, 0, saying.data + at, length);
        at += length + 1;
    }
    buf_free(&saying);
}

/* ---- the file of the root ---- */

static int open_root_output(struct recorder *recorder, pid_t pid, struct error *error)
{
    const struct recorder_options *options = &recorder->options;
    if (options->output) {
        recorder->file = strdup(options->output);
    } else {
        char name[256];
        if (options->program)
            snprintf(name, sizeof name, "%s", options->program);
        else
            process_info_name(pid, name, sizeof name);
        if (asprintf(&recorder->file, "heapsake.%s.%d.hsk", name, (int)pid) < 0)
            recorder->file = NULL;
    }
    if (!recorder->file)
        return error_set(error, -ENOMEM, "out of memory");
    return output_open(&recorder->root_output, recorder->file, options->force, false, error);
}

/* May the program run untraced after that failure, or would that betray what was asked? */
static bool is_refusal(int code)
{
    return code == -EEXIST || code == -ELOOP || code == -EISDIR;
}

/* ---- processes ---- */

static void watch(struct recorder *recorder, int fd, enum event_source source, void *pointer)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)pointer | source};
    epoll_ctl(recorder->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void process_release(struct recorder *recorder, struct process *process)
{
    if (--process->references > 0)
        return;
    for (struct process **at = &recorder->processes; *at; at = &(*at)->next)
        if (*at == process) {
            *at = process->next;
            break;
        }
    if (process->pidfd >= 0)
        close(process->pidfd);
    output_unref(process->last);
    oom_process_end(recorder->oom_kills, &process->oom);
    free(process->parent_file);
    free(process);
}

/* Its wait status, -1 when it is not known; and whether the kernel killed it for lack of memory. */
static void take_wait_status(struct recorder *recorder, struct process *process, int status)
{
    process->wait_status = status;
    process->out_of_memory =
        status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
        oom_process_killed(recorder->oom_kills, &process->oom, process->pid, &process->memory_limit);
    atomic_store(&process->wait_status_known, 1);
}

void recorder_process_ended(struct recorder *recorder, struct process *process)
{
    if (atomic_load(&process->dead))
        return;
    epoll_ctl(recorder->epoll_fd, EPOLL_CTL_DEL, process->pidfd, NULL);
    bool told = process->root && recorder->control_fd >= 0 && !recorder->options.attach;
    if (!atomic_load(&process->wait_status_known) && !told)
        take_wait_status(recorder, process, process_info_wait_status(process->pid, process->pidfd));
    process->met_by_then = atomic_load(&recorder->last_met);
    atomic_store(&process->dead, 1);
    process_release(recorder, process); /* the list's own reference */
    recorder_wake_drain(recorder);
}

static bool has_ended(const struct process *process)
{
    struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
    return poll(&ended, 1, 0) == 1;
}

struct process *recorder_process(struct recorder *recorder, pid_t pid)
{
    for (struct process *process = recorder->processes; process; process = process->next) {
        if (process->pid != pid || atomic_load(&process->dead))
            continue;
        if (!has_ended(process))
            return process;
        recorder_process_ended(recorder, process);
        break;
    }
    struct process *process = calloc(1, sizeof *process);
    int pidfd = process ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (pidfd < 0) {
        free(process);
        return NULL;
    }
    process->pid = pid;
    process->pidfd = pidfd;
    process->references = 1;
    process->next = recorder->processes;
    recorder->processes = process;
    watch(recorder, pidfd, SOURCE_PROCESS, process);
    return process;
}

static bool set_root(struct recorder *recorder, pid_t pid)
{
    struct process *root = recorder_process(recorder, pid);
    if (!root)
        return false;
    root->root = true;
    root->references++;
    recorder->root = root;
    return true;
}

static bool root_ended(const struct recorder *recorder)
{
    /* One that was attached to may go on without us. */
    return !recorder->root || (atomic_load(&recorder->root->dead) && atomic_load(&recorder->root->wait_status_known)) ||
           (recorder->options.attach && recorder->root_seen && recorder->root_sessions == 0);
}

/* ---- events of the main thread ---- */

/* Whoever has seen the program and its children end may look at their traces when `run` returns. */
static bool is_time_to_close(struct recorder *recorder)
{
    if (recorder->closing_sent || !recorder->root || !root_ended(recorder) || recorder->root_sessions > 0 ||
        atomic_load(&recorder->leaving))
        return false;
    /* What the kernel has not told us yet: */
    for (struct process *process = recorder->processes, *next; process; process = next) {
        next = process->next;
        if (!atomic_load(&process->dead) && has_ended(process))
            recorder_process_ended(recorder, process);
    }
    for (struct session *session = recorder->all; session; session = session->next_of_all)
        if (atomic_load(&session->over) || atomic_load(&session->process->dead))
            return false;
    return true;
}

/* Nothing was traced. Before `run` hears the last word: whoever waits for `run` may look for the file. */
static void delete_root_output(struct recorder *recorder)
{
    if (!recorder->root_output)
        return;
    output_delete(recorder->root_output);
    output_unref(recorder->root_output);
    recorder->root_output = NULL;
}

static void send_closing(struct recorder *recorder)
{
    recorder->closing_sent = true;
    detaching_answer(recorder, atomic_load(&recorder->not_left) ? "it could not be left" : NULL);
    pthread_mutex_lock(&recorder->lock);
    struct buf closing = recorder->closing;
    recorder->closing = BUF_INIT;
    char *causes = recorder->closing_causes;
    recorder->closing_causes = NULL;
    pthread_mutex_unlock(&recorder->lock);
    if (causes && strlen(causes) <= CONTROL_TEXT_MAX)
        control_send(recorder, CONTROL_CAUSES, 0, causes, strlen(causes));
    free(causes);
    for (size_t at = 0; at < closing.length; at += CONTROL_TEXT_MAX) {
        size_t length = closing.length - at < CONTROL_TEXT_MAX ? closing.length - at : CONTROL_TEXT_MAX;
        control_send(recorder, CONTROL_CLOSING, 0, closing.data + at, length);
    }
    if (!recorder->root_seen)
        delete_root_output(recorder);
    control_send(recorder, CONTROL_CLOSING,
                 !recorder->root_said_hello         ? CLOSING_NEVER_MET
                 : atomic_load(&recorder->not_left) ? CLOSING_NOT_LEFT
                                                    : CLOSING_LAST,
                 NULL, 0);
    buf_free(&closing);
}

static void control_answer(struct recorder *recorder, int code, const struct error *error)
{
    if (code == 0) {
        control_send(recorder, CONTROL_READY, 0, recorder->file, strlen(recorder->file));
    } else {
        control_send(recorder, CONTROL_REFUSED, is_refusal(code) ? 0 : 1, error->text, strlen(error->text));
        control_close(recorder);
    }
}

static void control_open(struct recorder *recorder)
{
    struct error error = {0};
    if (!recorder->root_output)
        control_answer(recorder, open_root_output(recorder, 0, &error), &error);
}

static void control_program(struct recorder *recorder, pid_t pid)
{
    struct error error = {0};
    if (recorder->root)
        return;
    bool opened = recorder->root_output != NULL;
    int code = opened ? 0 : open_root_output(recorder, pid, &error);
    if (code == 0 && !set_root(recorder, pid))
        code = error_set(&error, -ESRCH, "the program cannot be watched: %s", strerror(errno));
    if (!opened) {
        control_answer(recorder, code, &error);
    } else if (code != 0) {
        char text[sizeof error.text + 64];
        snprintf(text, sizeof text, "%s: the program runs untraced", error.text);
        recorder_say(recorder, text);
        send_sayings(recorder);
        delete_root_output(recorder);
        control_send(recorder, CONTROL_CLOSING, CLOSING_LAST, NULL, 0);
        control_close(recorder); /* nothing is left to do here, and `run` must not wait for it */
    }
}

static void control_ended(struct recorder *recorder, int status)
{
    struct process *root = recorder->root;
    if (!root || atomic_load(&root->wait_status_known))
        return;
    take_wait_status(recorder, root, status);
    recorder_process_ended(recorder, root);
    recorder_wake_drain(recorder);
}

/* `run` is gone: from now on the root is a process like the others. */
static void control_lost(struct recorder *recorder)
{
    control_close(recorder);
    struct process *root = recorder->root;
    if (recorder->options.attach) {
        detaching_begin(recorder);
        return;
    }
    if (root && atomic_load(&root->dead) && !atomic_load(&root->wait_status_known)) {
        take_wait_status(recorder, root, process_info_wait_status(root->pid, root->pidfd));
        recorder_wake_drain(recorder);
    }
}

static void control_read(struct recorder *recorder)
{
    struct control control;
    ssize_t got;
    do
        got = recv(recorder->control_fd, &control, sizeof control, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got != sizeof control)
        control_lost(recorder);
    else if (control.kind == CONTROL_OPEN)
        control_open(recorder);
    else if (control.kind == CONTROL_PROGRAM)
        control_program(recorder, control.value);
    else if (control.kind == CONTROL_ENDED)
        control_ended(recorder, control.value);
    else if (control.kind == CONTROL_DETACH)
        detaching_begin(recorder);
}

static void take_finished(struct recorder *recorder)
{
    pthread_mutex_lock(&recorder->lock);
    struct session *finished = recorder->finished;
    recorder->finished = NULL;
    pthread_mutex_unlock(&recorder->lock);
    while (finished) {
        struct session *next = finished->next;
        struct process *process = finished->process;
        recorder->sessions--;
        for (struct session **at = &recorder->all; *at; at = &(*at)->next_of_all)
            if (*at == finished) {
                *at = finished->next_of_all;
                break;
            }
        recorder->root_sessions -= process->root;
        detaching_after_stop(recorder, finished);
        session_free(finished);
        process_release(recorder, process);
        finished = next;
    }
}

static void dispatch(struct recorder *recorder, uint64_t data)
{
    enum event_source source = (enum event_source)(data & ((1u << SOURCE_BITS) - 1));
    void *pointer = (void *)(uintptr_t)(data >> SOURCE_BITS << SOURCE_BITS);
    uint64_t ignored;
    struct signalfd_siginfo signal_info;
    switch (source) {
    case SOURCE_LISTEN:
        meeting_accept(recorder);
        break;
    case SOURCE_CONTROL:
        if (recorder->control_fd >= 0)
            control_read(recorder);
        break;
    case SOURCE_WAKE:
        if (read(recorder->wake_fd, &ignored, sizeof ignored) < 0)
            break;
        break;
    case SOURCE_SIGNAL:
        if (read(recorder->signal_fd, &signal_info, sizeof signal_info) > 0) {
            atomic_store(&recorder->stopping, 1);
            recorder_say(recorder, "the recorder was asked to stop: the program goes on untraced");
            recorder_wake_drain(recorder);
        }
        break;
    case SOURCE_CONNECTION:
        meeting_read(recorder, pointer);
        break;
    case SOURCE_PROCESS:
        /* It may be gone already: a hello that came with this event has found that the process had ended. */
        for (struct process *process = recorder->processes; process; process = process->next)
            if (process == pointer) {
                if (has_ended(process))
                    recorder_process_ended(recorder, process);
                break;
            }
        break;
    }
}

/* Is there nobody left, and nobody to be expected? Otherwise *timeout_ms is when to look again. */
static bool is_done(struct recorder *recorder, int *timeout_ms)
{
    bool stopping = atomic_load(&recorder->stopping);
    if (recorder->sessions > 0 || atomic_load(&recorder->leaving) || (!stopping && !root_ended(recorder)) ||
        (!recorder->root && recorder->control_fd >= 0)) {
        recorder->empty_since_ns = 0;
        return false;
    }
    if (!recorder->root || stopping)
        return true;
    uint64_t now = monotonic_ns();
    if (recorder->empty_since_ns == 0)
        recorder->empty_since_ns = now;
    uint64_t until = recorder->empty_since_ns + (atomic_load(&recorder->snapshots) ? LINGER_FORKED_NS : LINGER_NS);
    if (now >= until)
        return true;
    int wait_ms = (int)((until - now) / 1000000 + 1);
    if (*timeout_ms < 0 || wait_ms < *timeout_ms)
        *timeout_ms = wait_ms;
    return false;
}

/* How far the program has come that is being attached to, and which of those below it are traced. */
static void tell_attach_state(struct recorder *recorder)
{
    if (recorder->root_is_taken)
        control_send(recorder, CONTROL_TAKEN, 0, NULL, 0);
    recorder->root_is_taken = false;
    for (struct session *session = recorder->all; session; session = session->next_of_all) {
        uint32_t state = session->attached ? atomic_load(&session->shared->attach_state) : HS_ATTACH_NONE;
        if (session->process->root && state > recorder->told_attach_state && state <= HS_ATTACH_DONE) {
            recorder->told_attach_state = state;
            control_send(recorder, CONTROL_ATTACH_STATE, (int32_t)state, NULL, 0);
        } else if (!session->process->root && state == HS_ATTACH_DONE && !session->followed_told) {
            session->followed_told = true;
            control_send(recorder, CONTROL_FOLLOWED, session->process->pid, NULL, 0);
        }
    }
}

static void main_loop(struct recorder *recorder)
{
    for (;;) {
        tell_attach_state(recorder);
        take_finished(recorder);
        send_sayings(recorder);
        if (is_time_to_close(recorder))
            send_closing(recorder);
        int timeout_ms = meeting_expire(recorder, false);
        if (is_done(recorder, &timeout_ms))
            return;
        struct epoll_event events[16];
        int count = epoll_wait(recorder->epoll_fd, events, (int)HS_COUNT_OF(events), timeout_ms);
        /* Hellos first: a process that executes another image and dies at once has said both in that order. */
        for (int pass = 0; pass < 2; pass++)
            for (int i = 0; i < count; i++)
                if (((events[i].data.u64 & ((1u << SOURCE_BITS) - 1)) == SOURCE_PROCESS) == (pass == 1))
                    dispatch(recorder, events[i].data.u64);
    }
}

/* ---- beginning and end ---- */

static void use_all_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int take_signals(void)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    /* Whoever wants it to stop at once takes SIGKILL; all others are the program's business. */
    sigfillset(&set);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void free_recorder(struct recorder *recorder)
{
    while (recorder->said) {
        struct said *next = recorder->said->next;
        free(recorder->said);
        recorder->said = next;
    }
    buf_free(&recorder->saying);
    buf_free(&recorder->closing);
    free(recorder->closing_causes);
    if (recorder->root)
        process_release(recorder, recorder->root);
    output_unref(recorder->root_output);
    oom_kills_free(recorder->oom_kills);
    free(recorder->file);
}

int recorder_run(const struct recorder_options *options, int listen_fd, int control_fd, pid_t root_pid, int ready_fd)
{
    static struct recorder instance;
    struct recorder *recorder = &instance;
    *recorder = (struct recorder){.options = *options, .listen_fd = listen_fd, .control_fd = control_fd};
    pthread_mutex_init(&recorder->lock, NULL);
    prctl(PR_SET_NAME, "heapsake-record");
    prctl(PR_SET_TIMERSLACK, 1000);
    use_all_descriptors();
    oom_spare_self();
    recorder->oom_kills = oom_kills_new("/proc", "/dev/kmsg");
    recorder->signal_fd = take_signals();
    recorder->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    recorder->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (recorder->epoll_fd < 0 || recorder->wake_fd < 0)
        return EXIT_UNUSABLE;
    if (control_fd < 0) {
        struct error error = {0};
        int code = open_root_output(recorder, root_pid, &error);
        if (code == 0 && !set_root(recorder, root_pid)) {
            output_delete(recorder->root_output);
            code = error_set(&error, -ESRCH, "process %d cannot be watched: %s", (int)root_pid, strerror(errno));
        }
        if (code != 0) {
            error_print(&error);
            return is_refusal(code) ? EXIT_USAGE : EXIT_UNUSABLE;
        }
    }
    watch(recorder, recorder->listen_fd, SOURCE_LISTEN, NULL);
    if (options->away_fd > 0)
        watch(recorder, options->away_fd, SOURCE_LISTEN, NULL);
    watch(recorder, recorder->wake_fd, SOURCE_WAKE, NULL);
    watch(recorder, recorder->signal_fd, SOURCE_SIGNAL, NULL);
    if (control_fd >= 0)
        watch(recorder, control_fd, SOURCE_CONTROL, NULL);
    if (control_fd < 0)
        launch_fill_standard_streams(true); /* there is nobody to talk to from here on */
    if (ready_fd >= 0) {
        ssize_t written = write(ready_fd, "", 1);
        (void)written;
        close(ready_fd);
    }
    pthread_t conductor;
    if (pthread_create(&conductor, NULL, conductor_main, recorder) != 0)
        return EXIT_UNUSABLE;
    main_loop(recorder);
    send_sayings(recorder);
    if (recorder->root && !recorder->closing_sent)
        send_closing(recorder);
    detaching_answer(recorder, "its recorder ends");

    close(recorder->listen_fd);
    if (options->away_fd > 0)
        close(options->away_fd);
    meeting_expire(recorder, true);
    atomic_store(&recorder->quit, 1);
    recorder_wake_drain(recorder);
    pthread_join(conductor, NULL);
    if (recorder->root_output) /* nobody has ever said hello */
        output_delete(recorder->root_output);
    control_close(recorder);
    free_recorder(recorder);
    return EXIT_DONE;
}
