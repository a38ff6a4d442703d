/* cmd_snapshot.c - `heapsake snapshot`: asks the recorder of a process for a snapshot, and waits for it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "command.h"
#include "record/asking.h"
#include "record/session_snapshots_private.h"
#include "report/out_json.h"
#include "report/out_text.h"

#define SNAPSHOT_SECONDS 150 /* for the snapshot: its process has 120                 */

static bool as_json;

static const struct option options[] = {
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {0},
};

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

static int run(int argc, char **argv)
{
    struct ask_answer answer;
    char text[ASK_TEXT_MAX + 1];
    int pid = asking_pid("snapshot", argc, argv);
    if (pid < 0)
        return EXIT_USAGE;
    if (!asking(ASK_SNAPSHOT, pid, SNAPSHOT_SECONDS, &answer, text))
        return EXIT_UNUSABLE;
    if (as_json)
        print_json(pid, &answer, text);
    else
        print_text(pid, &answer, text);
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
