/*
 * process_code.c - see process_code.h
 *
 * libdwfl is given each file at the place where it is mapped, and reads registers and memory through us: of the thread
 * at hand, never of another. The thread's stack is read at once, as far as it is likely to be looked at.
 */
#include "record/process_code.h"

#include <elfutils/libdwfl.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "internal/compiler.h"
#include "record/proc_folder.h"
#include "symbols/dwfl_alone.h"

#define STACK_BYTES ((size_t)64 << 10)
#define MAX_FRAMES 1024u

struct code_range {
    uint64_t start, end;
    enum function_kind kind;
};

struct process_code {
    pid_t pid;
    Dwfl *dwfl;
    struct code_module *modules; /* by address */
    size_t module_count;
    uint64_t identity; /* of the mappings of code */
    /* of the walk at hand */
    struct user_regs_struct registers;
    int tid;
    uint64_t stack_start;
    size_t stack_bytes;
    uint8_t *stack; /* STACK_BYTES */
    frame_visit *visit;
    void *context;
    unsigned frames;
};

/* ---- functions ---- */

/* FUNCTION_LOCKS: without libc's prefixes, see kind_of() */
static const char *const locking[] = {
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "free_sized",
    "free_aligned_sized",
    "sysmalloc",
    "systrim",
    "malloc_consolidate",
    "unlink_chunk",
    "tcache_init",
    "tcache_thread_shutdown",
    "arena_get2",
    "arena_get_retry",
    "fork",
    "vfork",
    "_Fork",
    "clone",
    "clone3",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
    "thrd_create",
    "dl_iterate_phdr",
    "dlopen",
    "dlmopen",
    "dlclose",
    "dlsym",
    "dlvsym",
    "dladdr",
    "dladdr1",
    "dlinfo",
    "setuid",
    "setgid",
    "seteuid",
    "setegid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setgroups",
    "initgroups",
    "__nptl_setxid",
    "__tls_get_addr",
};

/* ... and how others of them begin */
static const char *const locking_beginnings[] = {
    "_int_malloc",
    "_int_free",
    "_int_realloc",
    "_int_memalign",
    "malloc_",
    "mallinfo",
    "mallopt",
    "je_",
    "_rjem_",
    "mi_",
    "_mi_",
    "tc_",
    "tcmalloc",
    "_ZN8tcmalloc",
    "_Znw",
    "_Zna",
    "_Zdl",
    "_Zda",
    "pthread_create",
    "pthread_getattr_",
    "pthread_setattr_default",
    "pthread_exit",
    "pthread_cancel",
    "_dl_",
};

/* FUNCTION_WAITS */
static const char *const waiting_beginnings[] = {
    "pthread_cond_",
    "pthread_mutex_",
    "pthread_rwlock_",
    "pthread_barrier_",
    "pthread_join",
    "pthread_timedjoin",
    "pthread_clockjoin",
    "pthread_once",
    "sem_",
    "mtx_",
    "cnd_",
    "thrd_join",
    "call_once",
    "syscall",
};

