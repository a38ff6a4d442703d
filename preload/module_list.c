/* module_list.c - see module_list.h */
#include "module_list.h"

#include <stdint.h>
#include <string.h>

#include "internal/compiler.h"
#include "modules.h"
#include "python/elf_lookup.h"

static bool copy(struct module_entry *entry, const struct link_map *map)
{
    entry->map = map;
    return modules_copy(&entry->link, (uintptr_t)map, sizeof entry->link);
}

bool module_list_first(struct module_entry *entry)
{
    const struct link_map *first = elf_first_module();
    return first && copy(entry, first) && !entry->link.l_prev;
}

bool module_list_next(struct module_entry *entry)
{
    const struct link_map *before = entry->map, *next = entry->link.l_next;
    return next && copy(entry, next) && entry->link.l_prev == before;
}

bool module_list_again(struct module_entry *entry)
{
    struct module_range range;
    const Elf64_Dyn *then = entry->link.l_ld;
    return modules_find((uintptr_t)then, &range) && range.map == entry->map && copy(entry, entry->map) &&
           entry->link.l_ld == then;
}

void module_list_name(const struct module_entry *entry, char *name, size_t size)
{
    uintptr_t at = (uintptr_t)entry->link.l_name;
    size_t used = 0;
    char piece[256];
    name[0] = '\0';
    if (!at)
        return;
    for (;;) {
        /* within a page, of which some byte is the path's */
        size_t length = sizeof piece - at % sizeof piece;
        if (!modules_copy(piece, at, length)) {
            name[0] = '\0';
            return;
        }
        for (size_t i = 0; i < length; i++) {
            if (!piece[i])
                return;
            if (piece[i] == '/') {
                used = 0;
            } else if (used + 1 < size) {
                name[used++] = piece[i];
            }
            name[used] = '\0';
        }
        at += length;
    }
}
