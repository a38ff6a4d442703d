/* dwfl_alone.c - see dwfl_alone.h */
#include "symbols/dwfl_alone.h"

int dwfl_alone_no_elf(Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base, char **file_name,
                      Elf **elf)
{
    (void)module, (void)user_data, (void)name, (void)base, (void)file_name, (void)elf;
    return -1;
}

int dwfl_alone_no_debuginfo(Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base,
                            const char *file_name, const char *link, GElf_Word checksum, char **debug_file_name)
{
    (void)module, (void)user_data, (void)name, (void)base, (void)file_name, (void)link, (void)checksum;
    (void)debug_file_name;
    return -1;
}
