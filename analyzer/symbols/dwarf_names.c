/* dwarf_names.c - see dwarf_names.h */
#include "symbols/dwarf_names.h"

#include <dwarf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

#define MAX_DEPTH 64
#define MAX_ORIGINS 16
#define MAX_CHILDREN (4u << 20)

void dwarf_names_free(struct dwarf_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->containers[i].children);
    free(names->containers);
    map64_free(&names->by_offset);
    buf_free(&names->name);
    *names = DWARF_NAMES_INIT;
}

/* The entry that declares it: where the source has it. */
static Dwarf_Die declaration_of(Dwarf_Die die)
{
    for (unsigned i = 0; i < MAX_ORIGINS; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Die origin;
        if ((!dwarf_attr(&die, DW_AT_abstract_origin, &attribute) &&
             !dwarf_attr(&die, DW_AT_specification, &attribute)) ||
            !dwarf_formref_die(&attribute, &origin))
            break;
        die = origin;
    }
    return die;
}

static bool read_children(struct dwarf_container *container, Dwarf_Die *die)
{
    size_t capacity = 0;
    Dwarf_Die child;
    if (dwarf_child(die, &child) != 0)
        return true;
    for (;;) {
        if (!grow((void **)&container->children, container->count, &capacity, sizeof *container->children))
            return false;
        container->children[container->count++] = child;
        Dwarf_Die next;
        if (container->count >= MAX_CHILDREN || dwarf_siblingof(&child, &next) != 0 || next.addr <= child.addr)
            return true;
        child = next;
    }
}

static const struct dwarf_container *container_of(struct dwarf_names *names, Dwarf_Die *die)
{
    uint32_t index;
    if (map64_get(&names->by_offset, dwarf_dieoffset(die), &index))
        return &names->containers[index];
    if (!grow((void **)&names->containers, names->count, &names->capacity, sizeof *names->containers))
        return NULL;
    struct dwarf_container container = {0};
    if (!read_children(&container, die) ||
        !map64_put(&names->by_offset, dwarf_dieoffset(die), (uint32_t)names->count)) {
        free(container.children);
        return NULL;
    }
    names->containers[names->count] = container;
    return &names->containers[names->count++];
}

/* The child whose subtree holds the entry at `offset`: the last that begins there or before. */
static const Dwarf_Die *child_towards(const struct dwarf_container *container, Dwarf_Off offset)
{
    size_t low = 0, high = container->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        Dwarf_Die child = container->children[middle];
        if (dwarf_dieoffset(&child) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &container->children[low - 1] : NULL;
}

/* What the source writes in front of "::", NULL for entries that leave no trace in a name. */
static const char *part_of(Dwarf_Die *die)
{
    switch (dwarf_tag(die)) {
    case DW_TAG_namespace:
    case DW_TAG_module: {
        const char *name = dwarf_diename(die);
        return name ? name : "(anonymous namespace)";
    }
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_interface_type:
    case DW_TAG_enumeration_type: {
        const char *name = dwarf_diename(die);
        return name ? name : "(anonymous)";
    }
    case DW_TAG_subprogram:
        return dwarf_diename(die);
    default:
        return NULL;
    }
}

/* In C nothing is around a function. */
static bool has_scopes(Dwarf_Die *unit)
{
    switch (dwarf_srclang(unit)) {
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case 0x2c: /* DW_LANG_C17, which older headers lack */
    case DW_LANG_Mips_Assembler:
        return false;
    default:
        return true;
    }
}

const char *dwarf_names_whole(struct dwarf_names *names, Dwarf_Die *function)
{
    const char *bare = dwarf_diename(function);
    Dwarf_Die declaration = declaration_of(*function), at;
    Dwarf_Off offset = dwarf_dieoffset(&declaration);
    if (!bare || !dwarf_diecu(&declaration, &at, NULL, NULL) || !has_scopes(&at))
        return bare;
    buf_clear(&names->name);
    for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
        const struct dwarf_container *container = container_of(names, &at);
        const Dwarf_Die *child = container ? child_towards(container, offset) : NULL;
        if (!child)
            return bare;
        at = *child;
        if (dwarf_dieoffset(&at) == offset)
            break;
        const char *part = part_of(&at);
        if (part)
            buf_printf(&names->name, "%s::", part);
    }
    if (!names->name.length)
        return bare;
    buf_printf(&names->name, "%s", bare);
    return names->name.failed ? bare : (const char *)names->name.data;
}
