/*
 * native_answers.h - what is asked about addresses of native files, and the answers: functions by the numbers of their
 * names. One thread at a time.
 */
#ifndef HEAPSAKE_SYMBOLS_NATIVE_ANSWERS_H
#define HEAPSAKE_SYMBOLS_NATIVE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"

#define NATIVE_NAME_MAX (64u << 10) /* a longer name ends there */

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

/* False when memory ran out. */
bool native_functions_add(struct native_functions *functions, const struct native_function *function);

struct native_query {
    uint64_t return_address; /* in the file's addresses                                                            */
    uint64_t address;        /* of the call itself: what is looked up; set by native_symbolize()                     */
    size_t first;            /* out: its run in the functions, innermost inlined call first                         */
    uint32_t count;          /* out: 0 when nothing is known                                                        */
};

#endif
