/* options.c - see command.h and options.h */
#include "options.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "report/out_text.h"

#define WIDTH 80
#define LABEL_WIDTH 28

static bool help_asked;

const struct option options_common[] = {
    {.name = "color",
     .kind = OPTION_CHOICE,
     .value_name = "auto|always|never",
     .value = &out_color_choice,
     .help = "colors: auto is on a terminal, unless NO_COLOR is set"},
    {.letter = 'h', .name = "help", .kind = OPTION_FLAG, .value = &help_asked, .help = "show this help"},
    {0},
};

const struct command *options_find_command(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* "wrong usage": one line, and where to look. */
static int usage(const struct command *command, const char *what, const char *option, const char *detail)
{
    message_print("%s: %s%s%s (see heapsake %s --help)", command->name, what, option, detail, command->name);
    return -EINVAL;
}

static const struct option *find_long(const struct option *options, const char *name, size_t length)
{
    for (; options && options->kind != OPTION_END; options++)
        if (options->name && strlen(options->name) == length && memcmp(options->name, name, length) == 0)
            return options;
    return NULL;
}

static const struct option *find_letter(const struct option *options, char letter)
{
    for (; options && options->kind != OPTION_END; options++)
        if (options->letter == letter)
            return options;
    return NULL;
}

static bool choice_valid(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *choice = choices;;) {
        size_t choice_length = strcspn(choice, "|");
        if (choice_length == length && memcmp(choice, value, length) == 0)
            return true;
        if (choice[choice_length] == '\0')
            return false;
        choice += choice_length + 1;
    }
}

static int add_string(struct option_strings *strings, const char *value)
{
    const char **values = reallocarray(strings->values, (size_t)strings->count + 1, sizeof *values);
    if (!values) {
        message_print("out of memory");
        return -EINVAL;
    }
    values[strings->count++] = value;
    strings->values = values;
    return 0;
}

static bool parse_size(uint64_t *size, const char *value)
{
    static const char letters[] = "KMGT";
    char *end;
    double number = strtod(value, &end);
    if (end == value || value[0] < '0' || value[0] > '9' || !isfinite(number))
        return false;
    const char *letter = *end ? strchr(letters, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    if (letter) {
        for (const char *at = letters; at <= letter; at++)
            number *= 1024;
        end++;
        end += strcmp(end, "iB") == 0 ? 2 : strcmp(end, "i") == 0 ? 1 : 0;
    } else {
        end += strcmp(end, "B") == 0;
    }
    if (*end != '\0' || number < 1 || number >= 1e18)
        return false;
    *size = (uint64_t)number;
    return true;
}

/* False: none that a program could have a handler for, or one that tells of a fault. */
static bool parse_signal(int *signal, const char *value)
{
    static const int unfit[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    char *end;
    long number = strtol(value, &end, 10);
    if (end == value || *end != '\0') {
        const char *name = strncmp(value, "SIG", 3) == 0 ? value + 3 : value;
        number = 0;
        for (int i = 1; i < 32 && number == 0; i++)
            if (sigabbrev_np(i) && strcmp(name, sigabbrev_np(i)) == 0)
                number = i;
    }
    for (size_t i = 0; i < HS_COUNT_OF(unfit); i++)
        if (number == unfit[i])
            return false;
    if (number < 1 || number > 64 || number == 32 || number == 33) /* the latter are libc's own */
        return false;
    *signal = (int)number;
    return true;
}

static bool parse_integer(int64_t *number, const char *value)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || value[0] < '0' || value[0] > '9')
        return false;
    *number = parsed;
    return true;
}

static bool parse_number(double *number, const char *value, double most)
{
    char *end;
    double parsed = strtod(value, &end);
    if (end == value || *end != '\0' || value[0] == ' ' || !(parsed >= 0 && parsed <= most))
        return false;
    *number = parsed;
    return true;
}

