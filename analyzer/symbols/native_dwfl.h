/*
 * native_dwfl.h - names for addresses of one native file, with libdwfl.
 *
 * What a file tells, best first: DWARF (function, file, line, inlined calls), the symbol table, the minimal one that
 * distributions pack into .gnu_debugdata, the dynamic one. Files are damaged or hostile as a matter of course.
 */
#ifndef HEAPSAKE_SYMBOLS_NATIVE_DWFL_H
#define HEAPSAKE_SYMBOLS_NATIVE_DWFL_H

#include <stdbool.h>
#include <stddef.h>

#include "symbols/module_file.h"
#include "symbols/native_answers.h"

/*
 * Names `count` queries, which are in ascending order. Opens the file's tables for that time alone.
 * False when memory ran out; what is unknown, or lies in damaged tables, is no failure.
 */
bool native_symbolize(const struct module_file *file, struct native_query *queries, size_t count,
                      struct name_table *names, struct native_functions *functions);

#endif
