/*
 * cmd_record.c - `heapsake record`: the recorder as a program of its own.
 *
 * Hidden. libheapsake.so starts it when it was preloaded without `heapsake run`.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/launch.h"
#include "record/ref_functions.h"
#include "record/run_options.h"
#include "record/watch_spec.h"

static struct run_options run_options = RUN_OPTIONS_DEFAULT;
static const char *socket_name;
static int64_t ready_fd = -1, root_pid;

static const struct option options[] = {
    RUN_OPTIONS_TABLE(run_options),
    {.name = "socket",
     .kind = OPTION_STRING,
     .value_name = "NAME",
     .value = &socket_name,
     .help = "abstract address to listen at"},
    {.name = "ready-fd",
     .kind = OPTION_INTEGER,
     .value_name = "FD",
     .value = &ready_fd,
     .help = "descriptor that gets a byte when the program may go on"},
    {.name = "root-pid",
     .kind = OPTION_INTEGER,
     .value_name = "PID",
     .value = &root_pid,
     .help = "process whose last image FILE is for"},
    {0},
};

static int run(int argc, char **argv)
{
    (void)argv;
    /* What is opened from here on must not get the number of a standard stream, where messages would be written to. */
    launch_fill_standard_streams(false);
    if (argc != 0 || !socket_name || root_pid <= 0 || root_pid > INT_MAX || ready_fd > INT_MAX) {
        message_print("record: is started by libheapsake.so: use heapsake run");
        return EXIT_USAGE;
    }
    int wrong = watch_spec_check(&run_options.watch, "record", false);
    if (wrong)
        return wrong;
    struct error error = {0};
    if (ref_functions_check(&run_options.ref_functions, &error) != 0) {
        error_print(&error);
        return EXIT_USAGE;
    }
    struct recorder_options recorder_options;
    run_options_apply(&run_options, &recorder_options);
    unsetenv("DEBUGINFOD_URLS");
    int listen_fd = recorder_listen_at(socket_name);
    if (listen_fd < 0) {
        message_print("cannot listen: %s", strerror(-listen_fd));
        return EXIT_UNUSABLE;
    }
    return recorder_run(&recorder_options, listen_fd, -1, (pid_t)root_pid, (int)ready_fd);
}

const struct command command_record = {
    .name = "record",
    .synopsis = "--socket=NAME --root-pid=PID [OPTION...]",
    .summary = "record what libheapsake.so in another process tells",
    .description = "Started by libheapsake.so when it was preloaded without heapsake run.",
    .options = options,
    .hidden = true,
    .run = run,
};
