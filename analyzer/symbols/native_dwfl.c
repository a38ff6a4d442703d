/* native_dwfl.c - see native_dwfl.h */
#include "symbols/native_dwfl.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <gelf.h>
#include <libelf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal/compiler.h"
#include "symbols/demangle.h"
#include "symbols/dwarf_names.h"
#include "symbols/dwarf_scopes.h"
#include "symbols/dwfl_alone.h"
#include "symbols/symbolize.h"

/* A larger file is mapped, not read: its debug information need not become our memory. */
#define READ_AT_MOST (4 << 20)
#define MAX_SYMBOLS (16u << 20)

static uint32_t add_demangled(struct name_table *names, const char *name)
{
    char *readable = demangle(name);
    uint32_t number = name_table_add(names, readable ? readable : name);
    free(readable);
    return number;
}

/* ---- the symbol table ---- */

struct symbol {
    uint64_t start, end;
    uint64_t section_end;
    const char *name;
    uint32_t string; /* in the name table, once it was asked for */
    uint8_t rank;    /* lower is the better name of an address     */
};

struct symbol_table {
    struct symbol *symbols; /* by start, one each */
    size_t count;
    bool whole; /* local symbols are there too, so what no symbol holds is no function */
};

/* Names that a program's author would know come before those that a library keeps for itself. */
static uint8_t rank_of(const char *name, unsigned char info)
{
    unsigned underscores = 0;
    while (name[underscores] == '_' && underscores < 2)
        underscores++;
    if (is_mangled(name))
        underscores = 0;
    unsigned binding = GELF_ST_BIND(info) == STB_GLOBAL ? 0 : GELF_ST_BIND(info) == STB_WEAK ? 1 : 2;
    return (uint8_t)(underscores * 3 + binding);
}

static int compare_symbols(const void *a, const void *b)
{
    const struct symbol *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    /* One that knows its size before one that does not. */
    if ((x->end > x->start) != (y->end > y->start))
        return x->end > x->start ? -1 : 1;
    size_t x_length = strnlen(x->name, NATIVE_NAME_MAX), y_length = strnlen(y->name, NATIVE_NAME_MAX);
    if (x_length != y_length)
        return x_length < y_length ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The section's end when it holds code, else 0. */
static uint64_t code_section_end(Elf *elf, GElf_Word index, uint64_t bias)
{
    GElf_Shdr header;
    Elf_Scn *section = elf && index < SHN_LORESERVE ? elf_getscn(elf, index) : NULL;
    if (!section || !gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR))
        return 0;
    return header.sh_addr + header.sh_size + bias;
}

static void reach_to(struct symbol *symbol, uint64_t next)
{
    symbol->end = next < symbol->section_end ? next : symbol->section_end;
}

static bool load_symbols(Dwfl_Module *module, struct symbol_table *table)
{
    int total = dwfl_module_getsymtab(module);
    if (total <= 0)
        return true;
    if ((unsigned)total > MAX_SYMBOLS)
        total = MAX_SYMBOLS;
    struct symbol *symbols = malloc((size_t)total * sizeof *symbols);
    if (!symbols)
        return false;
    size_t count = 0;
    GElf_Word last_section = SHN_UNDEF;
    uint64_t last_end = 0;
    for (int i = 0; i < total; i++) {
        GElf_Sym symbol;
        GElf_Addr address, bias;
        GElf_Word section;
        Elf *elf;
        const char *name = dwfl_module_getsym_info(module, i, &symbol, &address, &section, &elf, &bias);
        int type = GELF_ST_TYPE(symbol.st_info);
        if (!name || !*name || section == SHN_UNDEF ||
            (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
            continue;
        if (GELF_ST_BIND(symbol.st_info) == STB_LOCAL && type != STT_NOTYPE)
            table->whole = true;
        if (section != last_section) {
            last_section = section;
            last_end = code_section_end(elf, section, bias);
        }
        if (address >= last_end)
            continue; /* not code */
        uint64_t size = symbol.st_size;
        symbols[count++] = (struct symbol){
            .start = address,
            .end = size <= last_end - address ? address + size : last_end,
            .section_end = last_end,
            .name = name,
            .rank = rank_of(name, symbol.st_info),
        };
    }
    qsort(symbols, count, sizeof *symbols, compare_symbols);
    /* One name an address. Those without a size (assembler) reach to the next, if all are there. */
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && symbols[kept - 1].start == symbols[i].start) {
            if (symbols[kept - 1].end < symbols[i].end)
                symbols[kept - 1].end = symbols[i].end;
            continue;
        }
        if (kept && symbols[kept - 1].end == symbols[kept - 1].start && table->whole)
            reach_to(&symbols[kept - 1], symbols[i].start);
        symbols[kept++] = symbols[i];
    }
    if (kept && symbols[kept - 1].end == symbols[kept - 1].start && table->whole)
        symbols[kept - 1].end = symbols[kept - 1].section_end;
    table->symbols = symbols;
    table->count = kept;
    return true;
}