/* What the value of an option must be, where not every text will do; behind that of a choice stand the choices. */
static const char *const wanted[] = {
    [OPTION_INTEGER] = "a whole number from 0 on", [OPTION_SECONDS] = "a number of seconds from 0 on",
    [OPTION_FRACTION] = "a number from 0 to 1",    [OPTION_CHOICE] = "one of ",
    [OPTION_SIZE] = "a size such as 64M",          [OPTION_SIGNAL] = "a signal that can be used, such as USR2",
};

/* Of these kinds; false: it is no such value. */
static bool parse_value(const struct option *option, const char *value)
{
    switch (option->kind) {
    case OPTION_INTEGER:
        return parse_integer(option->value, value);
    case OPTION_SECONDS:
        return parse_number(option->value, value, DBL_MAX);
    case OPTION_FRACTION:
        return parse_number(option->value, value, 1);
    case OPTION_CHOICE:
        if (!choice_valid(option->value_name, value))
            return false;
        *(const char **)option->value = value;
        return true;
    case OPTION_SIZE:
        return parse_size(option->value, value);
    case OPTION_SIGNAL:
        return parse_signal(option->value, value);
    default:
        return false;
    }
}

/* `shown` is the option as the user wrote it, for messages. */
static int store(const struct command *command, const struct option *option, const char *shown, const char *value)
{
    switch (option->kind) {
    case OPTION_END:
        return -EINVAL;
    case OPTION_FLAG:
        *(bool *)option->value = true;
        return 0;
    case OPTION_STRING:
        *(const char **)option->value = value;
        return 0;
    case OPTION_STRINGS:
    case OPTION_OPTIONAL:
        return add_string(option->value, value);
    default:
        break;
    }
    if (parse_value(option, value))
        return 0;
    char detail[512];
    snprintf(detail, sizeof detail, ": %s is not %s%s", value, wanted[option->kind],
             option->kind == OPTION_CHOICE ? option->value_name : "");
    return usage(command, "option ", shown, detail);
}

/* One "--name", "--name=value" or "--name value"; *at is its place in argv and moves behind it. */
static int parse_long(const struct command *command, int argc, char **argv, int *at)
{
    const char *argument = argv[(*at)++], *name = argument + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    char shown[128];
    snprintf(shown, sizeof shown, "%.*s", (int)(length + 2 < sizeof shown ? length + 2 : sizeof shown - 1), argument);
    const struct option *option = find_long(command->options, name, length);
    if (!option)
        option = find_long(options_common, name, length);
    if (!option)
        return usage(command, "unknown option ", shown, "");
    if (option->kind == OPTION_FLAG)
        return equals ? usage(command, "option ", shown, " takes no value") : store(command, option, shown, NULL);
    if (equals)
        return store(command, option, shown, equals + 1);
    if (option->kind == OPTION_OPTIONAL)
        return store(command, option, shown, "");
    if (*at >= argc)
        return usage(command, "option ", shown, " needs a value");
    return store(command, option, shown, argv[(*at)++]);
}

/* One "-abc": flags; the last may take a value, as in "-n5" and "-n 5". */
static int parse_short(const struct command *command, int argc, char **argv, int *at)
{
    const char *argument = argv[(*at)++];
    for (const char *letter = argument + 1; *letter; letter++) {
        const char shown[] = {'-', *letter, '\0'};
        const struct option *option = find_letter(command->options, *letter);
        if (!option)
            option = find_letter(options_common, *letter);
        if (!option)
            return usage(command, "unknown option ", shown, "");
        if (option->kind != OPTION_FLAG) {
            const char *value = letter[1] ? letter + 1 : *at < argc ? argv[(*at)++] : NULL;
            return value ? store(command, option, shown, value) : usage(command, "option ", shown, " needs a value");
        }
        int code = store(command, option, shown, NULL);
        if (code != 0)
            return code;
    }
    return 0;
}

