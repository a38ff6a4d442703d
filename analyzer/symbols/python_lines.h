/*
 * python_lines.h - from an instruction of a Python code object to its line.
 *
 * CPython keeps the lines of a code object in a compact table whose format
 * changed twice: co_lnotab (3.9 and older), co_linetable of 3.10 (PEP 626), and
 * the location table of 3.11 and later (PEP 657).
 */
#ifndef HEAPSAKE_SYMBOLS_PYTHON_LINES_H
#define HEAPSAKE_SYMBOLS_PYTHON_LINES_H

#include <stddef.h>
#include <stdint.h>

/*
 * The line of the instruction that holds byte `instruction_offset` of the code (its opcode, its operand or its inline
 * caches), 0 when it has none or the table does not reach so far. `table` is the code object's, `first_line` its
 * co_firstlineno, `python_minor` the 11 of 3.11. Any bytes are allowed in the table. Pure; thread-safe.
 *
 * What a frame's instruction pointer means is settled by whoever recorded it: up to 3.12 it is at the instruction that
 * executes (or its last cache entry), from 3.13 on too while it calls.
 */
unsigned python_line(const uint8_t *table, size_t length, unsigned first_line, unsigned python_minor,
                     unsigned instruction_offset);

#endif
