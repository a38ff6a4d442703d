/*
 * manual.c - `heapsake manual`, hidden: man pages and words for shell completion, made from the tables of options.
 *
 * The build runs it to make heapsake.1 and heapsake-COMMAND.1, the completion
 * script runs it to learn what may be typed, so neither can fall behind --help.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "command.h"
#include "options.h"
#include "report/out_text.h"

static bool list, words;

static const struct option options[] = {
    {.name = "list", .kind = OPTION_FLAG, .value = &list, .help = "print the names of all pages"},
    {.name = "words",
     .kind = OPTION_FLAG,
     .value = &words,
     .help = "print what may be typed: the commands, or the options of the command NAME"},
    {0},
};

/* Text that roff takes as it is: no escapes, no requests, dashes that can be copied. */
static void put_roff(const char *text, size_t length)
{
    bool line_start = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (line_start && (c == '.' || c == '\''))
            fputs("\\&", stdout);
        line_start = c == '\n';
        if (c == '\\')
            fputs("\\e", stdout);
        else if (c == '-')
            fputs("\\-", stdout);
        else
            putchar(c);
    }
}

static void put_text(const char *text)
{
    put_roff(text, strlen(text));
}

static void put_paragraphs(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        puts(".PP");
        put_roff(text, length);
        putchar('\n');
        text += length;
        text += strspn(text, "\n");
    }
}

static void put_options(const struct option *option)
{
    for (; option && option->kind != OPTION_END; option++) {
        char label[128];
        options_label(option, label, sizeof label);
        puts(".TP");
        fputs("\\fB", stdout);
        put_text(label);
        fputs("\\fR\n", stdout);
        put_text(option->help);
        putchar('\n');
    }
}

static void put_title(const char *name, const char *summary)
{
    char upper[64];
    size_t length = strlen(name) < sizeof upper ? strlen(name) : sizeof upper - 1;
    for (size_t i = 0; i < length; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    fputs(".TH ", stdout);
    put_roff(upper, length);
    printf(" 1 \"\" \"heapsake %s\" \"heapsake manual\"\n.SH NAME\n", HEAPSAKE_VERSION);
    put_text(name);
    fputs(" \\- ", stdout);
    put_text(summary);
    putchar('\n');
}

static void put_exit_status(void)
{
    puts(".SH EXIT STATUS\n"
         "0: done. 1: \\fBheapsake check\\fR found a violation. 2: wrong usage. 3: the trace or the environment cannot "
         "be used.\n"
         "\\fBheapsake run\\fR gives back the exit status of the program, 128 and the signal's number when it was "
         "killed.");
}

static void put_overview(void)
{
    put_title("heapsake", "tells why memory stays");
    puts(".SH SYNOPSIS\n\\fBheapsake\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n"
         ".SH DESCRIPTION\n"
         "heapsake records every allocation of a program, native and CPython, into a trace file, and reports from it\n"
         "what the program allocated, kept and when.\n.SH COMMANDS");
    for (size_t i = 0; commands[i]; i++) {
        if (commands[i]->hidden)
            continue;
        printf(".TP\n\\fBheapsake\\-%s\\fR(1)\n", commands[i]->name);
        put_text(commands[i]->summary);
        putchar('\n');
    }
    puts(".SH OPTIONS\n"
         ".TP\n\\fB\\-\\-version\\fR\nshow the version\n"
         ".TP\n\\fB\\-\\-python\\-include\\fR\nshow the folder whose Python.h makes extensions tell each change of a "
         "reference "
         "count: to be given to the compiler before the interpreter's own");
    puts(".SH ENVIRONMENT\n"
         ".TP\n\\fBHEAPSAKE_OUTPUT\\fR, \\fBHEAPSAKE_OPTIONS\\fR\nwhere libheapsake.so is preloaded without "
         "heapsake run: the trace file, and options of heapsake\\-run(1), separated by spaces\n"
         ".TP\n\\fBHEAPSAKE_LIBRARY\\fR\nthe libheapsake.so that heapsake run is to use\n"
         ".TP\n\\fBNO_COLOR\\fR\nwhen set and not empty: no colors, unless \\-\\-color=always\n"
         ".TP\n\\fBPAGER\\fR\nwhat shows long reports on a terminal; less when not set, nothing when empty or cat");
    put_exit_status();
}

static void put_command(const struct command *command)
{
    char name[64];
    snprintf(name, sizeof name, "heapsake-%s", command->name);
    put_title(name, command->summary);
    printf(".SH SYNOPSIS\n\\fBheapsake %s\\fR ", command->name);
    put_text(command->synopsis);
    puts("\n.SH DESCRIPTION");
    put_paragraphs(command->description);
    puts(".SH OPTIONS");
    put_options(command->options);
    put_options(options_common);
    puts(".SH EXAMPLES");
    for (const char *line = command->examples; line && *line;) {
        size_t length = strcspn(line, "\n");
        if (line[0] == '$') {
            fputs(".TP\n\\fB", stdout);
            put_roff(line, length);
            puts("\\fR");
        } else {
            put_roff(line, length);
            putchar('\n');
        }
        line += length + (line[length] == '\n');
    }
    put_exit_status();
    puts(".SH SEE ALSO\n\\fBheapsake\\fR(1)");
}

static void put_option_words(const struct option *option)
{
    for (; option && option->kind != OPTION_END; option++) {
        if (option->letter)
            printf("-%c\n", option->letter);
        if (!option->name)
            continue;
        if (option->kind == OPTION_OPTIONAL)
            printf("--%s\n", option->name);
        if (option->kind != OPTION_CHOICE) {
            printf("--%s%s\n", option->name, option->kind == OPTION_FLAG ? "" : "=");
            continue;
        }
        for (const char *choice = option->value_name; choice;) {
            int length = (int)strcspn(choice, "|");
            printf("--%s=%.*s\n", option->name, length, choice);
            choice = choice[length] ? choice + length + 1 : NULL;
        }
    }
}

static int run(int argc, char **argv)
{
    const struct command *command = argc == 1 ? options_find_command(argv[0]) : NULL;
    bool overview = argc == 1 && strcmp(argv[0], "heapsake") == 0;
    if (argc > 1 || (argc == 1 && !command && !overview) || (argc == 0 && !list && !words)) {
        message_print("manual: which page? heapsake or the name of a command (see heapsake --help)");
        return EXIT_USAGE;
    }
    out_begin(false);
    if (list) {
        for (size_t i = 0; commands[i]; i++)
            if (!commands[i]->hidden)
                puts(commands[i]->name);
    } else if (words && command) {
        put_option_words(command->options);
        put_option_words(options_common);
    } else if (words) {
        for (size_t i = 0; commands[i]; i++)
            if (!commands[i]->hidden)
                puts(commands[i]->name);
        puts("help\n--help\n--version\n--python-include");
    } else if (overview) {
        put_overview();
    } else {
        put_command(command);
    }
    return out_end();
}

extern const struct command command_manual;
const struct command command_manual = {
    .name = "manual",
    .synopsis = "[--list | --words] [NAME]",
    .summary = "print a man page",
    .description = "Prints the man page of the command NAME, or of heapsake itself, in roff.",
    .examples = "$ heapsake manual summary | man -l -\n"
                "the page of heapsake summary",
    .options = options,
    .hidden = true,
    .run = run,
};
