/*
 * got.h - patching the GOT entries through which a module calls functions of others.
 */
#ifndef HEAPSAKE_PRELOAD_GOT_H
#define HEAPSAKE_PRELOAD_GOT_H

#include <stdbool.h>
#include <stddef.h>

struct link_map;

struct got_patch {
    const char *symbol;
    const void *real; /* the definition that calls go to now; NULL: leave this symbol alone */
    const void *replacement;
};

struct got_result {
    unsigned patched; /* GOT entries that lead to a replacement now                                                  */
    unsigned
        refused; /* GOT entries that could not be written: their pages are sealed (mseal), or the system forbids it */
};

/*
 * Points the GOT entries (JUMP_SLOT and GLOB_DAT) of `module` that stand for one of the patches' symbols to its
 * replacement, unless they are bound to another definition than `real`. The module must not be unloaded meanwhile.
 * Takes no lock and allocates nothing; pages that the loader has write-protected are opened for the time of the write.
 */
struct got_result got_patch_module(const struct link_map *module, const struct got_patch *patches, size_t count);

/*
 * Pointers of `module` that its source has set to the address of `symbol`, a function that was not there when the
 * module was loaded: they become `value`. Returns how many such pointers there are, whatever they are now.
 */
unsigned got_fill_pointers(const struct link_map *module, const char *symbol, const void *value);

/* Does `module` refer to a symbol of others for which `wanted` says yes? */
bool got_refers(const struct link_map *module, bool (*wanted)(const char *symbol));

#endif
