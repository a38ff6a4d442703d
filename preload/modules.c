/*
 * modules.c - the program's mapped modules: who owns a pc, and telling the recorder.
 *
 * With glibc 2.35 and later a pc is looked up with _dl_find_object, which is lock-free and
 * async-signal-safe. With older ones the loader's list is read into a table of our own.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>

#include "arena.h"
#include "elf_notes.h"
#include "emit.h"
#include "modules.h"
#include "sys.h"
#include "unwind.h"

#define BUILD_ID_MAX 64
#define PATH_MAX_SENT 4096

_Atomic uint32_t modules_generation;
_Atomic uint32_t modules_pending;

/* A module that was announced. Entries are never removed: one whose module is gone is only of an old generation. */
struct known_module {
    uintptr_t start, end;
    uint64_t identity; /* see struct description */
    _Atomic(const struct link_map *) map;
    _Atomic uint32_t generation; /* announced in it; 0xffffffff: being made */
    struct known_module *next;
};

static _Atomic(struct known_module *) known_modules;

/*
 * rt_sigprocmask reads the set before it looks at `how`, so an impossible `how`
 * changes nothing and says EFAULT or EINVAL. It is a call that no sandbox forbids.
 */
bool modules_readable(uintptr_t address)
{
    return sys_call6(SYS_rt_sigprocmask, -1, (long)address, 0, 8, 0, 0) == -EINVAL;
}

bool modules_copy(void *to, uintptr_t from, size_t length)
{
    struct iovec local = {to, length};
    struct iovec remote = {(void *)from, length};
    long result = sys_call6(SYS_process_vm_readv, sys_getpid(), (long)&local, 1, (long)&remote, 1, 0);
    if (result == (long)length)
        return true;
    if (result != -ENOSYS && result != -EPERM)
        return false;
    /* A sandbox forbids it: look before reading, which leaves a moment in between. */
    for (uintptr_t page = from & ~(uintptr_t)(HS_PAGE_SIZE - 1); page < from + length; page += HS_PAGE_SIZE)
        if (!modules_readable(page))
            return false;
    memcpy(to, (const void *)from, length);
    return true;
}

/* ---- what a module says about itself ---- */

struct description {
    uint64_t identity; /* hash of the build-id, or of the headers when there is none */
    uint32_t build_id_length;
    uint8_t build_id[BUILD_ID_MAX];
};

static uint64_t hash_bytes(const uint8_t *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ length;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Finds NT_GNU_BUILD_ID among notes. */
static void find_build_id(const uint8_t *notes, size_t length, size_t alignment, struct description *description)
{
    struct elf_note note;
    for (size_t at = 0; elf_note_next(notes, length, alignment, &at, &note);)
        if (elf_note_is(&note, NT_GNU_BUILD_ID, "GNU", 4) && note.body_size >= 1 && note.body_size <= BUILD_ID_MAX) {
            description->build_id_length = note.body_size;
            memcpy(description->build_id, note.body, note.body_size);
            return;
        }
}

/*
 * Reads the module's headers where it is mapped. The module may be going away
 * at this moment (another thread's dlclose), so everything is copied safely.
 */
static bool describe(uintptr_t start, uintptr_t end, struct description *description)
{
    union {
        Elf64_Ehdr file;
        uint8_t bytes[HS_PAGE_SIZE];
    } headers;
    *description = (struct description){0};
    size_t length = HS_PAGE_SIZE - (start & (HS_PAGE_SIZE - 1));
    if (length > end - start)
        length = end - start;
    if (length < sizeof headers.file || !modules_copy(&headers, start, length))
        return false;
    if (memcmp(headers.file.e_ident, ELFMAG, SELFMAG) || headers.file.e_ident[EI_CLASS] != ELFCLASS64)
        return false;
    description->identity = hash_bytes((const uint8_t *)&headers.file, sizeof headers.file);
    if (headers.file.e_phentsize != sizeof(Elf64_Phdr) || headers.file.e_phoff > length)
        return true;
    size_t count = (length - headers.file.e_phoff) / sizeof(Elf64_Phdr);
    if (count > headers.file.e_phnum)
        count = headers.file.e_phnum;
    const uint8_t *table = headers.bytes + headers.file.e_phoff;
    description->identity ^= hash_bytes(table, count * sizeof(Elf64_Phdr));

    /* The segment at file offset 0 is the one that the headers were read from. */
    uint64_t bias = start;
    for (size_t i = 0; i < count; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, table + i * sizeof segment, sizeof segment);
        if (segment.p_type == PT_LOAD) {
            bias = start - (segment.p_vaddr & ~(uint64_t)(HS_PAGE_SIZE - 1));
            break;
        }
    }
    for (size_t i = 0; i < count && !description->build_id_length; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, table + i * sizeof segment, sizeof segment);
        if (segment.p_type != PT_NOTE)
            continue;
        uint8_t copy[1024];
        const uint8_t *notes = copy;
        uint64_t from = bias + segment.p_vaddr;
        size_t size = segment.p_memsz < sizeof copy ? segment.p_memsz : sizeof copy;
        if (from < start || from > end || size > end - from)
            continue;
        if (from - start <= length && size <= length - (from - start))
            notes = headers.bytes + (from - start); /* the usual place: right behind the headers */
        else if (!modules_copy(copy, from, size))
            continue;
        find_build_id(notes, size, elf_notes_alignment(&segment), description);
    }
    if (description->build_id_length)
        description->identity = hash_bytes(description->build_id, description->build_id_length);
    return true;
}

