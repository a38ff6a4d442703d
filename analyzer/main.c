/* main.c - the table of commands, and nothing that one of them does. */
#include <errno.h>
#include <stdio.h>
#include <linux/limits.h>
#include <string.h>

#include "base/error.h"
#include "command.h"
#include "options.h"
#include "python_include.h"

extern const struct command command_manual;

/* In the order in which --help tells them. */
/* clang-format off */
const struct command *const commands[] = {
    &command_run,    &command_attach, &command_detach,  &command_snapshot, &command_doctor, &command_summary,
    &command_leaks,  &command_peak,   &command_objects, &command_cycles,   &command_why,    &command_refs,
    &command_diff,   &command_check,  &command_export,  &command_dump,     &command_verify, &command_symbolize,
    &command_follow, &command_record,
    &command_manual, NULL,
};
/* clang-format on */

/* Number of single-letter edits between two words; both are short. */
static size_t distance(const char *left, const char *right)
{
    size_t row[32], left_length = strlen(left), right_length = strlen(right);
    if (left_length >= HS_COUNT_OF(row) || right_length >= HS_COUNT_OF(row))
        return HS_COUNT_OF(row);
    for (size_t j = 0; j <= right_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= left_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= right_length; j++) {
            size_t above = row[j], best = diagonal + (left[i - 1] != right[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[right_length];
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    size_t least = 3;
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden && distance(name, commands[i]->name) < least) {
            least = distance(name, commands[i]->name);
            nearest = commands[i]->name;
        }
    if (nearest)
        message_print("unknown command %s: did you mean %s? (see heapsake --help)", name, nearest);
    else
        message_print("unknown command %s (see heapsake --help)", name);
    return EXIT_USAGE;
}

static int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    message_print("cannot write to standard output: %s", strerror(errno));
    return EXIT_UNUSABLE;
}

static int help(const char *name)
{
    if (name) {
        const struct command *command = options_find_command(name);
        if (!command)
            return unknown_command(name);
        options_print_help(stdout, command);
    } else {
        options_print_overview(stdout);
    }
    return finish_output();
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        message_print("no command given (see heapsake --help)");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(NULL);
    if (strcmp(name, "help") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(name, "--version") == 0) {
        printf("heapsake %s\n", HEAPSAKE_VERSION);
        return finish_output();
    }
    if (strcmp(name, "--python-include") == 0) {
        char folder[PATH_MAX];
        struct error error = {0};
        if (python_include_find(folder, &error) != 0) {
            error_print(&error);
            return EXIT_UNUSABLE;
        }
        printf("%s\n", folder);
        return finish_output();
    }
    if (name[0] == '-') {
        message_print("unknown option %s (see heapsake --help)", name);
        return EXIT_USAGE;
    }
    const struct command *command = options_find_command(name);
    if (!command)
        return unknown_command(name);
    int operands = options_parse(command, argc - 2, argv + 2);
    if (operands == -ECANCELED)
        return finish_output();
    if (operands < 0)
        return EXIT_USAGE;
    return command->run(operands, argv + 2);
}
