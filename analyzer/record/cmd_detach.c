/* cmd_detach.c - `heapsake detach`: asks the recorder of a process that was attached to, to leave it. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "command.h"
#include "record/asking.h"
#include "report/out_text.h"

#define DETACH_SECONDS 150 /* the last snapshot's process has 120 */

static const struct option options[] = {{0}};

static int run(int argc, char **argv)
{
    struct ask_answer answer;
    char text[ASK_TEXT_MAX + 1];
    int pid = asking_pid("detach", argc, argv);
    if (pid < 0)
        return EXIT_USAGE;
    if (!asking(ASK_DETACH, pid, DETACH_SECONDS, &answer, text))
        return EXIT_UNUSABLE;
    printf("detached from %d; the trace is ", pid);
    out_untrusted(stdout, text, strlen(text));
    putchar('\n');
    return EXIT_DONE;
}

const struct command command_detach = {
    .name = "detach",
    .synopsis = "PID",
    .summary = "leave a process that heapsake attach traces, and finish its trace",
    .description =
        "Asks whoever traces the process to take a last snapshot, to put back everything that attaching has changed "
        "in the process, and to finish the trace; waits for that, and prints the file's name. The same happens when "
        "heapsake attach is interrupted or its --duration is over.\n"
        "\n"
        "The exit status is 3 when the process was not attached to, or has not been left yet: it is stopped, a "
        "debugger "
        "has it, or its Python is busy in C code that keeps the interpreter locked. Its recorder goes on trying then, "
        "and the "
        "process is traced until that succeeds.",
    .examples = "$ heapsake detach 1234\n"
                "end what heapsake attach 1234 has begun, from another terminal",
    .options = options,
    .run = run,
};