/* ---- who owns a pc ---- */

/* What _dl_find_object() gives; the same in every glibc for x86-64 that has it. Declared here so that any glibc can
 * build and run this. */
struct found_object {
    unsigned long long flags;
    void *start, *end;
    struct link_map *map;
    void *eh_frame_hdr;
    unsigned long long reserved[7];
};

static int (*find_object)(void *, struct found_object *);

/* Before the constructor that begins the session; until then, and with an older glibc, the table below is used. */
__attribute__((constructor(101))) static void look_up_find_object(void)
{
#ifndef MODULES_TEST_OLD_GLIBC
    *(void **)&find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
    if (!find_object)
        dlerror(); /* not the program's failure */
#endif
}

/*
 * The table for glibc before 2.35. It is made from the loader's list without the loader's lock, so
 * every byte is copied safely and the list may be found torn: then the table lacks modules until it is made again.
 */
struct module_table {
    uint32_t count, capacity;
    size_t bytes;
    struct module_range ranges[];
};

static _Atomic(struct module_table *) old_table;
static _Atomic uint32_t old_misses; /* since the table was last known to be outdated */

/* The flag of a dlopen may be honoured before its module is in the list, so the next misses each look again. */
#define EAGER_MISSES 32

extern struct r_debug _r_debug __attribute__((weak));

static bool describe_range(const struct link_map *entry, const struct link_map *map, struct module_range *range)
{
    Elf64_Ehdr file;
    Elf64_Phdr segments[64];
    uint64_t count;
    if (map == _r_debug.r_map) { /* the executable comes first; its headers may be anywhere */
        count = getauxval(AT_PHNUM);
        if (count > HS_COUNT_OF(segments) || !modules_copy(segments, getauxval(AT_PHDR), count * sizeof segments[0]))
            return false;
    } else {
        if (!modules_copy(&file, entry->l_addr, sizeof file) || memcmp(file.e_ident, ELFMAG, SELFMAG) ||
            file.e_phentsize != sizeof segments[0] || file.e_phnum > HS_COUNT_OF(segments) ||
            !modules_copy(segments, entry->l_addr + file.e_phoff, file.e_phnum * sizeof segments[0]))
            return false;
        count = file.e_phnum;
    }
    *range = (struct module_range){.start = UINTPTR_MAX, .map = map};
    for (unsigned i = 0; i < count; i++) {
        uintptr_t from = entry->l_addr + segments[i].p_vaddr;
        if (segments[i].p_type == PT_LOAD) {
            uintptr_t first = from & ~(uintptr_t)(HS_PAGE_SIZE - 1);
            if (first < range->start)
                range->start = first;
            if (from + segments[i].p_memsz > range->end)
                range->end = from + segments[i].p_memsz;
        } else if (segments[i].p_type == PT_GNU_EH_FRAME) {
            range->eh_frame_hdr = (const uint8_t *)from;
        }
    }
    return range->start < range->end;
}