/* The last symbol that starts at `address` or before, as an index; SIZE_MAX: none. */
static size_t symbol_before(const struct symbol_table *table, uint64_t address)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->symbols[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? low - 1 : SIZE_MAX;
}

static struct symbol *symbol_holding(const struct symbol_table *table, uint64_t address)
{
    /* Labels lie inside functions: look past a few. */
    size_t at = symbol_before(table, address);
    for (unsigned tries = 0; at != SIZE_MAX && tries < 16; tries++, at--)
        if (address < table->symbols[at].end)
            return &table->symbols[at];
    return NULL;
}

/* "frob.constprop.0": which copy of frob it is does not matter to its reader. */
static uint32_t symbol_string(struct symbol *symbol, struct name_table *names)
{
    static const char *const copies[] = {".constprop.", ".part.", ".isra.", ".cold", ".lto_priv.", ".llvm."};
    if (symbol->string)
        return symbol->string;
    size_t length = strnlen(symbol->name, DEMANGLE_MAX_INPUT);
    char *stem = strndup(symbol->name, length);
    if (!stem)
        return 0;
    for (size_t i = 0; i < HS_COUNT_OF(copies); i++) {
        char *copy = strstr(stem + 1, copies[i]);
        if (copy && !is_mangled(stem))
            *copy = '\0';
    }
    char *version = strchr(stem + 1, '@');
    if (version)
        *version = '\0';
    symbol->string = add_demangled(names, stem);
    free(stem);
    return symbol->string;
}

/* ---- the file ---- */

/* The Elf of the file that libdwfl is to use is handed over in the module's user data. */
static int find_elf(Dwfl_Module *module, void **user_data, const char *name, Dwarf_Addr base, char **file_name,
                    Elf **elf)
{
    (void)module, (void)name, (void)base, (void)file_name;
    *elf = *user_data;
    *user_data = NULL;
    return -1;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = dwfl_alone_no_debuginfo, /* modules.c has looked for a separate file already */
    .section_address = dwfl_offline_section_address,
};

struct native_file {
    Dwfl *dwfl;
    Dwfl_Module *module;
    GElf_Addr bias; /* libdwfl's address of the file's address 0 */
};

static Elf *open_elf(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return NULL;
    elf_version(EV_CURRENT);
    Elf *elf = elf_begin(fd, status.st_size > READ_AT_MOST ? ELF_C_READ_MMAP : ELF_C_READ, NULL);
    if (elf && elf_kind(elf) != ELF_K_ELF) {
        elf_end(elf);
        elf = NULL;
    }
    return elf;
}

/* The addresses that its segments take. */
static bool extent(Elf *elf, uint64_t *start, uint64_t *end)
{
    size_t count;
    if (elf_getphdrnum(elf, &count) != 0)
        return false;
    *start = UINT64_MAX;
    *end = 0;
    for (size_t i = 0; i < count && i < 1024; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD)
            continue;
        uint64_t from = segment.p_vaddr & ~(uint64_t)(HS_PAGE_SIZE - 1);
        uint64_t to = segment.p_vaddr + segment.p_memsz;
        if (to < from || to > UINT64_C(1) << 48)
            continue;
        *start = from < *start ? from : *start;
        *end = to > *end ? to : *end;
    }
    return *start < *end;
}

