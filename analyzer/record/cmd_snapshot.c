/*
 * cmd_snapshot.c - `heapsake snapshot`: asks the recorder of a process for a snapshot, and waits for it.
 *
 * Recorders listen at abstract addresses "heapsake.NUMBERS", which /proc/net/unix lists. All are asked, at the same
 * time, whether the process is their own; there are few.
 */
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
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "command.h"
#include "record/asking.h"
#include "record/session_snapshots_private.h"
#include "report/out_json.h"
#include "report/out_text.h"

#define ADDRESS_PREFIX "heapsake."
#define ASKING_SECONDS 2     /* for a recorder to say whether the process is its own */
#define SNAPSHOT_SECONDS 150 /* for the snapshot: its process has 120                 */

static bool as_json;

static const struct option options[] = {
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {0},
};

/* Recorders that have been asked, and have not answered yet. */
struct asked {
    struct pollfd *recorders; /* fd < 0: it has answered, or hung up */
    size_t count, capacity;
    size_t silent; /* that have neither */
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

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
    uint64_t until = now_ms() + (uint64_t)timeout_ms;
    ssize_t got;
    do {
        uint64_t now = now_ms();
        if (poll(&readable, 1, now < until ? (int)(until - now) : 0) == 0)
            return -ETIMEDOUT;
        got = readv(fd, parts, 2);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < (ssize_t)sizeof *answer || answer->magic != ASK_MAGIC)
        return -EPROTO;
    text[(size_t)got - sizeof *answer] = '\0';
    return 0;
}

static void ask_one(struct asked *asked, const char *name, pid_t pid)
{
    struct ask ask = {.magic = ASK_MAGIC, .version = ASK_VERSION, .pid = pid};
    if (asked->count == asked->capacity) {
        size_t capacity = asked->capacity ? asked->capacity * 2 : 16;
        struct pollfd *grown = reallocarray(asked->recorders, capacity, sizeof *grown);
        if (!grown)
            return;
        asked->recorders = grown;
        asked->capacity = capacity;
    }
    int fd = connect_to(name);
    if (fd >= 0 && send(fd, &ask, sizeof ask, MSG_NOSIGNAL) != sizeof ask) {
        close(fd);
        fd = -1;
    }
    if (fd >= 0) {
        asked->recorders[asked->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        asked->silent++;
    }
}

static void ask_each(struct asked *asked, pid_t pid)
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
        ask_one(asked, name, pid);
    }
    free(line);
    if (sockets)
        fclose(sockets);
}