static HS_COLD void old_table_make(void)
{
    if (!&_r_debug)
        return;
    uint32_t capacity = 0;
    struct link_map entry;
    for (const struct link_map *map = _r_debug.r_map; map && capacity < 65536; map = entry.l_next, capacity++)
        if (!modules_copy(&entry, (uintptr_t)map, sizeof entry))
            break;
    size_t bytes = sizeof(struct module_table) + (capacity + 16) * sizeof(struct module_range);
    bytes = (bytes + HS_PAGE_SIZE - 1) & ~(size_t)(HS_PAGE_SIZE - 1);
    struct module_table *table = arena_map(bytes);
    if (!table)
        return;
    table->bytes = bytes;
    table->capacity = (uint32_t)((bytes - sizeof *table) / sizeof table->ranges[0]);
    for (const struct link_map *map = _r_debug.r_map; map && table->count < table->capacity; map = entry.l_next) {
        if (!modules_copy(&entry, (uintptr_t)map, sizeof entry))
            break;
        if (describe_range(&entry, map, &table->ranges[table->count]))
            table->count++;
    }
    struct module_table *former = atomic_exchange_explicit(&old_table, table, memory_order_acq_rel);
    if (former)
        arena_discard(former, former->bytes); /* a late reader sees a count of 0 */
}

static HS_COLD bool old_find(uintptr_t pc, struct module_range *range)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        const struct module_table *table = atomic_load_explicit(&old_table, memory_order_acquire);
        for (uint32_t i = 0; table && i < table->count; i++)
            if (pc >= table->ranges[i].start && pc < table->ranges[i].end) {
                *range = table->ranges[i];
                if (atomic_load(&old_table) == table)
                    return true;
                break; /* it was being discarded while it was read */
            }
        /* New modules show as misses, and so does generated code: later on look again after 32, 64, 128 ... misses. */
        if (attempt)
            break;
        uint32_t misses = atomic_fetch_add_explicit(&old_misses, 1, memory_order_relaxed) + 1;
        if (table && misses > EAGER_MISSES && (misses & (misses - 1)))
            break;
        old_table_make();
    }
    return false;
}

/*
 * The kernel maps an executable segment by segment, and for one with gaps the loader gives the segment instead of
 * the module. So the executable's range is taken from its program headers. It never changes.
 */
static struct module_range executable;
static _Atomic uint32_t executable_state; /* 0: not looked at, 1: found, 2: not to be found */

static HS_COLD void find_executable(void)
{
    struct found_object found;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    struct module_range whole = {.start = UINTPTR_MAX};
    uint32_t state = 2;
    if (segments && !find_object((void *)getauxval(AT_ENTRY), &found)) {
        whole.map = found.map;
        whole.eh_frame_hdr = found.eh_frame_hdr;
        for (size_t i = 0; i < count; i++) {
            uintptr_t from = whole.map->l_addr + segments[i].p_vaddr;
            if (segments[i].p_type != PT_LOAD)
                continue;
            if ((from & ~(uintptr_t)(HS_PAGE_SIZE - 1)) < whole.start)
                whole.start = from & ~(uintptr_t)(HS_PAGE_SIZE - 1);
            if (from + segments[i].p_memsz > whole.end)
                whole.end = from + segments[i].p_memsz;
        }
        if (whole.start <= (uintptr_t)found.start && whole.end >= (uintptr_t)found.end)
            state = 1;
    }
    if (state == 1)
        executable = whole; /* by two threads at once it is the same */
    atomic_store_explicit(&executable_state, state, memory_order_release);
}

bool modules_find(uintptr_t pc, struct module_range *range)
{
    if (!find_object)
        return old_find(pc, range);
    uint32_t state = atomic_load_explicit(&executable_state, memory_order_acquire);
    if (HS_UNLIKELY(!state)) {
        find_executable();
        state = atomic_load_explicit(&executable_state, memory_order_acquire);
    }
    struct found_object found;
    if (find_object((void *)pc, &found))
        return false;
    range->start = (uintptr_t)found.start;
    range->end = (uintptr_t)found.end;
    range->map = found.map;
    range->eh_frame_hdr = found.eh_frame_hdr;
    if (state == 1 && range->map == executable.map)
        *range = executable;
    return true;
}

bool modules_relocated(const void *address)
{
    struct found_object found;
    return find_object && find_object((void *)address, &found) == 0;
}

