/* elf_file.c - see elf_file.h */
#include "symbols/elf_file.h"

#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/compiler.h"

#define GLIBC "GLIBC_2."

struct elf_file {
    int fd;
    Elf *elf;
    GElf_Ehdr header;
};

struct elf_file *elf_file_open(int fd)
{
    elf_version(EV_CURRENT);
    struct elf_file *file = calloc(1, sizeof *file);
    if (file && (file->elf = elf_begin(fd, ELF_C_READ, NULL)) && elf_kind(file->elf) == ELF_K_ELF &&
        gelf_getehdr(file->elf, &file->header)) {
        file->fd = fd;
        return file;
    }
    if (file)
        elf_end(file->elf);
    free(file);
    close(fd);
    return NULL;
}

void elf_file_close(struct elf_file *file)
{
    if (!file)
        return;
    elf_end(file->elf);
    close(file->fd);
    free(file);
}

unsigned elf_file_bits(const struct elf_file *file)
{
    return file->header.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32;
}
unsigned elf_file_machine(const struct elf_file *file)
{
    return file->header.e_machine;
}

bool elf_file_has_loader(const struct elf_file *file)
{
    size_t count;
    if (elf_getphdrnum(file->elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (gelf_getphdr(file->elf, (int)i, &segment) && segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

/* The first section of that type with its header and bytes; NULL when there is none. */
static Elf_Data *find_section(const struct elf_file *file, GElf_Word type, GElf_Shdr *header)
{
    for (Elf_Scn *section = NULL; (section = elf_nextscn(file->elf, section));)
        if (gelf_getshdr(section, header) && header->sh_type == type)
            return elf_getdata(section, NULL);
    return NULL;
}

bool elf_file_section(const struct elf_file *file, const char *name, uint64_t *address, uint64_t *size)
{
    size_t names;
    GElf_Shdr header;
    if (elf_getshdrstrndx(file->elf, &names) != 0)
        return false;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(file->elf, section));) {
        const char *own = gelf_getshdr(section, &header) ? elf_strptr(file->elf, names, header.sh_name) : NULL;
        if (own && strcmp(own, name) == 0 && header.sh_flags & SHF_ALLOC) {
            *address = header.sh_addr;
            *size = header.sh_size;
            return true;
        }
    }
    return false;
}

bool elf_file_address(const struct elf_file *file, uint64_t offset, uint64_t *address)
{
    size_t count;
    if (elf_getphdrnum(file->elf, &count) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(file->elf, (int)i, &segment) || segment.p_type != PT_LOAD)
            continue;
        uint64_t first = segment.p_offset & ~(uint64_t)(HS_PAGE_SIZE - 1);
        if (offset >= first && offset - first < segment.p_filesz + (segment.p_offset - first)) {
            *address = segment.p_vaddr - segment.p_offset + offset;
            return true;
        }
    }
    return false;
}

/* ---- symbols ---- */

static bool find_symbol(const struct elf_file *file, const char *name, GElf_Sym *symbol)
{
    GElf_Shdr header;
    Elf_Data *symbols = find_section(file, SHT_DYNSYM, &header);
    if (!symbols || header.sh_entsize == 0)
        return false;
    size_t count = header.sh_size / header.sh_entsize;
    for (size_t i = 1; i < count && gelf_getsym(symbols, (int)i, symbol); i++) {
        const char *own = symbol->st_shndx != SHN_UNDEF ? elf_strptr(file->elf, header.sh_link, symbol->st_name) : NULL;
        if (own && strcmp(own, name) == 0)
            return true;
    }
    return false;
}

bool elf_file_exports(const struct elf_file *file, const char *name)
{
    GElf_Sym symbol;
    return find_symbol(file, name, &symbol);
}

bool elf_file_variable(const struct elf_file *file, const char *name, void *bytes, size_t size)
{
    GElf_Sym symbol;
    GElf_Shdr header;
    if (!find_symbol(file, name, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || symbol.st_size < size)
        return false;
    Elf_Scn *section = elf_getscn(file->elf, symbol.st_shndx);
    if (!section || !gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS ||
        symbol.st_value < header.sh_addr || symbol.st_value - header.sh_addr > header.sh_size ||
        header.sh_size - (symbol.st_value - header.sh_addr) < size)
        return false;
    off_t at = (off_t)(header.sh_offset + (symbol.st_value - header.sh_addr));
    return pread(file->fd, bytes, size, at) == (ssize_t)size;
}

/* ---- the dynamic section ---- */

static const char *dynamic_string(const struct elf_file *file, GElf_Sxword tag, size_t index)
{
    GElf_Shdr header;
    Elf_Data *entries = find_section(file, SHT_DYNAMIC, &header);
    GElf_Dyn entry;
    for (int i = 0; entries && gelf_getdyn(entries, i, &entry) && entry.d_tag != DT_NULL; i++)
        if (entry.d_tag == tag && index-- == 0)
            return elf_strptr(file->elf, header.sh_link, entry.d_un.d_val);
    return NULL;
}

const char *elf_file_needed(const struct elf_file *file, size_t index)
{
    return dynamic_string(file, DT_NEEDED, index);
}

const char *elf_file_run_path(const struct elf_file *file, size_t index)
{
    const char *path = dynamic_string(file, DT_RUNPATH, index);
    return path ? path : dynamic_string(file, DT_RPATH, index);
}

/* ---- versions of symbols ---- */

bool elf_file_version_needed(const struct elf_file *file, size_t index, const char **library, const char **version)
{
    GElf_Shdr header;
    Elf_Data *data = find_section(file, SHT_GNU_verneed, &header);
    GElf_Verneed need = {.vn_next = 0};
    for (size_t at = 0, entries = 0; data && entries < data->d_size && gelf_getverneed(data, (int)at, &need);
         entries++) {
        size_t aux_at = at + need.vn_aux;
        GElf_Vernaux aux;
        for (unsigned i = 0; i < need.vn_cnt && gelf_getvernaux(data, (int)aux_at, &aux); i++) {
            if (!(aux.vna_flags & VER_FLG_WEAK) && index-- == 0) {
                *library = elf_strptr(file->elf, header.sh_link, need.vn_file);
                *version = elf_strptr(file->elf, header.sh_link, aux.vna_name);
                return *library && *version;
            }
            if (aux.vna_next == 0)
                break;
            aux_at += aux.vna_next;
        }
        if (need.vn_next == 0)
            break;
        at += need.vn_next;
    }
    return false;
}

/* The name of the version that the file defines with that number from 0 on; NULL behind the last. */
static const char *defined_version(const struct elf_file *file, size_t index)
{
    GElf_Shdr header;
    Elf_Data *data = find_section(file, SHT_GNU_verdef, &header);
    GElf_Verdef definition = {.vd_next = 0};
    for (size_t at = 0, entries = 0; data && entries < data->d_size && gelf_getverdef(data, (int)at, &definition);
         entries++) {
        GElf_Verdaux aux;
        if (index-- == 0)
            return gelf_getverdaux(data, (int)(at + definition.vd_aux), &aux)
                       ? elf_strptr(file->elf, header.sh_link, aux.vda_name)
                       : NULL;
        if (definition.vd_next == 0)
            break;
        at += definition.vd_next;
    }
    return NULL;
}

bool elf_file_defines_version(const struct elf_file *file, const char *version)
{
    const char *defined;
    for (size_t i = 0; (defined = defined_version(file, i)); i++)
        if (strcmp(defined, version) == 0)
            return true;
    return false;
}

unsigned elf_glibc_number(const char *version)
{
    return strncmp(version, GLIBC, strlen(GLIBC)) == 0 ? (unsigned)strtoul(version + strlen(GLIBC), NULL, 10) : 0;
}

unsigned elf_file_glibc_defined(const struct elf_file *file)
{
    unsigned highest = 0;
    const char *defined;
    for (size_t i = 0; (defined = defined_version(file, i)); i++)
        if (elf_glibc_number(defined) > highest)
            highest = elf_glibc_number(defined);
    return highest;
}