static bool begins_with_any(const char *name, const char *const *beginnings, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

static bool is_any(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static enum function_kind kind_of(const char *name)
{
    const char *stem = name;
    if (strncmp(stem, "__libc_", 7) == 0)
        stem += 7;
    else if (strncmp(stem, "__pthread_", 10) == 0)
        stem += 2;
    else if (strncmp(stem, "__GI_", 5) == 0)
        stem += 5;
    if (is_any(stem, locking, HS_COUNT_OF(locking)) || is_any(name, locking, HS_COUNT_OF(locking)) ||
        begins_with_any(stem, locking_beginnings, HS_COUNT_OF(locking_beginnings)))
        return FUNCTION_LOCKS;
    return begins_with_any(stem, waiting_beginnings, HS_COUNT_OF(waiting_beginnings)) ? FUNCTION_WAITS : FUNCTION_PLAIN;
}

/* Those of one address together, and what is least plain first. */
static int compare_ranges(const void *a, const void *b)
{
    const struct code_range *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    bool x_plain = x->kind == FUNCTION_PLAIN, y_plain = y->kind == FUNCTION_PLAIN;
    return x_plain != y_plain ? (x_plain ? 1 : -1) : x->kind < y->kind ? -1 : x->kind > y->kind;
}

static bool collect_functions(Dwfl_Module *handle, struct code_module *module, bool plain_too)
{
    struct buf ranges = BUF_INIT;
    int count = dwfl_module_getsymtab(handle);
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        const char *name = dwfl_module_getsym_info(handle, i, &symbol, &address, NULL, NULL, NULL);
        int type = GELF_ST_TYPE(symbol.st_info);
        if (!name || symbol.st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC))
            continue;
        struct code_range range = {address, address + symbol.st_size, kind_of(name)};
        if (strcmp(name, "malloc") == 0)
            module->defines_malloc = true;
        if (range.end > range.start && (plain_too || range.kind != FUNCTION_PLAIN))
            buf_append(&ranges, &range, sizeof range);
    }
    if (ranges.failed) {
        buf_free(&ranges);
        return false;
    }
    free(module->ranges);
    module->ranges = (struct code_range *)(void *)ranges.data;
    module->range_count = ranges.length / sizeof *module->ranges;
    if (module->range_count)
        qsort(module->ranges, module->range_count, sizeof *module->ranges, compare_ranges);
    return true;
}

enum function_kind code_module_function(const struct code_module *module, uint64_t address)
{
    size_t low = 0, high = module->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (module->ranges[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    /* Several names may begin at one address, and a label may lie inside a function: look past a few. */
    enum function_kind kind = module->defines_malloc ? FUNCTION_UNKNOWN : FUNCTION_PLAIN;
    for (unsigned tries = 0; low > 0 && tries < 16; tries++) {
        const struct code_range *range = &module->ranges[--low];
        if (address >= range->end)
            continue;
        if (range->kind != FUNCTION_PLAIN)
            return range->kind;
        kind = FUNCTION_PLAIN;
    }
    return kind;
}

uint64_t process_code_libc_function(const struct process_code *code, const char *name)
{
    const struct code_module *libc = process_code_role(code, MODULE_LIBC);
    Dwfl_Module *handle = libc ? dwfl_addrmodule(code->dwfl, libc->start) : NULL;
    int count = handle ? dwfl_module_getsymtab(handle) : 0;
    for (int i = 1; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr address;
        const char *found = dwfl_module_getsym_info(handle, i, &symbol, &address, NULL, NULL, NULL);
        if (found && symbol.st_shndx != SHN_UNDEF && GELF_ST_TYPE(symbol.st_info) == STT_FUNC &&
            GELF_ST_BIND(symbol.st_info) != STB_LOCAL && strcmp(found, name) == 0)
            return address;
    }
    return 0;
}

/* ---- modules ---- */

/* What a mapping of code says about where the whole file is: module->start, end and text_end, and the bias. */
static bool place_module(Elf *elf, const struct mapping *mapping, struct code_module *module, uint64_t *bias)
{
    size_t count;
    if (!elf || elf_kind(elf) != ELF_K_ELF || gelf_getclass(elf) != ELFCLASS64 || elf_getphdrnum(elf, &count) != 0)
        return false;
    uint64_t low = UINT64_MAX, high = 0, text_end = 0;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr segment;
        if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD)
            continue;
        uint64_t page = ~(uint64_t)(HS_PAGE_SIZE - 1);
        if (segment.p_flags & PF_X && mapping->offset >= (segment.p_offset & page) &&
            mapping->offset < segment.p_offset + segment.p_filesz) {
            *bias = mapping->start - mapping->offset + segment.p_offset - segment.p_vaddr;
            text_end = segment.p_vaddr + segment.p_filesz;
            found = segment.p_filesz == segment.p_memsz;
        }
        low = segment.p_vaddr < low ? segment.p_vaddr & page : low;
        high = segment.p_vaddr + segment.p_memsz > high ? segment.p_vaddr + segment.p_memsz : high;
    }
    if (!found)
        return false;
    module->start = low + *bias;
    module->end = high + *bias;
    module->text_end = text_end + *bias;
    return true;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = dwfl_alone_no_elf,
    .find_debuginfo = dwfl_alone_no_debuginfo,
    .section_address = dwfl_offline_section_address,
};