static void native_close(struct native_file *file)
{
    if (file->dwfl)
        dwfl_end(file->dwfl);
    *file = (struct native_file){0};
}

static bool native_open(struct native_file *file, int fd)
{
    *file = (struct native_file){0};
    uint64_t start, end;
    Elf *elf = open_elf(fd);
    if (!elf || !extent(elf, &start, &end) || !(file->dwfl = dwfl_begin(&callbacks))) {
        elf_end(elf);
        return false;
    }
    dwfl_report_begin(file->dwfl);
    file->module = dwfl_report_module(file->dwfl, "module", start, end);
    void **user_data = NULL;
    if (file->module && dwfl_module_info(file->module, &user_data, NULL, NULL, NULL, NULL, NULL, NULL) && user_data)
        *user_data = elf;
    bool reported = dwfl_report_end(file->dwfl, NULL, NULL) == 0;
    bool opened = user_data && reported && dwfl_module_getelf(file->module, &file->bias);
    if (!user_data || *user_data)
        elf_end(elf); /* it was not taken over */
    if (!opened)
        native_close(file);
    return opened;
}

/* ---- names ---- */

static uint32_t scope_name(struct dwarf_scope *scope, struct dwarf_names *whole_names, struct name_table *names)
{
    if (!scope->named) {
        Dwarf_Attribute attribute;
        const char *name = NULL;
        if (dwarf_attr_integrate(&scope->die, DW_AT_linkage_name, &attribute) ||
            dwarf_attr_integrate(&scope->die, DW_AT_MIPS_linkage_name, &attribute))
            name = dwarf_formstring(&attribute);
        char *readable = name ? demangle(name) : NULL;
        scope->linkage = readable;
        if (!readable)
            name = dwarf_names_whole(whole_names, &scope->die);
        scope->function = name_table_add(names, readable ? readable : name);
        free(readable);
        scope->named = true;
    }
    return scope->function;
}

static uint32_t attribute_number(Dwarf_Die *die, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value;
    if (!dwarf_attr(die, name, &attribute) || dwarf_formudata(&attribute, &value) != 0 || value > INT32_MAX)
        return 0;
    return (uint32_t)value;
}

/* DWARF 5 leaves the folder of the compilation off: a name that begins nowhere is put behind it. */
static uint32_t add_source(struct name_table *names, Dwarf_Die *unit, const char *source)
{
    Dwarf_Attribute attribute;
    const char *folder;
    if (!source || *source == '/' || *source == '<' || !dwarf_attr(unit, DW_AT_comp_dir, &attribute) ||
        !(folder = dwarf_formstring(&attribute)) || *folder != '/')
        return name_table_add(names, source);
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, source);
    return name_table_add(names, length > 0 && (size_t)length < sizeof path ? path : source);
}

/*
 * A method's entry may have its bare name alone, and its symbol tells whose it is; a library's entry may have the name
 * that it keeps for itself (__libc_malloc), and its symbol the one that its callers know.
 */
static bool symbol_is_better(const struct symbol *symbol, const char *name)
{
    return is_mangled(symbol->name) || (!strncmp(name, "__", 2) && symbol->name[0] != '_');
}

