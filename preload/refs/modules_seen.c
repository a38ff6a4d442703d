/* modules_seen.c - see modules_seen.h */
#include "modules_seen.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "../got.h"
#include "../hook_got.h"
#include "../loader_lock.h"
#include "../modules.h"
#include "../python/elf_lookup.h"
#include "../python/python.h"
#include "../session.h"
#include "../sys.h"
#include "entry_points.h"
#include "gobject.h"
#include "heapsake/trace_format.h"
#include "leaf.h"
#include "pairs.h"
#include "python_counts.h"
#include "told_note.h"

#pragma weak _dl_find_object /* glibc 2.35: an older one cannot tell when a module is ready to be patched */

#define TOLD "heapsake_refs_told" /* told.c */
void heapsake_refs_told(void *object, int delta, long count, const char *file, int line, const char *function);

struct seen_module {
    const struct link_map *map;
    const void *dynamic; /* its l_ld           */
    const char *path;    /* a copy             */
    uint32_t flags;      /* enum hsk_coverage_flag; COUNTS_NOTHING */
    bool present;
};
#define COUNTS_NOTHING (UINT32_C(1) << 31) /* has nothing to do with references: not told to the recorder */

static struct {
    struct seen_module *modules;
    size_t count, capacity;
} seen;

static const struct link_map *own_module, *interpreter;
static bool patching;                /* somebody has asked for it       */
static bool executable_instrumented; /* code of it is: see told_note.h  */
static _Atomic uint32_t busy, all_void;
static _Atomic uint32_t told; /* by some module: what can be seen of the others is asked for */

enum {
    ENTRY_POINTS_AT = 0,
    GOBJECT_AT = ENTRY_POINTS_AT + ENTRY_POINTS,
    PAIRS_AT = GOBJECT_AT + GOBJECT_FUNCTIONS,
    DLSYM_AT = PAIRS_AT + PAIR_FUNCTIONS,
    PATCHES
};
static struct got_patch patches[PATCHES];

/* ---- dlsym, which whoever has opened a module calls next ---- */

__attribute__((visibility("hidden"), used)) void *(*modules_seen_real_dlsym)(void *, const char *);
__attribute__((visibility("hidden"))) void modules_seen_dlsym(void);

static bool look_at_new(struct thread *self);

static void look_if_changed(uint64_t come, uint64_t gone, void *context)
{
    static uint64_t come_then, gone_then; /* when all that was there was looked at */
    struct thread *self = context;
    if (gone != gone_then)
        atomic_store(&all_void, 1); /* another one may lie where it was */
    if (come == come_then && !atomic_load(&all_void))
        return;
    bool ready = look_at_new(self);
    if (python_state == PYTHON_NONE)
        python_modules_changed(self);
    if (ready) {
        come_then = come;
        gone_then = gone;
    }
}

__attribute__((visibility("hidden"), used)) void modules_seen_loader_called(void)
{
    bool wanted = patching || hook_got_installed() || atomic_load_explicit(&told, memory_order_relaxed);
    struct thread *self = wanted ? hook_enter() : NULL;
    if (!self)
        return;
    loader_lock_held(look_if_changed, self); /* which its callers take, too */
    hook_leave(self);
}

/* It looks at its caller's return address, as dlopen does: see hook_loader.c. */
__asm__(".pushsection .text\n"
        ".type modules_seen_dlsym, @function\n"
        "modules_seen_dlsym:\n"
        ".cfi_startproc\n"
        "endbr64\n"
        "push %rdi\n.cfi_adjust_cfa_offset 8\n"
        "push %rsi\n.cfi_adjust_cfa_offset 8\n"
        "sub $8, %rsp\n.cfi_adjust_cfa_offset 8\n"
        "call modules_seen_loader_called\n"
        "add $8, %rsp\n.cfi_adjust_cfa_offset -8\n"
        "pop %rsi\n.cfi_adjust_cfa_offset -8\n"
        "pop %rdi\n.cfi_adjust_cfa_offset -8\n"
        "jmp *modules_seen_real_dlsym(%rip)\n"
        ".cfi_endproc\n"
        ".size modules_seen_dlsym, . - modules_seen_dlsym\n"
        ".popsection\n");

const void *modules_seen_dlsym_hook(void)
{
    modules_seen_real_dlsym = dlsym;
    return (const void *)(uintptr_t)modules_seen_dlsym;
}

/* ---- one module ---- */

