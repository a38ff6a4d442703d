/*
 * dwarf_names.h - whole names of functions that DWARF knows by their bare ones.
 *
 * Compilers leave the linkage name out of methods that are inlined everywhere: such a function is called "push_back",
 * and only the place of its declaration tells that it is std::vector<int>'s. DWARF has no way from an entry to the one
 * around it, so the children of each namespace and type on the way are listed once and searched.
 */
#ifndef HEAPSAKE_SYMBOLS_DWARF_NAMES_H
#define HEAPSAKE_SYMBOLS_DWARF_NAMES_H

#include <elfutils/libdw.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/map64.h"

struct dwarf_container {
    Dwarf_Die *children; /* in the order of their offsets */
    size_t count;
};

struct dwarf_names {
    struct map64 by_offset; /* of a container's entry; value: index */
    struct dwarf_container *containers;
    size_t count, capacity;
    struct buf name;
};

#define DWARF_NAMES_INIT ((struct dwarf_names){.name = {.ceiling = 64u << 10}})

void dwarf_names_free(struct dwarf_names *names);

/*
 * "namespace::type::name" of a function or an inlined call, valid until the next call; the bare name where there is
 * nothing around it, NULL when it has none.
 */
const char *dwarf_names_whole(struct dwarf_names *names, Dwarf_Die *function);

#endif