/* From the place's line outwards: each inlined call says where it stands in its caller. */
static bool add_scopes(struct dwarf_scopes *scopes, struct dwarf_names *whole_names, const struct dwarf_place *place,
                       struct symbol *symbol, struct name_table *names, struct native_functions *functions)
{
    Dwarf_Die *unit = &scopes->units[place->unit];
    struct native_function function = {0};
    Dwarf_Line *line = dwarf_getsrc_die(unit, place->address);
    int number = 0;
    if (line) {
        function.file = add_source(names, unit, dwarf_linesrc(line, NULL, NULL));
        if (dwarf_lineno(line, &number) == 0 && number > 0)
            function.line = (uint32_t)number;
    }
    uint32_t at = place->scope;
    for (unsigned depth = 0; at != SCOPE_NONE && depth < SYMBOLIZE_MAX_INLINES; depth++) {
        struct dwarf_scope *scope = &scopes->scopes[at];
        function.function = scope_name(scope, whole_names, names);
        at = scope->caller;
        if (at == SCOPE_NONE) {
            if (!scope->linkage && symbol &&
                symbol_is_better(symbol, intern_get(&names->strings, function.function, NULL)))
                function.function = symbol_string(symbol, names);
            break;
        }
        if (!native_functions_add(functions, &function))
            return false;
        uint32_t file = attribute_number(&scope->die, DW_AT_call_file);
        Dwarf_Files *sources;
        size_t count;
        function = (struct native_function){.line = attribute_number(&scope->die, DW_AT_call_line)};
        if (dwarf_getsrcfiles(unit, &sources, &count) == 0 && file < count)
            function.file = add_source(names, unit, dwarf_filesrc(sources, file, NULL, NULL));
    }
    if (!function.function && symbol)
        function.function = symbol_string(symbol, names);
    if (!function.function && !function.file)
        return true;
    return native_functions_add(functions, &function);
}

static bool name_queries(struct native_file *file, struct native_query *queries, size_t count,
                         struct dwarf_place *places, struct symbol_table *table, struct name_table *names,
                         struct native_functions *functions)
{
    if (!load_symbols(file->module, table))
        return false;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = queries[i].return_address;
        queries[i].address = address - 1;
        if (!table->whole || symbol_holding(table, address - 1 + file->bias))
            continue;
        /* The signal trampoline; see symbolize.h. */
        size_t at = symbol_before(table, address + file->bias);
        if (at != SIZE_MAX && table->symbols[at].start == address + file->bias)
            queries[i].address = address;
    }
    Dwarf_Addr bias = 0;
    Dwarf *dwarf = dwfl_module_getdwarf(file->module, &bias);
    struct dwarf_scopes scopes = {0};
    struct dwarf_names whole_names = DWARF_NAMES_INIT;
    bool whole = true;
    if (dwarf) {
        for (size_t i = 0; i < count; i++) /* ascending still: the trampoline's address is at most the next one's */
            places[i].address = queries[i].address + file->bias - bias;
        whole = dwarf_scopes_find(&scopes, dwarf, places, count);
    }
    for (size_t i = 0; i < count && whole; i++) {
        struct symbol *symbol = symbol_holding(table, queries[i].address + file->bias);
        queries[i].first = functions->count;
        if (dwarf && places[i].unit != SCOPE_NONE)
            whole = add_scopes(&scopes, &whole_names, &places[i], symbol, names, functions);
        else if (symbol)
            whole =
                native_functions_add(functions, &(struct native_function){.function = symbol_string(symbol, names)});
        queries[i].count = (uint32_t)(functions->count - queries[i].first);
    }
    dwarf_names_free(&whole_names);
    dwarf_scopes_free(&scopes);
    return whole;
}

bool native_symbolize(const struct module_file *module_file, struct native_query *queries, size_t count,
                      struct name_table *names, struct native_functions *functions)
{
    for (size_t i = 0; i < count; i++)
        queries[i].count = 0;
    if (!count || !module_file_unchanged(module_file))
        return true;
    struct native_file file;
    int debug_fd = module_file_debug_descriptor(module_file);
    /* The separate file has the same segments and all symbols: it stands for the whole. */
    if (!(debug_fd >= 0 && native_open(&file, debug_fd)) && !native_open(&file, module_file_descriptor(module_file)))
        return true;
    struct symbol_table table = {0};
    struct dwarf_place *places = calloc(count, sizeof *places);
    bool whole = places && name_queries(&file, queries, count, places, &table, names, functions);
    free(places);
    free(table.symbols);
    native_close(&file);
    return whole;
}
