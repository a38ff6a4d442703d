/* dwfl_alone.h - for libdwfl, which shall look for no file by itself: that takes long, and may ask the network. */
#ifndef HEAPSAKE_SYMBOLS_DWFL_ALONE_H
#define HEAPSAKE_SYMBOLS_DWFL_ALONE_H

#include <elfutils/libdwfl.h>

/* For the callback find_elf: what was not reported with its file has none. */
int dwfl_alone_no_elf(Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base, char **file_name,
                      Elf **elf);
/* For find_debuginfo: what is in the module's own file must do. */
int dwfl_alone_no_debuginfo(Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base,
                            const char *file_name, const char *link, GElf_Word checksum, char **debug_file_name);

#endif
