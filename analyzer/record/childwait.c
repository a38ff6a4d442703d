/* childwait.c - see childwait.h */
#include "record/childwait.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "record/launch.h"
#include "record/process_info.h"
#include "record/recorder.h"

int child_signals_take(struct child_signals *signals)
{
    sigset_t all;
    struct sigaction before, standard = {.sa_handler = SIG_DFL};
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &signals->mask_before);
    /* Ignored, children would vanish without a status. */
    sigaction(SIGCHLD, &standard, &before);
    signals->child_ignored = before.sa_handler == SIG_IGN;
    signals->fd = launch_high_descriptor(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
    return signals->fd < 0 ? -errno : 0;
}

/* The program has stopped: whoever waits for us is to see that, and to continue both. */
static void stop_with_it(struct child_wait *wait)
{
    sigset_t set;
    struct timespec now = {0};
    kill(getpid(), SIGSTOP);
    /* Continued. The signal is spent; it may have reached the program, too, or us alone. */
    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    while (sigtimedwait(&set, NULL, &now) > 0)
        ;
    if (process_info_state(wait->program) == 'T')
        kill(wait->program, SIGCONT);
}

struct state {
    bool ended; /* the program     */
    bool hurry; /* somebody wants us to end  */
};

static void lose_recorder(struct child_wait *wait, struct state *state)
{
    if (wait->control_fd >= 0)
        close(wait->control_fd);
    wait->control_fd = -1;
    if (wait->lost || wait->words.told)
        return;
    wait->lost = true;
    message_print("the recorder has died: the trace ends there%s",
                  state->ended ? "" : ", and the program goes on untraced");
}

/* One message; false: there is none. */
static bool take_control(struct child_wait *wait, struct state *state)
{
    int taken = companion_listen(wait->control_fd, &wait->words);
    if (taken < 0)
        lose_recorder(wait, state);
    return taken > 0;
}

static void reap(struct child_wait *wait, struct state *state)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0) {
        if (pid == wait->program && WIFSTOPPED(status)) {
            stop_with_it(wait);
        } else if (pid == wait->program && (WIFEXITED(status) || WIFSIGNALED(status))) {
            wait->status = status;
            state->ended = true;
            companion_tell(wait->control_fd, CONTROL_ENDED, status);
        } else if (pid == wait->recorder && (WIFEXITED(status) || WIFSIGNALED(status))) {
            wait->recorder = 0;
            while (wait->control_fd >= 0 && take_control(wait, state)) /* its last words */
                ;
            lose_recorder(wait, state);
        }
    }
}

static void take_signal(struct child_wait *wait, struct state *state, const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;
    if (number == SIGCHLD && info->ssi_code > 0) {
        reap(wait, state);
        return;
    }
    if (state->ended) {
        state->hurry |= number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT;
        return;
    }
    if (info->ssi_code > 0)
        return; /* the kernel's or the terminal's: the program has its own */
    if (info->ssi_code == SI_QUEUE)
        sigqueue(wait->program, number, (union sigval){.sival_ptr = (void *)(uintptr_t)info->ssi_ptr});
    else
        kill(wait->program, number);
}

void child_wait(struct child_wait *wait)
{
    struct state state = {0};
    reap(wait, &state); /* what happened before */
    while (!state.ended || (wait->control_fd >= 0 && !wait->words.told && !state.hurry)) {
        struct pollfd sources[] = {{.fd = wait->signals->fd, .events = POLLIN},
                                   {.fd = wait->control_fd, .events = POLLIN}};
        if (poll(sources, HS_COUNT_OF(sources), -1) < 0)
            continue;
        struct signalfd_siginfo info;
        /* What the recorder has said before it died comes first. */
        if (sources[1].revents)
            take_control(wait, &state);
        while (sources[0].revents && read(wait->signals->fd, &info, sizeof info) == sizeof info)
            take_signal(wait, &state, &info);
    }
}
