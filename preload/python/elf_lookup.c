/* elf_lookup.c - see elf_lookup.h */
#include "elf_lookup.h"

#include <elf.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

struct symbols {
    const Elf64_Sym *table;
    const char *names;
    const uint32_t *gnu_hash;
    const uint32_t *sysv_hash;
    const Elf64_Versym *versions; /* by symbol; NULL: there are none */
};
#define VERSION_HIDDEN 0x8000

/*
 * The loader's own struct. A program that names _r_debug has a copy of it, taken at its start and never updated, which
 * our name for it then means too; but the program's dynamic section tells debuggers where the true one is.
 */
static const struct r_debug *loader_state(void)
{
    static const struct r_debug *_Atomic found;
    const struct r_debug *state = atomic_load_explicit(&found, memory_order_relaxed);
    if (state)
        return state;
    state = &_r_debug;
    const Elf64_Dyn *entry = state->r_map ? state->r_map->l_ld : NULL;
    for (; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_DEBUG && entry->d_un.d_ptr)
            state = (const struct r_debug *)entry->d_un.d_ptr;
    }
    atomic_store_explicit(&found, state, memory_order_relaxed);
    return state;
}

const struct link_map *elf_first_module(void)
{
    const struct r_debug *state = loader_state();
    if (__atomic_load_n(&state->r_state, __ATOMIC_ACQUIRE) != RT_CONSISTENT)
        return NULL;
    return __atomic_load_n(&state->r_map, __ATOMIC_ACQUIRE);
}

/* glibc has relocated these in place, but for modules whose dynamic section is read-only (the vdso). */
static const void *dynamic_address(const struct link_map *module, Elf64_Addr value)
{
    return (const void *)(value < module->l_addr ? value + module->l_addr : value);
}

static bool find_tables(const struct link_map *module, struct symbols *symbols)
{
    *symbols = (struct symbols){0};
    if (!module->l_ld)
        return false;
    for (const Elf64_Dyn *entry = module->l_ld; entry->d_tag != DT_NULL; entry++) {
        switch (entry->d_tag) {
        case DT_SYMTAB:
            symbols->table = dynamic_address(module, entry->d_un.d_ptr);
            break;
        case DT_STRTAB:
            symbols->names = dynamic_address(module, entry->d_un.d_ptr);
            break;
        case DT_VERSYM:
            symbols->versions = dynamic_address(module, entry->d_un.d_ptr);
            break;
        case DT_GNU_HASH:
            symbols->gnu_hash = dynamic_address(module, entry->d_un.d_ptr);
            break;
        case DT_HASH:
            symbols->sysv_hash = dynamic_address(module, entry->d_un.d_ptr);
            break;
        default:
            break;
        }
    }
    return symbols->table && symbols->names && (symbols->gnu_hash || symbols->sysv_hash);
}

static bool is_wanted(const struct symbols *symbols, uint32_t index, const char *name)
{
    const Elf64_Sym *symbol = &symbols->table[index];
    unsigned type = ELF64_ST_TYPE(symbol->st_info);
    unsigned binding = ELF64_ST_BIND(symbol->st_info);
    if (symbols->versions && symbols->versions[index] & VERSION_HIDDEN)
        return false; /* for programs that were linked long ago */
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 && (type == STT_FUNC || type == STT_OBJECT) &&
           (binding == STB_GLOBAL || binding == STB_WEAK) && strcmp(symbols->names + symbol->st_name, name) == 0;
}

static const Elf64_Sym *find_by_gnu_hash(const struct symbols *symbols, const char *name)
{
    uint32_t hash = 5381;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        hash = hash * 33 + *c;
    const uint32_t *header = symbols->gnu_hash;
    uint32_t bucket_count = header[0], first_symbol = header[1], bloom_words = header[2], bloom_shift = header[3];
    const uint64_t *bloom = (const uint64_t *)(header + 4);
    const uint32_t *buckets = (const uint32_t *)(bloom + bloom_words);
    const uint32_t *chains = buckets + bucket_count;
    if (!bucket_count || !bloom_words)
        return NULL;
    uint64_t word = bloom[hash / 64 % bloom_words];
    uint64_t bits = UINT64_C(1) << hash % 64 | UINT64_C(1) << (hash >> bloom_shift) % 64;
    if ((word & bits) != bits)
        return NULL;
    uint32_t index = buckets[hash % bucket_count];
    if (index < first_symbol)
        return NULL;
    for (;; index++) {
        uint32_t chain_hash = chains[index - first_symbol];
        if ((chain_hash | 1) == (hash | 1) && is_wanted(symbols, index, name))
            return &symbols->table[index];
        if (chain_hash & 1)
            return NULL;
    }
}

static const Elf64_Sym *find_by_sysv_hash(const struct symbols *symbols, const char *name)
{
    uint32_t hash = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash << 4) + *c;
        uint32_t high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    uint32_t bucket_count = symbols->sysv_hash[0], chain_count = symbols->sysv_hash[1];
    const uint32_t *buckets = symbols->sysv_hash + 2;
    const uint32_t *chains = buckets + bucket_count;
    if (!bucket_count)
        return NULL;
    uint32_t steps = 0;
    for (uint32_t index = buckets[hash % bucket_count]; index && index < chain_count && steps < chain_count;
         index = chains[index], steps++) {
        if (is_wanted(symbols, index, name))
            return &symbols->table[index];
    }
    return NULL;
}

void *elf_find_symbol(const struct link_map *module, const char *name)
{
    struct symbols symbols;
    if (!find_tables(module, &symbols))
        return NULL;
    const Elf64_Sym *symbol = symbols.gnu_hash ? find_by_gnu_hash(&symbols, name) : find_by_sysv_hash(&symbols, name);
    return symbol ? (void *)(module->l_addr + symbol->st_value) : NULL;
}
