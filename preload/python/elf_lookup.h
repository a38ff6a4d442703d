/*
 * elf_lookup.h - loaded modules and the symbols they define, without the dynamic linker's help.
 *
 * dlsym takes the loader's lock, may allocate, and changes what the program's
 * next dlerror says; none of that may happen in a hook. This reads the link map
 * and the modules' own hash tables. It sees modules opened with RTLD_LOCAL too.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_ELF_LOOKUP_H
#define HEAPSAKE_PRELOAD_PYTHON_ELF_LOOKUP_H

#include <link.h>
#include <stdbool.h>

/*
 * The first module of the program's namespace; NULL while the loader is changing the list (ask again later). Follow
 * l_next. The list may change under the reader when another thread opens or closes modules.
 */
const struct link_map *elf_first_module(void);

/* The address of a function or variable that `module` defines and exports, in its default version; NULL when there
 * is none. Async-signal-safe. */
void *elf_find_symbol(const struct link_map *module, const char *name);

#endif