/* What inlined counting of Python objects calls at its end, and what is called where it is not inlined. */
static bool is_of_counting(const char *symbol)
{
    static const char *const symbols[] = {"_Py_Dealloc", "_Py_DecRefShared", "_Py_MergeZeroLocalRefcount",
                                          "Py_IncRef",   "Py_DecRef",        "_Py_IncRef",
                                          "_Py_DecRef",  "Py_NewRef",        "Py_XNewRef"};
    if (symbol[0] != 'P' && symbol[0] != '_')
        return false;
    for (size_t i = 0; i < HS_COUNT_OF(symbols); i++)
        if (strcmp(symbol, symbols[i]) == 0)
            return true;
    return false;
}

static void say_coverage(struct thread *self, const struct seen_module *module)
{
    if (module->flags & COUNTS_NOTHING)
        return;
    struct hs_message_coverage body = {.flags = module->flags, .path_length = (uint32_t)strlen(module->path)};
    struct emit_part parts[] = {{&body, sizeof body}, {module->path, body.path_length}};
    emit_message(self, HS_MESSAGE_COVERAGE, parts, 2);
}

/* A module counts by itself what it defines, and its own calls of it may be no calls at all. */
static bool defines(const struct link_map *module, const void *function)
{
    struct module_range range;
    return function && modules_find((uintptr_t)function, &range) && range.map == module;
}

static unsigned patch(const struct link_map *module, bool instrumented)
{
    struct got_patch its[PATCHES];
    memcpy(its, patches, sizeof its);
    for (unsigned i = 0; i < DLSYM_AT; i++)
        if (defines(module, its[i].real))
            its[i].real = NULL;
    if (instrumented) {
        /* behind Py_INCREF and Py_DECREF of the limited API, which are told already */
        its[ENTRY_POINTS_AT + ENTRY_PRIVATE_INC].real = NULL;
        its[ENTRY_POINTS_AT + ENTRY_PRIVATE_DEC].real = NULL;
    }
    got_patch_module(module, &its[DLSYM_AT], 1);
    return got_patch_module(module, its, DLSYM_AT).patched;
}

static uint32_t look_at(struct thread *self, const struct link_map *module)
{
    uint32_t flags = 0;
    if (got_fill_pointers(module, TOLD, (const void *)(uintptr_t)heapsake_refs_told) ||
        (executable_instrumented && module == elf_first_module()))
        flags |= HSK_COVERAGE_INSTRUMENTED;
    hook_got_patch(self, module);
    if (patching && patch(module, flags & HSK_COVERAGE_INSTRUMENTED))
        flags |= HSK_COVERAGE_ENTRY_POINTS;
    return flags || (module != interpreter && got_refers(module, is_of_counting)) ? flags : COUNTS_NOTHING;
}

/* ---- all of them ---- */

/* `expected`: where it is most likely, since the loader's list grows at its end. */
static struct seen_module *find_seen(const struct link_map *map, size_t expected)
{
    if (expected < seen.count && seen.modules[expected].map == map && seen.modules[expected].dynamic == map->l_ld)
        return &seen.modules[expected];
    for (size_t i = 0; i < seen.count; i++)
        if (seen.modules[i].map == map && seen.modules[i].dynamic == map->l_ld)
            return &seen.modules[i];
    return NULL;
}

size_t modules_seen_path(const struct link_map *module, char room[MODULES_SEEN_PATH])
{
    const char *path = module && module->l_name ? module->l_name : "";
    if (module && !*path) {
        long length = sys_call(SYS_readlink, "/proc/self/exe", room, MODULES_SEEN_PATH);
        return length > 0 ? (size_t)length : 0;
    }
    size_t length = strnlen(path, MODULES_SEEN_PATH);
    memcpy(room, path, length);
    return length;
}

static const char *copy_of_path(const struct link_map *module)
{
    char path[MODULES_SEEN_PATH];
    size_t length = modules_seen_path(module, path);
    char *copy = length ? arena_alloc(length + 1) : NULL;
    return copy ? memcpy(copy, path, length) : "";
}

static struct seen_module *add_seen(const struct link_map *map)
{
    if (seen.count == seen.capacity) {
        size_t capacity = seen.capacity ? seen.capacity * 2 : 128;
        struct seen_module *larger = arena_alloc(capacity * sizeof *larger);
        if (!larger)
            return NULL;
        if (seen.count)
            memcpy(larger, seen.modules, seen.count * sizeof *larger);
        seen.modules = larger;
        seen.capacity = capacity;
    }
    seen.modules[seen.count] =
        (struct seen_module){.map = map, .dynamic = map->l_ld, .path = copy_of_path(map), .flags = COUNTS_NOTHING};
    return &seen.modules[seen.count++];
}

