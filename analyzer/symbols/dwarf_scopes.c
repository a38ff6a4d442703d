/* dwarf_scopes.c - see dwarf_scopes.h */
#include "symbols/dwarf_scopes.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

/* Deeper nesting is no compiler's work. */
#define MAX_DEPTH 200
/* Steps over ranges and places in one file: far more than any program needs, a second or so of a table that leads in
 * circles. */
#define MAX_WORK (UINT64_C(1) << 27)

/* The places inside [from, to) of one unit, and how many a walk has still to name. */
struct walk {
    struct dwarf_scopes *scopes;
    uint32_t unit;
    size_t first, end; /* bounds of the unit's places in the array */
    bool thorough;     /* also into types and functions that hold none of the addresses */
};

static size_t first_place_at(const struct dwarf_scopes *scopes, size_t low, size_t high, uint64_t address)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (scopes->places[middle].address < address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t add_scope(struct dwarf_scopes *scopes, const Dwarf_Die *die, uint32_t caller)
{
    if (scopes->scope_count >= SCOPE_NONE ||
        !grow((void **)&scopes->scopes, scopes->scope_count, &scopes->scope_capacity, sizeof *scopes->scopes)) {
        scopes->failed = true;
        return SCOPE_NONE;
    }
    scopes->scopes[scopes->scope_count] = (struct dwarf_scope){.die = *die, .caller = caller};
    return (uint32_t)scopes->scope_count++;
}

static uint32_t add_unit(struct dwarf_scopes *scopes, const Dwarf_Die *die)
{
    if (!grow((void **)&scopes->units, scopes->unit_count, &scopes->unit_capacity, sizeof *scopes->units)) {
        scopes->failed = true;
        return SCOPE_NONE;
    }
    scopes->units[scopes->unit_count] = *die;
    return (uint32_t)scopes->unit_count++;
}

/* ---- compile units ---- */

static void place_in_unit(struct dwarf_scopes *scopes, Dwarf_Die *die)
{
    uint32_t unit = SCOPE_NONE;
    Dwarf_Addr base = 0, from, to;
    ptrdiff_t offset = 0;
    while (!scopes->failed && scopes->work++ < MAX_WORK) {
        offset = dwarf_ranges(die, offset, &base, &from, &to);
        if (offset <= 0)
            return;
        for (size_t at = first_place_at(scopes, 0, scopes->place_count, from);
             at < scopes->place_count && scopes->places[at].address < to; at++) {
            scopes->work++;
            if (scopes->places[at].unit != SCOPE_NONE)
                continue;
            if (unit == SCOPE_NONE && (unit = add_unit(scopes, die)) == SCOPE_NONE)
                return;
            scopes->places[at].unit = unit;
        }
    }
}

static void place_in_units(struct dwarf_scopes *scopes, Dwarf *dwarf)
{
    Dwarf_Off offset = 0, next;
    size_t header;
    while (!scopes->failed && dwarf_nextcu(dwarf, offset, &next, &header, NULL, NULL, NULL) == 0) {
        Dwarf_Die die;
        if (dwarf_offdie(dwarf, offset + header, &die)) {
            int tag = dwarf_tag(&die);
            if (tag == DW_TAG_compile_unit || tag == DW_TAG_skeleton_unit)
                place_in_unit(scopes, &die);
        }
        if (next <= offset)
            return;
        offset = next;
    }
}

/* ---- inside a unit ---- */

/* Does `die` hold any of the places? With `take`, they get a scope of it. */
static bool holds_places(struct walk *walk, Dwarf_Die *die, bool take, uint32_t caller, uint32_t *scope, bool *no_code)
{
    struct dwarf_scopes *scopes = walk->scopes;
    Dwarf_Addr base = 0, from, to;
    ptrdiff_t offset = 0;
    bool found = false;
    *no_code = true;
    while (!scopes->failed && scopes->work++ < MAX_WORK) {
        offset = dwarf_ranges(die, offset, &base, &from, &to);
        if (offset <= 0)
            break;
        *no_code = false;
        for (size_t at = first_place_at(scopes, walk->first, walk->end, from);
             at < walk->end && scopes->places[at].address < to; at++) {
            scopes->work++;
            if (scopes->places[at].unit != walk->unit)
                continue;
            found = true;
            if (!take)
                return true;
            if (*scope == SCOPE_NONE && (*scope = add_scope(scopes, die, caller)) == SCOPE_NONE)
                return false;
            scopes->places[at].scope = *scope;
        }
    }
    return found;
}

static void walk_children(struct walk *walk, Dwarf_Die *parent, uint32_t inside, unsigned depth);

static void walk_entry(struct walk *walk, Dwarf_Die *die, uint32_t inside, unsigned depth)
{
    uint32_t scope = SCOPE_NONE;
    bool no_code;
    switch (dwarf_tag(die)) {
    case DW_TAG_subprogram:
        if (holds_places(walk, die, true, SCOPE_NONE, &scope, &no_code))
            walk_children(walk, die, scope, depth);
        else if (walk->thorough)
            walk_children(walk, die, SCOPE_NONE, depth);
        break;
    case DW_TAG_inlined_subroutine:
        if (holds_places(walk, die, true, inside, &scope, &no_code))
            walk_children(walk, die, scope, depth);
        break;
    case DW_TAG_lexical_block:
    case DW_TAG_catch_block:
    case DW_TAG_try_block:
    case DW_TAG_with_stmt:
    case DW_TAG_common_block:
        if (holds_places(walk, die, false, SCOPE_NONE, &scope, &no_code) || no_code || walk->thorough)
            walk_children(walk, die, inside, depth);
        break;
    case DW_TAG_namespace:
    case DW_TAG_module:
        walk_children(walk, die, inside, depth);
        break;
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_interface_type:
        /* Methods are declared here, and their code stands at the top of the unit; those of types inside functions
         * differ. */
        if (walk->thorough || inside != SCOPE_NONE)
            walk_children(walk, die, inside, depth);
        break;
    default:
        break;
    }
}

static void walk_children(struct walk *walk, Dwarf_Die *parent, uint32_t inside, unsigned depth)
{
    Dwarf_Die die;
    if (depth >= MAX_DEPTH || walk->scopes->failed || dwarf_child(parent, &die) != 0)
        return;
    for (;;) {
        walk_entry(walk, &die, inside, depth + 1);
        Dwarf_Die next;
        if (walk->scopes->failed || dwarf_siblingof(&die, &next) != 0 || next.addr <= die.addr)
            return;
        die = next;
    }
}

static bool any_unplaced(const struct walk *walk)
{
    for (size_t i = walk->first; i < walk->end; i++)
        if (walk->scopes->places[i].unit == walk->unit && walk->scopes->places[i].scope == SCOPE_NONE)
            return true;
    return false;
}

static void walk_unit(struct dwarf_scopes *scopes, uint32_t unit, size_t first, size_t end)
{
    struct walk walk = {.scopes = scopes, .unit = unit, .first = first, .end = end};
    walk_children(&walk, &scopes->units[unit], SCOPE_NONE, 0);
    if (any_unplaced(&walk) && !scopes->failed) {
        walk.thorough = true;
        walk_children(&walk, &scopes->units[unit], SCOPE_NONE, 0);
    }
}

bool dwarf_scopes_find(struct dwarf_scopes *scopes, Dwarf *dwarf, struct dwarf_place *places, size_t count)
{
    *scopes = (struct dwarf_scopes){.places = places, .place_count = count};
    for (size_t i = 0; i < count; i++)
        places[i].unit = places[i].scope = SCOPE_NONE;
    place_in_units(scopes, dwarf);
    /* Where each unit's places begin and end. */
    size_t *bounds = calloc(scopes->unit_count * 2 + 1, sizeof *bounds);
    if (!bounds)
        scopes->failed = true;
    for (size_t i = count; bounds && i-- > 0;)
        if (places[i].unit != SCOPE_NONE) {
            bounds[2 * places[i].unit] = i;
            if (!bounds[2 * places[i].unit + 1])
                bounds[2 * places[i].unit + 1] = i + 1;
        }
    for (uint32_t unit = 0; unit < scopes->unit_count && !scopes->failed; unit++)
        walk_unit(scopes, unit, bounds[2 * (size_t)unit], bounds[2 * (size_t)unit + 1]);
    free(bounds);
    return !scopes->failed;
}

void dwarf_scopes_free(struct dwarf_scopes *scopes)
{
    free(scopes->scopes);
    free(scopes->units);
    *scopes = (struct dwarf_scopes){0};
}
