/* python_lines.c - see python_lines.h */
#include "symbols/python_lines.h"

#include <limits.h>
#include <stdbool.h>

#define CODE_UNIT 2 /* bytes */

/* Tables are trusted neither in their length nor in their sums: lines are added up in 64 bits and shown
 * when they fit. */
static unsigned shown(int64_t line)
{
    return line > 0 && line <= INT_MAX ? (unsigned)line : 0;
}

/*
 * 3.11 and later. Entries begin with a byte that has its top bit set:
 *
 *    7   6     3  2       0
 *   [1][  form  ][ units-1 ]   then the fields of that form
 *
 * Numbers are in groups of 6 bits, lowest first, bit 6 says that another follows; signed ones keep
 * the sign in their lowest bit.
 */
enum location_form {
    FORM_ONE_LINE_FIRST = 10, /* 10, 11, 12: the line moves on by 0, 1, 2; below 10 it stays */
    FORM_ONE_LINE_LAST = 12,
    FORM_NO_COLUMNS = 13, /* signed difference of lines */
    FORM_LONG = 14,       /* the same, then end line and columns */
    FORM_NONE = 15,       /* no line at all */
};

static int64_t line_difference(const uint8_t *at, const uint8_t *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; at < end && shift <= 30; shift += 6) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x3f) << shift;
        if (!(byte & 0x40))
            break;
    }
    int64_t magnitude = (int64_t)(value >> 1);
    return value & 1 ? -magnitude : magnitude;
}

static unsigned line_by_locations(const uint8_t *table, size_t length, unsigned first_line, unsigned offset)
{
    const uint8_t *at = table, *end = table + length;
    uint64_t wanted = offset / CODE_UNIT, unit = 0;
    int64_t line = first_line;
    while (at < end) {
        uint8_t first = *at++;
        if (!(first & 0x80))
            return 0; /* damaged: an entry does not begin here */
        unsigned form = first >> 3 & 15;
        if (form == FORM_NO_COLUMNS || form == FORM_LONG)
            line += line_difference(at, end);
        else if (form >= FORM_ONE_LINE_FIRST && form <= FORM_ONE_LINE_LAST)
            line += form - FORM_ONE_LINE_FIRST;
        unit += (first & 7u) + 1;
        if (wanted < unit)
            return form == FORM_NONE ? 0 : shown(line);
        while (at < end && !(*at & 0x80))
            at++; /* columns: not kept; their bytes have the top bit clear */
    }
    return 0;
}

/* 3.10: pairs of a number of bytes and a signed difference of lines, -128 for "no line". */
static unsigned line_by_ranges(const uint8_t *table, size_t length, unsigned first_line, unsigned offset)
{
    uint64_t end = 0;
    int64_t line = first_line;
    for (size_t i = 0; i + 1 < length; i += 2) {
        end += table[i];
        int difference = (int8_t)table[i + 1];
        bool none = difference == -128;
        if (!none)
            line += difference;
        if (offset < end)
            return none ? 0 : shown(line);
    }
    return 0;
}

/* 3.9: pairs of a number of bytes and the signed difference of lines behind them. The last line goes on to the end. */
static unsigned line_by_lnotab(const uint8_t *table, size_t length, unsigned first_line, unsigned offset)
{
    uint64_t address = 0;
    int64_t line = first_line;
    for (size_t i = 0; i + 1 < length; i += 2) {
        address += table[i];
        if (address > offset)
            break;
        line += (int8_t)table[i + 1];
    }
    return shown(line);
}

unsigned python_line(const uint8_t *table, size_t length, unsigned first_line, unsigned python_minor,
                     unsigned instruction_offset)
{
    if (python_minor >= 11)
        return line_by_locations(table, length, first_line, instruction_offset);
    if (python_minor == 10)
        return line_by_ranges(table, length, first_line, instruction_offset);
    return line_by_lnotab(table, length, first_line, instruction_offset);
}