/* In the midst of dlopen a module is in the list, but not relocated yet: see python.c. */
static bool is_ready(const struct link_map *module)
{
    struct dl_find_object found;
    return module->l_ld && _dl_find_object((void *)module->l_ld, &found) == 0 && found.dlfo_link_map == module;
}

/* Functions that count may come with a module that is new; the others may call them already. */
static void find_functions(const struct link_map *first)
{
    size_t at = 0;
    for (const struct link_map *module = first; module; module = module->l_next, at++) {
        if (module == own_module || find_seen(module, at) || !is_ready(module))
            continue;
        bool found = session.options & HS_OPTION_REFS && gobject_find(module, &patches[GOBJECT_AT]);
        if (pairs_find(module, &patches[PAIRS_AT]) || found)
            atomic_store(&all_void, 1);
    }
}

/* What is not in the loader's list any more is forgotten. */
static void forget_closed(void)
{
    size_t kept = 0;
    for (size_t i = 0; i < seen.count; i++)
        if (seen.modules[i].present)
            seen.modules[kept++] = seen.modules[i];
    seen.count = kept;
}

/* One that is ready. False: there is no memory. */
static bool look_at_one(struct thread *self, const struct link_map *module)
{
    struct seen_module *known = find_seen(module, seen.count);
    uint32_t flags = module == own_module ? COUNTS_NOTHING : look_at(self, module);
    if (!known)
        known = add_seen(module);
    if (!known)
        return false;
    known->present = true;
    if (known->flags != flags) {
        known->flags = flags;
        say_coverage(self, known);
    }
    return true;
}

/* False: not all of them were ready. */
static bool look_at_all(struct thread *self)
{
    bool ready = true;
    const struct link_map *first = elf_first_module();
    if (!first)
        return false;
    if (patching)
        find_functions(first);
    bool again = atomic_exchange(&all_void, 0);
    for (size_t i = 0; again && i < seen.count; i++)
        seen.modules[i].present = false;
    size_t at = 0;
    for (const struct link_map *module = first; module; module = module->l_next, at++) {
        struct seen_module *known = find_seen(module, at);
        if (known)
            known->present = true;
        if (known && !again)
            continue;
        if (!is_ready(module)) {
            ready = false;
            continue;
        }
        if (!look_at_one(self, module))
            return false;
    }
    if (again)
        forget_closed();
    return ready;
}

static bool look_at_new(struct thread *self)
{
    if (!_dl_find_object || atomic_exchange(&busy, 1))
        return false;
    bool ready = look_at_all(self);
    atomic_store(&busy, 0);
    return ready;
}

void modules_seen_look_again(struct thread *self)
{
    atomic_store(&all_void, 1);
    look_at_new(self);
}

void modules_seen_told(struct thread *self, const struct link_map *module)
{
    atomic_store_explicit(&told, 1, memory_order_relaxed);
    if (!atomic_load(&session.threaded)) {
        look_at_new(self); /* there is nobody else who could close one */
        return;
    }
    if (!module || !_dl_find_object || atomic_exchange(&busy, 1))
        return;
    if (!find_seen(module, seen.count) && is_ready(module))
        look_at_one(self, module);
    atomic_store(&busy, 0);
}

void modules_seen_interpreter(const struct link_map *module, const struct python_offsets *offsets)
{
    interpreter = module;
    python_counts_start(module ? offsets : NULL);
    if (session.options & HS_OPTION_REFS)
        entry_points_find(module, &patches[ENTRY_POINTS_AT]);
    atomic_store(&all_void, 1);
}

static const void *address_of_own_object(void)
{
    return &patches;
}

void modules_seen_start(struct thread *self)
{
    executable_instrumented = told_note_fill((const void *)(uintptr_t)heapsake_refs_told);
    bool pairs = pairs_read(session.shared->ref_functions, sizeof session.shared->ref_functions);
    struct module_range own;
    if (modules_find((uintptr_t)address_of_own_object(), &own))
        own_module = own.map;
    patching = pairs || session.options & HS_OPTION_REFS;
    if (!patching)
        return;
    if (!_dl_find_object) {
        emit_blind_spot(self, "The C library is too old: calls of functions that count references are not seen.");
        patching = false;
        return;
    }
    patches[DLSYM_AT] = (struct got_patch){
        .symbol = "dlsym", .real = (const void *)(uintptr_t)dlsym, .replacement = modules_seen_dlsym_hook()};
    look_at_new(self);
}

void modules_seen_after_fork(struct thread *self)
{
    atomic_store(&busy, 0);
    for (size_t i = 0; i < seen.count; i++)
        say_coverage(self, &seen.modules[i]);
    leaf_after_fork();
    gobject_after_fork();
}