int options_parse(const struct command *command, int argc, char **argv)
{
    int operands = 0, at = 0;
    help_asked = false;
    while (at < argc) {
        char *argument = argv[at];
        int code = 0;
        if (strcmp(argument, "--") == 0) {
            at++;
            break;
        }
        if (argument[0] != '-' || argument[1] == '\0') {
            if (command->stop_at_operand)
                break;
            argv[operands++] = argument;
            at++;
        } else if (argument[1] == '-') {
            code = parse_long(command, argc, argv, &at);
        } else {
            code = parse_short(command, argc, argv, &at);
        }
        if (help_asked) {
            options_print_help(stdout, command);
            return -ECANCELED;
        }
        if (code != 0)
            return code;
    }
    while (at < argc)
        argv[operands++] = argv[at++];
    argv[operands] = NULL;
    return operands;
}

void options_label(const struct option *option, char *text, size_t size)
{
    char letter[8] = "";
    if (option->letter)
        snprintf(letter, sizeof letter, "-%c%s", option->letter, option->name ? ", " : "");
    bool optional = option->kind == OPTION_OPTIONAL;
    snprintf(text, size, "%s%s%s%s%s%s%s", letter, option->name ? "--" : "", option->name ? option->name : "",
             optional ? "[" : "", option->value_name ? (option->name ? "=" : " ") : "",
             option->value_name ? option->value_name : "", optional ? "]" : "");
}

void options_print_wrapped(FILE *to, const char *text, int indent, int column, int width)
{
    bool line_empty = true;
    while (*text) {
        if (*text == '\n') {
            fputs("\n\n", to);
            column = 0;
            line_empty = true;
            text += strspn(text, "\n");
            continue;
        }
        if (*text == ' ') {
            text++;
            continue;
        }
        int length = (int)strcspn(text, " \n");
        if (!line_empty && column + 1 + length > width) {
            fputc('\n', to);
            column = 0;
            line_empty = true;
        }
        if (line_empty)
            column += fprintf(to, "%*s", indent > column ? indent - column : 0, "");
        else
            column += fprintf(to, " ");
        column += fprintf(to, "%.*s", length, text);
        line_empty = false;
        text += length;
    }
    fputc('\n', to);
}

static void print_options(FILE *to, const struct option *options)
{
    for (; options && options->kind != OPTION_END; options++) {
        char label[128];
        options_label(options, label, sizeof label);
        int column = fprintf(to, "  %s%s", options->letter ? "" : "    ", label);
        if (column + 2 > LABEL_WIDTH) {
            fputc('\n', to);
            column = 0;
        }
        options_print_wrapped(to, options->help, LABEL_WIDTH, column, WIDTH);
    }
}

void options_print_help(FILE *to, const struct command *command)
{
    fprintf(to, "Usage: heapsake %s %s\n\n", command->name, command->synopsis);
    options_print_wrapped(to, command->description, 0, 0, WIDTH);
    fputs("\nOptions:\n", to);
    print_options(to, command->options);
    print_options(to, options_common);
    fputs("\nExamples:\n", to);
    /* pairs of lines: the command, what it does */
    for (const char *line = command->examples; line && *line;) {
        int length = (int)strcspn(line, "\n");
        fprintf(to, line[0] == '$' ? "  %.*s\n" : "      %.*s\n", length, line);
        line += length + (line[length] == '\n');
    }
}

void options_print_overview(FILE *to)
{
    fputs("Usage: heapsake COMMAND [OPTION...] [ARGUMENT...]\n\n", to);
    options_print_wrapped(
        to,
        "Tells why memory stays: records every allocation of a program, native and CPython, and reports "
        "what it allocated, kept and when.",
        0, 0, WIDTH);
    fputs("\nCommands:\n", to);
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("  help       the help of a command\n"
          "\nOptions:\n"
          "  -h, --help            show this overview\n"
          "      --version         show the version\n"
          "      --python-include  show the folder to compile extensions with, before Python's own: see REFCOUNTS\n"
          "\nExamples:\n"
          "  $ heapsake run -o app.hsk -- python3 app.py\n"
          "  $ heapsake summary app.hsk\n"
          "  $ heapsake peak app.hsk\n"
          "\nExit status: 0 done, 1 `check` found a violation, 2 wrong usage, 3 unusable trace\n"
          "or environment;\n"
          "`heapsake run` gives back the status of the program.\n",
          to);
}
