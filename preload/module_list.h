/*
 * module_list.h - the loader's list of modules, walked at any time and without the loader's lock.
 *
 * Any thread may close a module at any moment, and the loader gives its entry back to malloc: what was an entry is
 * anything then, or not mapped any more. So each one is copied by the kernel before it is looked at, which costs a
 * system call, and is believed only when it leads back to the one before. Hooks that run seldom may do that. Who holds
 * the loader's lock (loader_lock.h), and who is alone in the process, follows l_next instead.
 */
#ifndef HEAPSAKE_PRELOAD_MODULE_LIST_H
#define HEAPSAKE_PRELOAD_MODULE_LIST_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

struct module_entry {
    const struct link_map *map; /* the loader's own: not to be followed */
    struct link_map link;       /* what it was when it was copied       */
};

/* False: the list is being changed, or cannot be read. */
bool module_list_first(struct module_entry *entry);

/* Goes on to the next one. False: there is none, or the list was changed meanwhile; the entry is void then. */
bool module_list_next(struct module_entry *entry);

/* Copies it anew, for what comes after it now. False: it is not there any more, or is about to be opened. */
bool module_list_again(struct module_entry *entry);

/* Copies the path's last part, cut to `size` with its NUL; "" when it has none, or cannot be read. */
void module_list_name(const struct module_entry *entry, char *name, size_t size);

#endif
