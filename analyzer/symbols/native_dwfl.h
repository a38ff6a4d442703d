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
#include <stdint.h>

#include "base/intern.h"
#include "symbols/module_file.h"

/* Strings are interned up to a total of `ceiling` bytes; those beyond are number 0. */
struct name_table {
    struct intern strings;
    size_t bytes, ceiling;
};

/* 0 for NULL and "", and when there is no more room. */
uint32_t name_table_add(struct name_table *names, const char *string);

struct native_function {
    uint32_t function; /* strings of the name table; 0: unknown */
    uint32_t file;
    uint32_t line;
};

/* The functions of all queries, in runs. */
struct native_functions {
    struct native_function *items;
    size_t count, capacity;
};

bool native_functions_add(struct native_functions *functions, const struct native_function *function);

struct native_query {
    uint64_t return_address; /* in the file's addresses                                                            */
    uint64_t address;        /* of the call itself: what is looked up; set by native_symbolize()                     */
    size_t first;            /* out: its run in the functions, innermost inlined call first                         */
    uint32_t count;          /* out: 0 when nothing is known                                                        */
};

/*
 * Names `count` queries, which are in ascending order. Opens the file's tables for that time alone.
 * False when memory ran out; what is unknown, or lies in damaged tables, is no failure.
 */
bool native_symbolize(const struct module_file *file, struct native_query *queries, size_t count,
                      struct name_table *names, struct native_functions *functions);

#endif