/* False: there is no memory. A file that is no module, or cannot be read, is left out. */
static bool add_module(struct process_code *code, struct buf *modules, const struct mapping *mapping, int folder)
{
    struct code_module module = {.role = mapping_role(mapping)};
    uint64_t bias = 0;
    if (module.role != MODULE_LOADER && mapping_is_executable(mapping, folder)) /* the loader can be executed, too */
        module.role = MODULE_EXECUTABLE;
    int fd = mapping_open(mapping, folder);
    if (fd < 0)
        return true;
    Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
    bool placed = place_module(elf, mapping, &module, &bias);
    elf_end(elf);
    Dwfl_Module *handle =
        placed ? dwfl_report_elf(code->dwfl, mapping_file(mapping), mapping->name, fd, bias, true) : NULL;
    if (!handle)
        close(fd);
    else
        buf_append(modules, &module, sizeof module);
    return !modules->failed;
}

/* Everything that a walk will ask for is read now. */
static bool load_module(struct process_code *code, struct code_module *module)
{
    GElf_Addr bias;
    Dwfl_Module *handle = dwfl_addrmodule(code->dwfl, module->start);
    if (!handle || !dwfl_module_getelf(handle, &bias))
        return true;
    if (!collect_functions(handle, module, false) ||
        (module->defines_malloc && !collect_functions(handle, module, true)))
        return false;
    dwfl_module_eh_cfi(handle, &bias);
    dwfl_module_dwarf_cfi(handle, &bias);
    return true;
}

static uint64_t identity_of(const struct process_maps *maps)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < maps->count; i++) {
        const struct mapping *mapping = &maps->all[i];
        if (!mapping->execute || !mapping->inode)
            continue;
        const uint64_t words[] = {mapping->start, mapping->end, mapping->offset, mapping->device, mapping->inode};
        for (size_t j = 0; j < HS_COUNT_OF(words); j++)
            hash = (hash ^ words[j]) * UINT64_C(0x9e3779b97f4a7c15), hash ^= hash >> 32;
    }
    return hash;
}

bool process_code_is_current(const struct process_code *code, const struct process_maps *maps)
{
    return code->identity == identity_of(maps);
}

