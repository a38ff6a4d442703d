/* symbols.c - see symbols.h */
#include "symbols.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>

#include "../python/elf_lookup.h"
#include "../sys.h"
#include "unwatched.h"
#include "watched.h"

static struct wanted {
    struct hs_watch_text name;
    const char *text; /* the SPEC */
    uint32_t bytes;   /* 0: the symbol's */
    uint32_t request;
    bool watched;
} wanted[HS_WATCH_REQUESTS];
static unsigned wanted_count;

struct found {
    uintptr_t address;
    uint64_t size;
};

void symbols_want(const struct hs_watch_spec *spec, const char *text, unsigned request)
{
    wanted[wanted_count++] = (struct wanted){
        .name = spec->symbol,
        .text = text,
        .bytes = (uint32_t)spec->size,
        .request = request,
    };
}

bool symbols_wanted(void)
{
    return wanted_count > 0;
}

void symbols_give_up(void)
{
    wanted_count = 0;
}

/* ---- the symbol table of a file ---- */

/* `text` ends before `end`, or goes on there. */
static bool is_named(const char *text, const char *end, struct hs_watch_text name)
{
    return (size_t)(end - text) > name.length && memcmp(text, name.bytes, name.length) == 0 && !text[name.length];
}

static bool lies_within(uint64_t offset, uint64_t size, uint64_t whole)
{
    return offset <= whole && size <= whole - offset;
}

static const Elf64_Shdr *section_at(const char *file, size_t bytes, uint64_t number)
{
    const Elf64_Ehdr *header = (const void *)file;
    uint64_t offset = header->e_shoff + number * sizeof(Elf64_Shdr);
    return number < header->e_shnum && lies_within(offset, sizeof(Elf64_Shdr), bytes) ? (const void *)(file + offset)
                                                                                      : NULL;
}

static bool find_in_table(const char *file, size_t bytes, const Elf64_Shdr *table, struct hs_watch_text name,
                          struct found *found)
{
    const Elf64_Shdr *names = section_at(file, bytes, table->sh_link);
    if (!names || !lies_within(table->sh_offset, table->sh_size, bytes) ||
        !lies_within(names->sh_offset, names->sh_size, bytes))
        return false;
    const Elf64_Sym *symbols = (const void *)(file + table->sh_offset);
    const char *texts = file + names->sh_offset;
    for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
        const Elf64_Sym *symbol = &symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_OBJECT && symbol->st_shndx != SHN_UNDEF &&
            symbol->st_name < names->sh_size && is_named(texts + symbol->st_name, texts + names->sh_size, name)) {
            *found = (struct found){symbol->st_value, symbol->st_size};
            return true;
        }
    }
    return false;
}

static bool find_in_image(const char *file, size_t bytes, struct hs_watch_text name, struct found *found)
{
    const Elf64_Ehdr *header = (const void *)file;
    if (bytes < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shoff % 8)
        return false;
    static const uint32_t kinds[] = {SHT_DYNSYM, SHT_SYMTAB};
    for (unsigned kind = 0; kind < HS_COUNT_OF(kinds); kind++)
        for (unsigned i = 0; i < header->e_shnum; i++) {
            const Elf64_Shdr *section = section_at(file, bytes, i);
            if (section && section->sh_type == kinds[kind] && section->sh_offset % 8 == 0 &&
                find_in_table(file, bytes, section, name, found))
                return true;
        }
    return false;
}

static bool find_in_file(const char *path, struct hs_watch_text name, struct found *found)
{
    struct stat about;
    long fd = sys_call6(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return false;
    bool there = false;
    if (sys_call(SYS_fstat, fd, &about, 0) == 0 && S_ISREG(about.st_mode) && about.st_size > 0) {
        size_t bytes = (size_t)about.st_size;
        char *file = sys_mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, (int)fd, 0);
        if (!sys_failed(file)) {
            there = find_in_image(file, bytes, name, found);
            sys_munmap(file, bytes);
        }
    }
    sys_close((int)fd);
    return there;
}

/* The program first, then the libraries in their order. */
static bool find(struct hs_watch_text name, struct found *found)
{
    const struct link_map *first = elf_first_module();
    for (const struct link_map *module = first; module; module = module->l_next) {
        const char *path = module == first ? "/proc/self/exe" : module->l_name;
        if (path && path[0] == '/' && find_in_file(path, name, found)) {
            found->address += module->l_addr;
            return true;
        }
    }
    return false;
}

/* ---- watching ---- */

static bool is_possible(uint64_t bytes)
{
    return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

/* NULL: it is. */
static const char *watch(struct thread *self, struct wanted *symbol)
{
    struct found found;
    symbol->watched = find(symbol->name, &found);
    if (!symbol->watched)
        return "no module that is loaded has it.";
    struct watch_order order = {
        .address = (const void *)found.address,
        .bytes = symbol->bytes ? symbol->bytes : (uint32_t)found.size,
        .request = symbol->request,
    };
    if (!is_possible(order.bytes) || found.address % order.bytes != 0)
        return "it is not of 1, 2, 4 or 8 bytes (size:N chooses).";
    switch (watched_begin(self, &order)) {
    case 0:
        return NULL;
    case -EBUSY:
        return "all watchpoints are in use.";
    default:
        return "the kernel refuses a watchpoint there.";
    }
}

void symbols_find(struct thread *self)
{
    for (unsigned i = 0; i < wanted_count; i++) {
        const char *why = wanted[i].watched ? NULL : watch(self, &wanted[i]);
        if (why)
            unwatched_say(self, wanted[i].text, why);
    }
}

void symbols_after_fork(void)
{
    for (unsigned i = 0; i < wanted_count; i++)
        wanted[i].watched = false;
}
