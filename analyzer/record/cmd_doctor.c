/* cmd_doctor.c - `heapsake doctor`: prints the preflight of a process and of this machine. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "command.h"
#include "record/launch.h"
#include "record/preflight.h"
#include "report/out_json.h"
#include "report/out_text.h"

static bool as_json;

static const struct option options[] = {
    {.name = "json", .kind = OPTION_FLAG, .value = &as_json, .help = "print one JSON document"},
    {0},
};

/* ---- text ---- */

static void put_untrusted(const char *text)
{
    out_untrusted(stdout, text, strlen(text));
}

static int name_width(const struct preflight *list)
{
    size_t width = 0;
    for (size_t i = 0; i < list->count; i++)
        if (strlen(list->checks[i].name) > width)
            width = strlen(list->checks[i].name);
    return (int)width;
}

static void print_check(const struct check *check, int width)
{
    const char *mark = check->ok ? "ok" : check->fatal ? "!" : "-";
    int gap = width - (int)strlen(check->name);
    printf("%s%-2s%s  %s:%*s ",
           out_color(check->ok      ? OUT_DIM
                     : check->fatal ? OUT_WARNING
                                    : OUT_NUMBER),
           mark, out_color(OUT_PLAIN), check->name, gap, "");
    put_untrusted(check->detail);
    putchar('\n');
    if (!check->fix || check->ok)
        return;
    printf("    %*s  ", width, "");
    put_untrusted(check->fix);
    putchar('\n');
}

static void print_sum(const struct preflight *list)
{
    size_t fatal = 0, lacking = 0;
    for (size_t i = 0; i < list->count; i++) {
        fatal += list->checks[i].fatal;
        lacking += !list->checks[i].ok && !list->checks[i].fatal;
    }
    if (fatal)
        printf("\n%zu of %zu checks found an obstacle (!)", fatal, list->count);
    else
        printf("\nall that is needed works");
    if (lacking)
        printf(", %zu could be better (-)", lacking);
    putchar('\n');
}

/* `process_count`: how many of the checks are of the process. */
static int print_text(const struct preflight *list, long pid, size_t process_count)
{
    int width = name_width(list);
    out_begin(false);
    if (process_count > 0)
        out_heading("Process %ld", pid);
    for (size_t i = 0; i < list->count; i++) {
        if (i == process_count)
            out_heading("This machine");
        print_check(&list->checks[i], width);
    }
    print_sum(list);
    return out_end();
}

/* ---- JSON ---- */

static int print_json(const struct preflight *list)
{
    struct json json = JSON_INIT(stdout);
    open_object(&json, NULL);
    open_array(&json, "checks");
    for (size_t i = 0; i < list->count; i++) {
        const struct check *check = &list->checks[i];
        open_object(&json, NULL);
        put_string(&json, "name", check->name);
        put_bool(&json, "ok", check->ok);
        put_bool(&json, "fatal", check->fatal);
        put_string(&json, "detail", check->detail);
        put_string(&json, "fix", check->fix);
        close_object(&json);
    }
    close_array(&json);
    close_object(&json);
    put_end(&json);
    return out_end();
}

/* ---- the command ---- */

static int fail(const struct error *error)
{
    error_print(error);
    return EXIT_UNUSABLE;
}

/* Only `process` can be said of what is no process, or none that anybody could look at: that is an error. */
static int look(struct preflight *list, long pid, size_t *process_count)
{
    char library[PATH_MAX];
    struct error error = {0};
    int code = 0;
    if (pid > 0)
        code = preflight_process(list, (pid_t)pid, launch_find_library(library, NULL) == 0 ? library : NULL);
    *process_count = list->count;
    const struct check *obstacle = code == 0 ? preflight_obstacle(list) : NULL;
    if (obstacle && strcmp(obstacle->name, PREFLIGHT_PROCESS) == 0) {
        preflight_refuse(obstacle, (pid_t)pid, &error);
        return fail(&error);
    }
    if (code == 0)
        code = preflight_machine(list);
    if (code != 0) {
        error_set(&error, code, "doctor: %s", strerror(-code));
        return fail(&error);
    }
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    char *end = NULL;
    errno = 0;
    long pid = argc == 1 ? strtol(argv[0], &end, 10) : 0;
    if (argc > 1) {
        message_print("doctor: one process at a time (see heapsake doctor --help)");
        return EXIT_USAGE;
    }
    if (argc == 1 && (end == argv[0] || *end != '\0' || errno != 0 || pid <= 0 || pid > INT32_MAX)) {
        message_print("doctor: %s is not the number of a process (see heapsake doctor --help)", argv[0]);
        return EXIT_USAGE;
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is found out by trying */
    struct preflight list = PREFLIGHT_INIT;
    size_t process_count = 0;
    int status = look(&list, pid, &process_count);
    if (status == EXIT_DONE) {
        status = as_json ? print_json(&list) : print_text(&list, pid, process_count);
        if (status == EXIT_DONE && preflight_obstacle(&list))
            status = EXIT_UNUSABLE;
    }
    preflight_free(&list);
    return status;
}

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "[OPTION...] [PID]",
    .summary = "what would work here, and how to enable the rest",
    .description =
        "Looks at this machine and, with PID, at that process, and prints a list of checks: what heapsake can do "
        "here, and what to do about the rest. \"ok\" works; \"-\" does not, and can be done without; \"!\" is an "
        "obstacle: as long as it is there nothing works (of a process: it cannot be attached to). The check \"tracer\" "
        "of a process says which way in would be taken: a thread that is stopped, or a script of its Python's.\n"
        "\n"
        "Nothing is changed and no process is stopped: all is read from /proc and from files, and no interpreter is "
        "run to ask for its version.\n"
        "\n"
        "The exit status is 3 when there is an obstacle, and when there is no such process.",
    .examples = "$ heapsake doctor\n"
                "what works on this machine, for this user\n"
                "$ heapsake doctor 1234\n"
                "whether that process can be attached to\n"
                "$ heapsake doctor --json 1234 | jq '.checks[] | select(.ok | not)'\n"
                "what does not work, for scripts",
    .options = options,
    .run = run,
};
