/*
 * stack_records.h - the records of NODES, MODULES and SYMBOLS chunks, one after the other.
 *
 *     struct cursor cursor = {.at = raw, .end = raw + length};
 *     struct module_record record;
 *     while (module_records_next(&cursor, &record))
 *         ...
 *     if (cursor.failed)
 *         the chunk is damaged
 *
 * What they say is someone else's claim: numbers, addresses and texts may be any. Texts lie in the chunk's raw bytes
 * and are not terminated.
 */
#ifndef HEAPSAKE_TRACE_STACK_RECORDS_H
#define HEAPSAKE_TRACE_STACK_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "heapsake/trace_format.h"
#include "trace/trace_reader.h"

/* A NODES chunk, read forwards. */
struct node_records {
    struct cursor *cursor; /* the caller's     */
    uint64_t number;       /* of the next node */
    uint64_t frame;
    uint32_t code;
};

struct node_record {
    uint32_t number; /* at most HSK_MAX_NODE                                                         */
    uint32_t parent; /* smaller than number; 0: the root                                             */
    uint8_t kind;    /* enum hsk_node_kind                                                           */
    uint64_t frame;  /* PYTHON: code << 32 | offset; NATIVE: epoch << 48 | return address; SOURCE: place */
};

struct node_records node_records_of(struct cursor *cursor);
/* False at the end, and where it is damaged. */
bool node_records_next(struct node_records *records, struct node_record *record);

struct module_record {
    uint64_t index, start, end, epoch, flags;
    int64_t bias;
    const char *build_id, *path;
    size_t build_id_length, path_length;
};

bool module_records_next(struct cursor *cursor, struct module_record *record);

/*
 * A SYMBOLS chunk begins with its strings: symbol_strings_count(), then that many times cursor_string(). Each record
 * is followed by its functions, which must all be taken.
 */
struct symbol_record {
    uint64_t frame, offset;
    uint64_t module; /* index + 1; 0: none */
    uint64_t functions;
};

struct symbol_function_record {
    uint64_t function, file; /* index of a string + 1, which there is; 0: unknown */
    uint32_t line;           /* 0: unknown                                        */
};

/* Not more than the chunk has bytes. */
uint64_t symbol_strings_count(struct cursor *cursor);
bool symbol_records_next(struct cursor *cursor, struct symbol_record *record);
/* False where it is damaged. */
bool symbol_functions_take(struct cursor *cursor, uint64_t string_count, struct symbol_function_record *function);

/* How well the native frames of a trace are named, after its SYMBOLS. */
struct symbol_counts {
    uint64_t frames;
    uint64_t without_function;
};
void symbol_counts_read(struct symbol_counts *counts, struct trace_reader *reader);

#endif
