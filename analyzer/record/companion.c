/* companion.c - see companion.h */
#include "record/companion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "record/launch.h"
#include "record/network.h"

/* ---- its start ---- */

static int in_order(const void *one, const void *other)
{
    return *(const int *)one - *(const int *)other;
}

void companion_leave_surroundings(int *kept, size_t count)
{
    unsigned from = STDERR_FILENO + 1;
    setsid();
    unsetenv("DEBUGINFOD_URLS");
    unsetenv("HEAPSAKE_FAULT_INJECTION"); /* a test's, of this process */
    launch_fill_standard_streams(true);
    qsort(kept, count, sizeof *kept, in_order);
    for (size_t i = 0; i < count; from = (unsigned)kept[i++] + 1)
        if ((unsigned)kept[i] > from)
            close_range(from, (unsigned)kept[i] - 1, 0);
    close_range(from, ~0u, 0);
}

int companion_start(struct companion *companion, const struct recorder_options *options)
{
    struct recorder_options own = *options;
    int control[2];
    own.session = companion->session;
    int listen_fd = recorder_listen(companion->session), code = 0;
    if (listen_fd < 0)
        return listen_fd;
    if (own.network > 0 && (own.away_fd = network_listen_at(own.network, companion->session)) < 0)
        code = own.away_fd;
    else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) != 0)
        code = -errno;
    if (code != 0) {
        close(listen_fd);
        if (own.away_fd > 0)
            close(own.away_fd);
        return code;
    }
    control[0] = launch_high_descriptor(control[0]);
    control[1] = launch_high_descriptor(control[1]);
    companion->recorder = fork();
    if (companion->recorder == 0) {
        int kept[] = {listen_fd, control[1], own.away_fd};
        companion_leave_surroundings(kept, own.away_fd > 0 ? 3 : 2);
        _exit(recorder_run(&own, listen_fd, control[1], 0, -1));
    }
    code = companion->recorder < 0 ? -errno : 0;
    close(listen_fd);
    if (own.away_fd > 0)
        close(own.away_fd);
    close(control[1]);
    if (code != 0)
        close(control[0]);
    else
        companion->control_fd = control[0];
    return code;
}

/* ---- talking ---- */

enum readiness companion_ask(struct companion *companion, enum control_kind kind, pid_t value, bool program_runs)
{
    struct control control = {.kind = kind, .value = value};
    struct {
        struct control control;
        char text[CONTROL_TEXT_MAX + 1];
    } answer;
    ssize_t got = send(companion->control_fd, &control, sizeof control, MSG_NOSIGNAL);
    if (got == sizeof control)
        do
            got = recv(companion->control_fd, &answer, sizeof answer - 1, 0);
        while (got < 0 && errno == EINTR);
    if (got >= (ssize_t)sizeof answer.control && answer.control.kind == CONTROL_READY) {
        answer.text[(size_t)got - sizeof answer.control] = '\0';
        companion->file = strdup(answer.text);
        return READY;
    }
    enum readiness readiness = RUN_UNTRACED;
    const char *end = program_runs ? ": the program runs untraced" : "";
    if (got > (ssize_t)sizeof answer.control && answer.control.kind == CONTROL_REFUSED) {
        answer.text[(size_t)got - sizeof answer.control] = '\0';
        readiness = answer.control.value ? RUN_UNTRACED : REFUSED;
        message_print("%s%s", answer.text, readiness == REFUSED ? "" : end);
    } else {
        message_print("the recorder cannot be started%s", end);
    }
    close(companion->control_fd);
    companion->control_fd = -1;
    return readiness;
}

void companion_tell(int control_fd, enum control_kind kind, int value)
{
    struct control control = {.kind = kind, .value = value};
    ssize_t sent = -1;
    if (control_fd >= 0)
        do
            sent = send(control_fd, &control, sizeof control, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
}

int companion_listen(int control_fd, struct companion_words *words)
{
    static union {
        struct control control;
        char bytes[sizeof(struct control) + CONTROL_TEXT_MAX + 1];
    } message;
    ssize_t got;
    do
        got = recv(control_fd, &message, sizeof message - 1, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got < (ssize_t)sizeof message.control)
        return -1;
    const char *text = message.bytes + sizeof message.control;
    size_t length = (size_t)got - sizeof message.control;
    message.bytes[got] = '\0';
    switch (message.control.kind) {
    case CONTROL_SAY:
        message_print("%s", text);
        break;
    case CONTROL_CAUSES:
        free(words->causes);
        words->causes = strdup(text);
        break;
    case CONTROL_ATTACH_STATE:
        words->attach_state = message.control.value;
        break;
    case CONTROL_FOLLOWED:
        buf_append(&words->followed, &(pid_t){message.control.value}, sizeof(pid_t));
        break;
    case CONTROL_TAKEN:
        words->taken = true;
        break;
    case CONTROL_CLOSING:
        buf_append(&words->closing, text, length);
        words->told |= message.control.value != CLOSING_MORE;
        words->untraced = message.control.value == CLOSING_NEVER_MET;
        words->not_left = message.control.value == CLOSING_NOT_LEFT;
        break;
    }
    return 1;
}

void companion_words_free(struct companion_words *words)
{
    buf_free(&words->followed);
    buf_free(&words->closing);
    free(words->causes);
    words->causes = NULL;
}

/* ---- the closing screen ---- */

static void print_closing(const struct buf *closing, size_t from, size_t to)
{
    for (size_t at = from; at < to;) {
        ssize_t written = write(STDERR_FILENO, closing->data + at, to - at);
        if (written < 0 && errno != EINTR)
            return;
        at += written > 0 ? (size_t)written : 0;
    }
}

/* The first leaks of the trace, a line each, on standard error; nothing when anything is wrong with it. */
static void print_causes(char *path, const sigset_t *mask)
{
    pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, mask, NULL);
        char *words[] = {"--brief", "--color=never", "--limit", "3", "--", path, NULL};
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
            _exit(EXIT_UNUSABLE);
        int operands = options_parse(&command_leaks, HS_COUNT_OF(words) - 1, words);
        _exit(operands == 1 ? command_leaks.run(operands, words) : EXIT_USAGE);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The screen's last line is the command to type. */
void companion_print_screen(const struct companion_words *words, const sigset_t *mask)
{
    const struct buf *closing = &words->closing;
    size_t last = closing->length;
    if (words->causes && last > 0)
        for (last--; last > 0 && closing->data[last - 1] != '\n';)
            last--;
    print_closing(closing, 0, last);
    if (words->causes)
        print_causes(words->causes, mask);
    print_closing(closing, last, closing->length);
}
