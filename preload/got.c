/* got.c - see got.h; the ELF parts are those of the System V ABI, x86-64 supplement. */
#include "got.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "internal/session.h"
#include "sys.h"

#pragma weak _dl_find_object /* glibc 2.35; hook_replaced.c does without patches where it is absent */

struct object {
    uintptr_t bias;
    const Elf64_Sym *symbols;
    const char *strings;
    size_t strings_size;
    const Elf64_Rela *plain, *jumps;
    size_t plain_count, jump_count;
};

/* The loader has turned most addresses of the dynamic section into absolute ones, but not in every object (vdso). */
static uintptr_t absolute(uintptr_t bias, uintptr_t address)
{
    return address < bias ? address + bias : address;
}

static struct object describe(const struct link_map *module)
{
    struct object object = {.bias = module->l_addr};
    for (const Elf64_Dyn *entry = module->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        uintptr_t address = absolute(object.bias, entry->d_un.d_ptr);
        switch (entry->d_tag) {
        case DT_SYMTAB:
            object.symbols = (const Elf64_Sym *)address;
            break;
        case DT_STRTAB:
            object.strings = (const char *)address;
            break;
        case DT_STRSZ:
            object.strings_size = entry->d_un.d_val;
            break;
        case DT_RELA:
            object.plain = (const Elf64_Rela *)address;
            break;
        case DT_RELASZ:
            object.plain_count = entry->d_un.d_val / sizeof(Elf64_Rela);
            break;
        case DT_JMPREL:
            object.jumps = (const Elf64_Rela *)address;
            break;
        case DT_PLTRELSZ:
            object.jump_count = entry->d_un.d_val / sizeof(Elf64_Rela);
            break;
        default:
            break;
        }
    }
    return object;
}

/* Does `address` lie where the loader has taken the right to write away after relocating (PT_GNU_RELRO)? */
static bool is_protected(const struct link_map *module, uintptr_t address)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)module->l_ld, &found) != 0)
        return true; /* unknown: opening a page that is open does no harm */
    const Elf64_Ehdr *header = found.dlfo_map_start;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)((const char *)header + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        uintptr_t start = module->l_addr + segment[i].p_vaddr;
        if (segment[i].p_type == PT_GNU_RELRO && address >= start && address < start + segment[i].p_memsz)
            return true;
    }
    return false;
}

static bool write_word(const struct link_map *module, uintptr_t *word, const void *value)
{
    uintptr_t page = (uintptr_t)word & ~(uintptr_t)(HS_PAGE_SIZE - 1);
    bool closed = is_protected(module, (uintptr_t)word);
    if (closed && sys_call(SYS_mprotect, page, HS_PAGE_SIZE, PROT_READ | PROT_WRITE) != 0)
        return false;
    __atomic_store_n(word, (uintptr_t)value, __ATOMIC_RELEASE);
    if (closed)
        sys_call(SYS_mprotect, page, HS_PAGE_SIZE, PROT_READ);
    return true;
}

/* The name of the symbol that an entry is about; NULL when it is about none. */
static const char *name_of(const struct object *object, const Elf64_Rela *entry)
{
    uint32_t index = (uint32_t)ELF64_R_SYM(entry->r_info);
    uint32_t name = index ? object->symbols[index].st_name : 0;
    return name && name < object->strings_size ? object->strings + name : NULL;
}

static void patch_table(const struct link_map *module, const struct object *object, const Elf64_Rela *table,
                        size_t table_count, const struct got_patch *patches, size_t count, struct got_result *result)
{
    for (size_t i = 0; table && i < table_count; i++) {
        unsigned type = ELF64_R_TYPE(table[i].r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT)
            continue;
        const char *name = name_of(object, &table[i]);
        if (!name)
            continue;
        for (size_t p = 0; p < count; p++) {
            if (!patches[p].real || strcmp(name, patches[p].symbol) != 0)
                continue;
            uintptr_t *entry = (uintptr_t *)(object->bias + table[i].r_offset);
            /* An entry that is not bound yet leads back into its own module's PLT; one bound elsewhere is not ours. */
            struct dl_find_object target;
            bool unbound = type == R_X86_64_JUMP_SLOT && _dl_find_object((void *)*entry, &target) == 0 &&
                           target.dlfo_link_map == module;
            if (*entry != (uintptr_t)patches[p].replacement) {
                if (*entry != (uintptr_t)patches[p].real && !unbound)
                    continue;
                if (!write_word(module, entry, patches[p].replacement)) {
                    result->refused++;
                    continue;
                }
            }
            result->patched++;
        }
    }
}

struct got_result got_patch_module(const struct link_map *module, const struct got_patch *patches, size_t count)
{
    struct object object = describe(module);
    struct got_result result = {0};
    if (object.symbols && object.strings) {
        patch_table(module, &object, object.plain, object.plain_count, patches, count, &result);
        patch_table(module, &object, object.jumps, object.jump_count, patches, count, &result);
    }
    return result;
}

unsigned got_fill_pointers(const struct link_map *module, const char *symbol, const void *value)
{
    struct object object = describe(module);
    unsigned found = 0;
    for (size_t i = 0; object.symbols && object.strings && object.plain && i < object.plain_count; i++) {
        const Elf64_Rela *entry = &object.plain[i];
        const char *name = ELF64_R_TYPE(entry->r_info) == R_X86_64_64 ? name_of(&object, entry) : NULL;
        if (!name || strcmp(name, symbol) != 0)
            continue;
        uintptr_t *pointer = (uintptr_t *)(object.bias + entry->r_offset);
        if (!*pointer)
            write_word(module, pointer, value);
        found++;
    }
    return found;
}

static bool table_refers(const struct object *object, const Elf64_Rela *table, size_t count,
                         bool (*wanted)(const char *symbol))
{
    for (size_t i = 0; table && i < count; i++) {
        const char *name = name_of(object, &table[i]);
        if (name && wanted(name))
            return true;
    }
    return false;
}

bool got_refers(const struct link_map *module, bool (*wanted)(const char *symbol))
{
    struct object object = describe(module);
    return object.symbols && object.strings &&
           (table_refers(&object, object.jumps, object.jump_count, wanted) ||
            table_refers(&object, object.plain, object.plain_count, wanted));
}
