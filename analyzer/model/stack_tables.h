/*
 * stack_tables.h - what a trace says of stack nodes, and of the code that they are of: its NODES, CODES, MODULES,
 * SYMBOLS and PLACES as tables, and what a source of names adds to them.
 *
 * Frames and stacks are made of it by stacks.c, which alone includes this. Texts are numbers of `strings`; 0: none.
 * Pointers into the tables hold until names are looked for. Not thread-safe.
 */
#ifndef HEAPSAKE_MODEL_STACK_TABLES_H
#define HEAPSAKE_MODEL_STACK_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "base/map64.h"
#include "model/stacks.h"
#include "trace/trace_reader.h"

#define STACK_NODE_PAGE_BITS 12
#define STACK_NODE_PAGES ((HSK_MAX_NODE + 1) >> STACK_NODE_PAGE_BITS)
/* A native node's frame: an address, and above it the epoch of the modules that it belongs to. */
#define STACK_EPOCH_SHIFT 48
#define STACK_ADDRESS_MASK ((UINT64_C(1) << STACK_EPOCH_SHIFT) - 1)

struct stack_node {
    uint64_t frame;
    uint32_t parent;
    uint32_t stack; /* resolved: number + 1; 0: not yet */
    uint8_t kind;
    bool known;
    bool expected; /* with a name source: its stack, and so its callers', will be asked for */
};

struct known_code {
    uint32_t function, file, line_table;
    uint32_t first_line, first_instruction, minor;
    /* Of line_table: lines in it count from the first one, so that a function may move; 0: it has none. */
    uint64_t digest;
};

struct known_module {
    uint64_t index, start, end, epoch;
    int64_t bias;
    uint32_t path, build_id;
    uint64_t digest; /* of the build-id; 0: it has none */
    bool is_executable;
};

struct known_symbol {
    uint64_t module; /* index + 1; 0: none */
    uint64_t offset;
    uint32_t first_function, function_count; /* innermost first; what is inlined has several */
};

struct known_function {
    uint32_t function, file, line;
};

struct known_place {
    uint32_t function, file, module, line;
};

struct stack_tables {
    struct intern strings;
    struct stack_node *nodes[STACK_NODE_PAGES];
    struct map64 code_index, symbol_index, module_index, place_index;
    struct known_code *codes;
    struct known_module *modules;
    struct known_symbol *symbols;
    struct known_function *functions;
    struct known_place *places;
    size_t code_count, module_count, symbol_count, function_count, place_count;
    size_t code_capacity, module_capacity, symbol_capacity, function_capacity, place_capacity;
    unsigned languages; /* of the nodes: 1 << enum frame_language */
    struct name_source names;
    size_t names_taken; /* of what it has found */
    bool failed;        /* memory ran out */
};

/* Begins with zeroes. Damaged chunks are remembered by the reader. */
void stack_tables_load(struct stack_tables *tables, struct trace_reader *reader);
void stack_tables_free(struct stack_tables *tables);

/* The following give NULL where the trace knows none. */
struct stack_node *stack_tables_node(const struct stack_tables *tables, uint32_t number);
const struct known_code *stack_tables_code(const struct stack_tables *tables, uint32_t number);
const struct known_place *stack_tables_place(const struct stack_tables *tables, uint64_t number);
/* The module that was mapped at a native frame's address in its epoch. */
const struct known_module *stack_tables_module(const struct stack_tables *tables, uint64_t frame);
const struct known_module *stack_tables_module_of(const struct stack_tables *tables, const struct known_symbol *symbol);
/* Of a native frame: what is in the tables by now, and what the source of names says beside. */
const struct known_symbol *stack_tables_symbol(const struct stack_tables *tables, uint64_t frame);
const struct known_symbol *stack_tables_find_symbol(struct stack_tables *tables, const struct stack_node *node);

/* As stacks_expect(). */
void stack_tables_expect(struct stack_tables *tables, uint32_t number);

#endif