/* ---- announcing ---- */

static bool announce(struct thread *self, const struct module_range *range, const struct description *description,
                     uint32_t generation)
{
    const char *path = range->map->l_name ? range->map->l_name : "";
    struct hs_message_module message = {
        .start = range->start,
        .end = range->end,
        .bias = range->map->l_addr,
        .epoch = (uint32_t)modules_epoch(generation),
        .build_id_length = description->build_id_length,
        .path_length = (uint32_t)strnlen(path, PATH_MAX_SENT),
    };
    struct emit_part parts[] = {
        {&message, sizeof message},
        {description->build_id, message.build_id_length},
        {path, message.path_length},
    };
    return emit_message(self, HS_MESSAGE_MODULE, parts, HS_COUNT_OF(parts));
}

/* Everything known by address is void. Several threads may find out at once: only one of them counts. */
static void next_generation(uint32_t generation)
{
    atomic_compare_exchange_strong(&modules_generation, &generation, generation + 1);
}

void modules_forget(void)
{
    atomic_fetch_add(&modules_generation, 1);
}

HS_COLD bool modules_announce(struct thread *self, const struct module_range *range, uint32_t generation)
{
    struct known_module *same = NULL;
    struct known_module *module = atomic_load_explicit(&known_modules, memory_order_acquire);
    for (; module; module = module->next) {
        bool announced = atomic_load_explicit(&module->generation, memory_order_relaxed) == generation;
        if (module->start == range->start && module->end == range->end) {
            if (announced && atomic_load_explicit(&module->map, memory_order_relaxed) == range->map)
                return true;
        } else if (announced && module->start < range->end && range->start < module->end) {
            next_generation(generation); /* what was announced there must be gone */
            return false;
        }
    }

    struct description description;
    if (!describe(range->start, range->end, &description))
        description = (struct description){.identity = hash_bytes((const uint8_t *)&range->map, sizeof range->map)};
    for (module = atomic_load_explicit(&known_modules, memory_order_acquire); module; module = module->next) {
        if (module->start != range->start || module->end != range->end)
            continue;
        if (module->identity == description.identity) {
            same = module;
        } else if (atomic_load_explicit(&module->generation, memory_order_relaxed) == generation) {
            next_generation(generation);
            return false;
        }
    }
    if (same && atomic_load_explicit(&same->generation, memory_order_relaxed) == generation) {
        atomic_store_explicit(&same->map, range->map,
                              memory_order_relaxed); /* the same file again, at the same place */
        return true;
    }

    if (!announce(self, range, &description, generation))
        return true; /* no room for the message: with the next pc of it, then */
    if (!same) {
        same = arena_alloc(sizeof *same);
        if (!same)
            return true; /* it will be announced once more */
        same->start = range->start;
        same->end = range->end;
        same->identity = description.identity;
        atomic_init(&same->map, range->map);
        atomic_init(&same->generation, generation);
        same->next = atomic_load_explicit(&known_modules, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&known_modules, &same->next, same, memory_order_release,
                                                      memory_order_relaxed))
            ;
        return true;
    }
    atomic_store_explicit(&same->map, range->map, memory_order_relaxed);
    atomic_store_explicit(&same->generation, generation, memory_order_relaxed);
    return true;
}

HS_COLD bool modules_recheck(void)
{
    if (!atomic_exchange_explicit(&modules_pending, 0, memory_order_acq_rel))
        return false;
    if (!find_object) {
        atomic_store_explicit(&old_misses, 0, memory_order_relaxed);
        old_table_make();
    }
    uint32_t generation = atomic_load_explicit(&modules_generation, memory_order_acquire);
    struct known_module *module = atomic_load_explicit(&known_modules, memory_order_acquire);
    for (; module; module = module->next) {
        if (atomic_load_explicit(&module->generation, memory_order_relaxed) != generation)
            continue;
        struct module_range range;
        struct description description;
        if (modules_find(module->start, &range) && range.start == module->start && range.end == module->end &&
            (describe(range.start, range.end, &description)
                 ? description.identity == module->identity
                 : atomic_load_explicit(&module->map, memory_order_relaxed) == range.map))
            continue;
        next_generation(generation);
        return true;
    }
    return false;
}
