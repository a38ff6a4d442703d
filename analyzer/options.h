/*
 * options.h - what is made from a command's table of options besides parsing: help, man page, completion.
 */
#ifndef HEAPSAKE_OPTIONS_H
#define HEAPSAKE_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "command.h"

/* The options that every command has; ends with OPTION_END. */
extern const struct option options_common[];

/* All commands in the order of the overview, hidden ones too; ends with NULL. Defined in main.c. */
extern const struct command *const commands[];

/* NULL when there is none of this name. */
const struct command *options_find_command(const char *name);

/* "-o, --output=FILE" into text. */
void options_label(const struct option *option, char *text, size_t size);

/* What `heapsake NAME --help` prints. */
void options_print_help(FILE *to, const struct command *command);

/* What `heapsake --help` prints. */
void options_print_overview(FILE *to);

/* Paragraphs, wrapped to `width` columns, each line behind `indent` spaces; `column`: where the first line begins. */
void options_print_wrapped(FILE *to, const char *text, int indent, int column, int width);

#endif
