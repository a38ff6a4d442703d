/*
 * dwarf_scopes.h - which functions, inlined ones too, hold an address, after DWARF.
 *
 * All addresses of a file are placed at once: each compile unit that holds any is walked once, from its top, and
 * branches without addresses are left out. (Asking libdw address by address walks the unit each time.)
 */
#ifndef HEAPSAKE_SYMBOLS_DWARF_SCOPES_H
#define HEAPSAKE_SYMBOLS_DWARF_SCOPES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCOPE_NONE UINT32_MAX

/* A function, or a call of one that was inlined. */
struct dwarf_scope {
    Dwarf_Die die;
    uint32_t caller;   /* the scope that this one is inlined into; SCOPE_NONE: it is none */
    uint32_t function; /* its name in the name table once it was asked for                 */
    bool named;
    bool linkage; /* ... and it is the whole one, with namespaces and parameters      */
};

struct dwarf_place {
    uint64_t address; /* as DWARF has it, ascending                              */
    uint32_t unit;    /* out: index of its compile unit; SCOPE_NONE: none holds it */
    uint32_t scope;   /* out: innermost scope; SCOPE_NONE: unknown                */
};

struct dwarf_scopes {
    struct dwarf_scope *scopes;
    size_t scope_count, scope_capacity;
    Dwarf_Die *units; /* those that hold addresses */
    size_t unit_count, unit_capacity;
    struct dwarf_place *places;
    size_t place_count;
    size_t work; /* steps taken; damaged tables are given up on when there are too many */
    bool failed; /* out of memory */
};

/* Places `places`, which the caller owns and keeps as long as the result. False when memory ran out. */
bool dwarf_scopes_find(struct dwarf_scopes *scopes, Dwarf *dwarf, struct dwarf_place *places, size_t count);
void dwarf_scopes_free(struct dwarf_scopes *scopes);

#endif
