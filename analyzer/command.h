/*
 * command.h - what a command of the tool is: one entry in main.c's table.
 *
 * The table of options is the only place where an option is described: parsing
 * (options.c), --help, the man page and shell completion are made from it.
 */
#ifndef HEAPSAKE_COMMAND_H
#define HEAPSAKE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum option_kind {
    OPTION_END = 0,
    OPTION_FLAG,     /* bool *                                                                      */
    OPTION_STRING,   /* const char **                                                               */
    OPTION_INTEGER,  /* int64_t *, not negative                                                      */
    OPTION_SECONDS,  /* double *, not negative                                                       */
    OPTION_FRACTION, /* double *, from 0 to 1                                                        */
    OPTION_CHOICE,   /* const char **; `value_name` is the choices: "wait|drop"                       */
    OPTION_SIZE,     /* uint64_t *: bytes, at least 1; with K, M, G or T (or KiB ...) powers of 1024    */
    OPTION_SIGNAL,   /* int *: a name with or without SIG, or a number; one that can be handled        */
    OPTION_STRINGS,  /* struct option_strings *; may be given several times                            */
    OPTION_OPTIONAL, /* the same; its value stands behind "=", or is left out: "" then                  */
};

struct option_strings {
    const char **values;
    int count;
};

struct option {
    char letter;      /* 0: none                                            */
    const char *name; /* without dashes                                     */
    enum option_kind kind;
    const char *value_name; /* "FILE"; NULL for a flag                             */
    void *value;            /* where it goes; holds the default before            */
    const char *help;       /* one sentence, lower case, no full stop              */
};

struct command {
    const char *name;
    const char *synopsis;         /* "[OPTION...] TRACE"                                            */
    const char *summary;          /* one line, lower case, no full stop                              */
    const char *description;      /* paragraphs separated by a blank line, wrapped by whoever shows it  */
    const char *examples;         /* pairs of lines: "$ heapsake ...", what it does                    */
    const struct option *options; /* ends with OPTION_END; --help and --color are every command's  */
    bool stop_at_operand;         /* options end at the first operand (`run`: the program's are its own) */
    bool hidden;                  /* not in --help: used by heapsake itself                            */
    /* The operands; argv[argc] is NULL. Returns an enum exit_code, `run` any status. */
    int (*run)(int argc, char **argv);
};

/* One file a command; the table in main.c lists them. */
extern const struct command command_run, command_attach, command_detach, command_snapshot, command_doctor,
    command_summary, command_leaks, command_peak, command_objects, command_cycles, command_why, command_refs,
    command_diff, command_check, command_export, command_dump, command_verify, command_symbolize, command_follow,
    command_record;

/*
 * Parses argv (behind the command's name) into the options' values and moves the operands to the front of
 * argv. Returns the number of operands, -EINVAL after printing what is wrong, or -ECANCELED after --help has been
 * printed.
 * `--json` is an ordinary OPTION_FLAG of the commands that have it.
 */
int options_parse(const struct command *command, int argc, char **argv);

#endif
