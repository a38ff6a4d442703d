/*
 * asking.c - see asking.h
 *
 * Recorders listen at abstract addresses "heapsake.NUMBERS", which /proc/net/unix lists. All are asked, at the same
 * time, whether the process is their own; there are few.
 */
#include "record/asking.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/grow.h"

#define ADDRESS_PREFIX "heapsake."
#define ASKING_SECONDS 2 /* for a recorder to say whether the process is its own */

/* Recorders that have been asked, and have not answered yet. */
struct asked {
    struct pollfd *recorders; /* fd < 0: it has answered, or hung up */
    size_t count, capacity;
    size_t silent; /* that have neither */
};

/* A connection to an abstract address that blocks nowhere, -1: nobody is there. */
static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    int fd = length < sizeof address.sun_path ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (fd < 0)
        return -1;
    memcpy(address.sun_path + 1, name, length);
    if (connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Waits for a message that is an answer. 0, or a negative errno: there is none within the time, or none any more. */
static int receive(int fd, int timeout_ms, struct ask_answer *answer, char text[ASK_TEXT_MAX + 1])
{
    struct iovec parts[] = {{answer, sizeof *answer}, {text, ASK_TEXT_MAX}};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    uint64_t until = monotonic_ms() + (uint64_t)timeout_ms;
    ssize_t got;
    do {
        uint64_t now = monotonic_ms();
        if (poll(&readable, 1, now < until ? (int)(until - now) : 0) == 0)
            return -ETIMEDOUT;
        got = readv(fd, parts, 2);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < (ssize_t)sizeof *answer || answer->magic != ASK_MAGIC)
        return -EPROTO;
    text[(size_t)got - sizeof *answer] = '\0';
    return 0;
}

static void ask_one(struct asked *asked, const char *name, const struct ask *ask)
{
    if (!grow((void **)&asked->recorders, asked->count, &asked->capacity, sizeof *asked->recorders))
        return;
    int fd = connect_to(name);
    if (fd >= 0 && send(fd, ask, sizeof *ask, MSG_NOSIGNAL) != sizeof *ask) {
        close(fd);
        fd = -1;
    }
    if (fd >= 0) {
        asked->recorders[asked->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        asked->silent++;
    }
}

static void ask_each(struct asked *asked, const struct ask *ask)
{
    FILE *sockets = fopen("/proc/net/unix", "re");
    char *line = NULL;
    size_t size = 0;
    while (sockets && getline(&line, &size, sockets) > 0) {
        /* address: references protocol flags type state inode @name; only those that listen are asked */
        char *name = strstr(line, " @" ADDRESS_PREFIX);
        unsigned flags = 0;
        if (!name || sscanf(line, "%*s %*s %*s %x", &flags) != 1 || !(flags & 0x10000u /* __SO_ACCEPTCON */))
            continue;
        name += 2;
        name[strcspn(name, "\n")] = '\0';
        ask_one(asked, name, ask);
    }
    free(line);
    if (sockets)
        fclose(sockets);
}

/* The one of `asked` that takes the question on or refuses it; -1: none does in time. */
static int await_answer(struct asked *asked, struct ask_answer *answer, char *text)
{
    uint64_t until = monotonic_ms() + ASKING_SECONDS * 1000u;
    while (asked->silent > 0) {
        uint64_t now = monotonic_ms();
        if (now >= until || (poll(asked->recorders, asked->count, (int)(until - now)) < 0 && errno != EINTR))
            return -1;
        for (size_t i = 0; i < asked->count; i++) {
            int fd = asked->recorders[i].fd;
            if (fd < 0 || asked->recorders[i].revents == 0)
                continue;
            asked->recorders[i].fd = -1;
            asked->silent--;
            if (receive(fd, 0, answer, text) == 0 && answer->kind != ANSWER_NOT_MINE)
                return fd;
            close(fd);
        }
    }
    return -1;
}

/*
 * Asks all recorders at once: one that stands still must not keep the others' answers back. The connection to the one
 * whose process it is, or -1; `silent` is then how many have not answered.
 */
static int ask_all(const struct ask *ask, struct ask_answer *answer, char *text, size_t *silent)
{
    struct asked asked = {0};
    ask_each(&asked, ask);
    int fd = await_answer(&asked, answer, text);
    for (size_t i = 0; i < asked.count; i++)
        if (asked.recorders[i].fd >= 0)
            close(asked.recorders[i].fd);
    free(asked.recorders);
    *silent = asked.silent;
    return fd;
}

/* Nobody says that he traces it: does it exist at all? */
static void say_unknown(const char *no_what, pid_t pid, size_t silent)
{
    if (kill(pid, 0) != 0 && errno == ESRCH)
        message_print("process %d: there is no such process", (int)pid);
    else if (silent > 0)
        message_print("process %d: no %s: of the recorders on this machine, %zu %s not answered, and the others do "
                      "not trace it",
                      (int)pid, no_what, silent, silent == 1 ? "has" : "have");
    else
        message_print("process %d: is not traced by heapsake: start it with heapsake run, or use heapsake attach",
                      (int)pid);
}

int asking_pid(const char *command, int argc, char **argv)
{
    char *end = NULL;
    long pid = argc == 1 ? strtol(argv[0], &end, 10) : 0;
    if (argc != 1) {
        message_print("%s: %s (see heapsake %s --help)", command,
                      argc == 0 ? "no process given" : "one process at a time", command);
        return -EINVAL;
    }
    if (*end != '\0' || end == argv[0] || pid <= 0 || pid > INT32_MAX) {
        message_print("%s: %s is not the number of a process (see heapsake %s --help)", command, argv[0], command);
        return -EINVAL;
    }
    return (int)pid;
}

bool asking(enum ask_what what, pid_t pid, unsigned seconds, struct ask_answer *answer, char text[ASK_TEXT_MAX + 1])
{
    static const char *const nouns[] = {[ASK_SNAPSHOT] = "snapshot", [ASK_DETACH] = "detaching"};
    const struct ask ask = {.magic = ASK_MAGIC, .version = ASK_VERSION, .pid = pid, .what = what};
    size_t silent;
    int fd = ask_all(&ask, answer, text, &silent);
    if (fd < 0) {
        say_unknown(nouns[what], pid, silent);
        return false;
    }
    if (answer->kind == ANSWER_WAIT && receive(fd, (int)seconds * 1000, answer, text) != 0) {
        answer->kind = ANSWER_FAILED;
        snprintf(text, ASK_TEXT_MAX + 1, "its recorder has not answered, or has ended");
    }
    close(fd);
    if (answer->kind == ANSWER_DONE)
        return true;
    message_print("process %d: no %s: %s", (int)pid, nouns[what], text);
    return false;
}

void asking_answer(int fd, const struct ask_answer *answer, const char *text)
{
    struct ask_answer whole = *answer;
    whole.magic = ASK_MAGIC;
    struct iovec parts[] = {{&whole, sizeof whole}, {(void *)(uintptr_t)text, strnlen(text, ASK_TEXT_MAX)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
}