/* The one of `asked` that takes the question on or refuses it; -1: none does in time. */
static int await_answer(struct asked *asked, struct ask_answer *answer, char *text)
{
    uint64_t until = now_ms() + ASKING_SECONDS * 1000u;
    while (asked->silent > 0) {
        uint64_t now = now_ms();
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
static int ask_all(pid_t pid, struct ask_answer *answer, char *text, size_t *silent)
{
    struct asked asked = {0};
    ask_each(&asked, pid);
    int fd = await_answer(&asked, answer, text);
    for (size_t i = 0; i < asked.count; i++)
        if (asked.recorders[i].fd >= 0)
            close(asked.recorders[i].fd);
    free(asked.recorders);
    *silent = asked.silent;
    return fd;
}

/* A file in the current folder is called by its name alone. */
static const char *shorten(const char *path)
{
    char folder[4096];
    size_t length = getcwd(folder, sizeof folder) ? strlen(folder) : 0;
    if (length > 1 && strncmp(path, folder, length) == 0 && path[length] == '/' && !strchr(path + length + 1, '/'))
        return path + length + 1;
    return path;
}

static void print_text(pid_t pid, const struct ask_answer *answer, const char *path)
{
    char count[OUT_NUMBER_SIZE], pause[OUT_NUMBER_SIZE], walk[OUT_NUMBER_SIZE];
    static const char *const reasons[] = {
        [HS_SNAPSHOT_EXIT] = "its end",           [HS_SNAPSHOT_ASKED] = "asked for",
        [HS_SNAPSHOT_EVERY] = "in turn",          [HS_SNAPSHOT_GROWTH] = "it had grown",
        [HS_SNAPSHOT_DOUBLED] = "it had doubled", [HS_SNAPSHOT_SIGNAL] = "by signal",
        [HS_SNAPSHOT_ATTACH] = "attached",        [HS_SNAPSHOT_DETACH] = "detached",
    };
    const char *reason = answer->reason < HS_COUNT_OF(reasons) ? reasons[answer->reason] : NULL;
    printf("snapshot %u of %d: %s, %s objects, pause %s, walk %s, in ", answer->number, (int)pid,
           reason ? reason : "asked for", out_count(count, answer->nodes), out_seconds(pause, answer->pause_ns),
           out_seconds(walk, answer->walk_ns));
    path = shorten(path);
    out_untrusted(stdout, path, strlen(path));
    putchar('\n');
}

static void print_json(pid_t pid, const struct ask_answer *answer, const char *path)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    put_signed(&json, "pid", pid);
    put_unsigned(&json, "snapshot", answer->number);
    put_string(&json, "reason", snapshot_reason_text(answer->reason));
    put_unsigned(&json, "objects", answer->nodes);
    put_unsigned(&json, "edges", answer->edges);
    put_seconds(&json, "pause", answer->pause_ns);
    put_seconds(&json, "walk", answer->walk_ns);
    put_unsigned(&json, "resident_bytes", answer->resident_bytes);
    put_string(&json, "trace", path);
    close_object(&json);
    put_end(&json);
}

static int fail(pid_t pid, const char *why)
{
    struct error error = {0};
    error_set(&error, -ECANCELED, "process %d: no snapshot: %s", (int)pid, why);
    error_print(&error);
    return EXIT_UNUSABLE;
}

/* Nobody says that he traces it: does it exist at all? */
static int fail_unknown(pid_t pid, size_t silent)
{
    if (kill(pid, 0) != 0 && errno == ESRCH)
        message_print("process %d: there is no such process", (int)pid);
    else if (silent > 0)
        message_print("process %d: no snapshot: of the recorders on this machine, %zu %s not answered, and the others do "
                      "not trace it",
                      (int)pid, silent, silent == 1 ? "has" : "have");
    else
        message_print("process %d: is not traced by heapsake: start it with heapsake run", (int)pid);
    return EXIT_UNUSABLE;
}

static int run(int argc, char **argv)
{
    struct ask_answer answer;
    char text[ASK_TEXT_MAX + 1], *end = NULL;
    long pid = argc == 1 ? strtol(argv[0], &end, 10) : 0;
    if (argc != 1) {
        message_print("snapshot: %s (see heapsake snapshot --help)",
                      argc == 0 ? "no process given" : "one process at a time");
        return EXIT_USAGE;
    }
    if (*end != '\0' || end == argv[0] || pid <= 0 || pid > INT32_MAX) {
        message_print("snapshot: %s is not the number of a process (see heapsake snapshot --help)", argv[0]);
        return EXIT_USAGE;
    }
    size_t silent;
    int fd = ask_all((pid_t)pid, &answer, text, &silent);
    if (fd < 0)
        return fail_unknown((pid_t)pid, silent);
    if (answer.kind == ANSWER_WAIT && receive(fd, SNAPSHOT_SECONDS * 1000, &answer, text) != 0) {
        answer.kind = ANSWER_FAILED;
        snprintf(text, sizeof text, "its recorder has not answered, or has ended");
    }
    close(fd);
    if (answer.kind != ANSWER_DONE)
        return fail((pid_t)pid, text);
    if (as_json)
        print_json((pid_t)pid, &answer, text);
    else
        print_text((pid_t)pid, &answer, text);
    return EXIT_DONE;
}

const struct command command_snapshot = {
    .name = "snapshot",
    .synopsis = "[OPTION...] PID",
    .summary = "take a snapshot of a traced program's object graph, now",
    .description =
        "Asks the recorder of a process that heapsake traces for a snapshot, waits until it is in the trace, and "
        "prints one line about it. The program goes on after a pause of some milliseconds; the snapshot is taken from "
        "a "
        "copy of it. A program that sleeps is woken for a moment and sleeps on: it notices nothing.\n"
        "\n"
        "The exit status is 3 when there is no snapshot: the process is not traced, has ended, was started with "
        "--no-snapshot, or is busy in C code that keeps the interpreter locked (which is told after ten seconds). "
        "Only the user whose recorder it is, and root, may ask.",
    .examples = "$ heapsake snapshot 1234\n"
                "one snapshot, now\n"
                "$ heapsake snapshot --json $(pgrep -f app.py) | jq .objects\n"
                "how many objects there are",
    .options = options,
    .run = run,
};