static int compare_modules(const void *a, const void *b)
{
    const struct code_module *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static bool report_modules(struct process_code *code, const struct process_maps *maps, int folder, struct buf *modules)
{
    bool whole = true;
    dwfl_report_begin(code->dwfl);
    for (size_t i = 0; i < maps->count && whole; i++) {
        const struct mapping *mapping = &maps->all[i];
        if (!mapping->execute || !mapping->inode || mapping->name[0] != '/')
            continue;
        /* one module for all mappings of its code */
        bool known = false;
        const struct code_module *all = (const struct code_module *)(const void *)modules->data;
        for (size_t j = 0; j < modules->length / sizeof *all && !known; j++)
            known = mapping->start >= all[j].start && mapping->start < all[j].end;
        if (!known)
            whole = add_module(code, modules, mapping, folder);
    }
    return dwfl_report_end(code->dwfl, NULL, NULL) == 0 && whole;
}

static const Dwfl_Thread_Callbacks thread_callbacks;

int process_code_open(struct process_code **out, pid_t pid, const struct process_maps *maps, struct error *error)
{
    struct process_code *code = calloc(1, sizeof *code);
    struct buf modules = BUF_INIT;
    elf_version(EV_CURRENT);
    int folder = proc_folder_open(pid); /* if it has ended, nothing below it can be opened */
    bool whole = code && (code->stack = malloc(STACK_BYTES)) && (code->dwfl = dwfl_begin(&callbacks));
    if (whole) {
        code->pid = pid;
        code->identity = identity_of(maps);
        whole = report_modules(code, maps, folder, &modules);
        code->modules = (struct code_module *)(void *)modules.data;
        code->module_count = modules.length / sizeof *code->modules;
        if (code->module_count)
            qsort(code->modules, code->module_count, sizeof *code->modules, compare_modules);
        for (size_t i = 0; i < code->module_count && whole; i++)
            whole = load_module(code, &code->modules[i]);
    }
    if (folder >= 0)
        close(folder);
    if (!whole) {
        process_code_close(code);
        return error_set(error, -ENOMEM, "no memory for what is known of the code of process %d", (int)pid);
    }
    if (!code->module_count || !dwfl_attach_state(code->dwfl, NULL, pid, &thread_callbacks, code)) {
        process_code_close(code);
        return error_set(error, -EACCES, "the files that process %d consists of cannot be read as 64-bit programs",
                         (int)pid);
    }
    *out = code;
    return 0;
}

void process_code_close(struct process_code *code)
{
    if (!code)
        return;
    if (code->dwfl)
        dwfl_end(code->dwfl);
    for (size_t i = 0; i < code->module_count; i++)
        free(code->modules[i].ranges);
    free(code->modules);
    free(code->stack);
    free(code);
}

const struct code_module *process_code_module(const struct process_code *code, uint64_t address)
{
    for (size_t i = 0; i < code->module_count; i++)
        if (address >= code->modules[i].start && address < code->modules[i].end)
            return &code->modules[i];
    return NULL;
}

const struct code_module *process_code_role(const struct process_code *code, enum module_role role)
{
    for (size_t i = 0; i < code->module_count; i++)
        if (code->modules[i].role == role)
            return &code->modules[i];
    return NULL;
}

/* ---- the walk ---- */

static pid_t next_thread(Dwfl *dwfl, void *argument, void **thread)
{
    (void)dwfl;
    struct process_code *code = argument;
    bool first = *thread == NULL;
    *thread = code;
    return first ? code->tid : 0;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *argument, void **thread)
{
    (void)dwfl;
    struct process_code *code = argument;
    *thread = code;
    return tid == code->tid;
}

static size_t read_memory(pid_t pid, uint64_t address, void *bytes, size_t length)
{
    struct iovec here = {bytes, length}, there = {(void *)address, length};
    ssize_t got = process_vm_readv(pid, &here, 1, &there, 1, 0);
    return got > 0 ? (size_t)got : 0;
}

static bool read_word(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *result, void *argument)
{
    (void)dwfl;
    struct process_code *code = argument;
    if (address >= code->stack_start && address - code->stack_start + sizeof *result <= code->stack_bytes) {
        memcpy(result, code->stack + (address - code->stack_start), sizeof *result);
        return true;
    }
    return read_memory(code->pid, address, result, sizeof *result) == sizeof *result;
}

/* In DWARF's order. */
static bool give_registers(Dwfl_Thread *thread, void *argument)
{
    const struct process_code *code = argument;
    const struct user_regs_struct *r = &code->registers;
    const Dwarf_Word words[] = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8,
                                r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip};
    return dwfl_thread_state_registers(thread, 0, HS_COUNT_OF(words), words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = read_word,
    .set_initial_registers = give_registers,
};

static int on_frame(Dwfl_Frame *frame, void *argument)
{
    struct process_code *code = argument;
    Dwarf_Addr pc;
    bool interrupted;
    if (!dwfl_frame_pc(frame, &pc, &interrupted) || code->frames++ >= MAX_FRAMES ||
        !code->visit(code->context, pc, !interrupted))
        return DWARF_CB_ABORT;
    return DWARF_CB_OK;
}

bool process_code_walk(struct process_code *code, int tid, const struct user_regs_struct *registers, frame_visit *visit,
                       void *context)
{
    code->registers = *registers;
    code->tid = tid;
    code->visit = visit;
    code->context = context;
    code->frames = 0;
    code->stack_start = registers->rsp;
    code->stack_bytes = read_memory(code->pid, registers->rsp, code->stack, STACK_BYTES);
    return dwfl_getthread_frames(code->dwfl, tid, on_frame, code) == 0;
}
