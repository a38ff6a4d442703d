/*
 * python.c - see python.h
 *
 * An interpreter's life, as far as the hooks care:
 *
 *   ABSENT -> STARTING -> RUNNING -> FINALIZING -> STARTING -> ...
 *
 * RUNNING begins when Py_IsInitialized() becomes true, FINALIZING with our atexit callback, and the next
 * STARTING when Py_IsInitialized() has become false. python_state says PYTHON_STARTING for both that are to be polled.
 */
#include "python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../emit.h"
#include "../hook_malloc.h"
#include "../loader_lock.h"
#include "../module_list.h"
#include "../modules.h"
#include "../refs/modules_seen.h"
#include "../stack.h"
#include "../watch/births.h"
#include "allocators.h"
#include "capi.h"
#include "code_table.h"
#include "elf_lookup.h"
#include "lifecycle.h"
#include "objects.h"
#include "offsets.h"
#include "stack.h"

enum phase { ABSENT, STARTING, RUNNING, FINALIZING };

uint32_t python_state = PYTHON_NONE;
struct python_capi python_capi;

static _Atomic uint32_t phase = ABSENT;
static bool arrived_late; /* by dlopen: it may go again */

#define NAME_BYTES 256u

bool python_capi_resolve(struct python_capi *capi, python_resolver find, const void *context)
{
    bool complete = true;
    /* An object pointer becomes a function pointer: POSIX asks for that of dlsym. */
#define FUNCTION(name, type, parameters)                                                                               \
    *(void **)&capi->name = find(context, #name);                                                                      \
    complete = complete && capi->name;
#define FUNCTION_OPTIONAL(name, type, parameters) *(void **)&capi->name = find(context, #name);
#define OBJECT(name) capi->name = find(context, #name);
    PYTHON_CAPI(FUNCTION, FUNCTION_OPTIONAL, OBJECT)
#undef FUNCTION
#undef FUNCTION_OPTIONAL
#undef OBJECT
    return complete;
}

static void *find_in_module(const void *module, const char *name)
{
    return elf_find_symbol(module, name);
}

static bool has_interpreter(const struct link_map *module)
{
    return elf_find_symbol(module, "PyMem_SetAllocator") && elf_find_symbol(module, "Py_IsInitialized");
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* While no module goes: with the loader's lock, or before there are other threads. */
static const struct link_map *find_interpreter(void)
{
    for (const struct link_map *module = elf_first_module(); module; module = module->l_next)
        if (has_interpreter(module))
            return module;
    return NULL;
}

static void find_one(uint64_t come, uint64_t gone, void *result)
{
    (void)come;
    (void)gone;
    *(const struct link_map **)result = find_interpreter();
}

static const struct link_map *find_interpreter_among_threads(void)
{
    const struct link_map *found = NULL;
    loader_lock_held(find_one, &found);
    return found;
}

/* One that has arrived is looked for by its name, and is not closed again while it is looked into. */
static bool is_interpreter(const struct module_entry *entry)
{
    char name[NAME_BYTES];
    module_list_name(entry, name, sizeof name);
    return strstr(name, "libpython") != NULL;
}

/*
 * The last module that can be called, when no interpreter was found among those up to it: new ones come after it, so
 * that one look at it tells whether there are any. It is the thread's that has `looking`.
 */
static struct module_entry last_seen;
static _Atomic uint32_t looking;

/* NULL: none that can be called. With glibc before 2.35, which does not tell that, one that comes late is left alone.
 */
static const struct link_map *find_arrived(void)
{
    struct module_entry entry = last_seen;
    bool more = entry.map && module_list_again(&entry) ? module_list_next(&entry) : module_list_first(&entry);
    for (; more; more = module_list_next(&entry)) {
        bool callable = modules_relocated(entry.link.l_ld);
        if (!is_interpreter(&entry)) {
            if (callable)
                last_seen = entry;
            continue;
        }
        return callable && has_interpreter(entry.map) ? entry.map : NULL;
    }
    return NULL;
}

void *python_symbol(const char *name)
{
    const struct link_map *module = find_interpreter_among_threads();
    return module ? elf_find_symbol(module, name) : NULL;
}

bool python_present(void)
{
    return find_interpreter() != NULL;
}

bool python_is_program(const char *argument0)
{
    const struct link_map *program = elf_first_module();
    if (!program || !python_present())
        return false;
    /* What the kernel was asked to run; the symlink's name for venvs. */
    return strncmp(base_name(argument0), "python", 6) == 0 || has_interpreter(program);
}

/* As Py_Version has it, 0x030d02f0; 0: unknown. */
static uint32_t find_version(void)
{
    if (python_capi.Py_Version)
        return (uint32_t) * (const unsigned long *)python_capi.Py_Version;
    const char *text = python_capi.Py_GetVersion();
    uint32_t numbers[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        for (; *text >= '0' && *text <= '9'; text++)
            numbers[i] = numbers[i] * 10 + (uint32_t)(*text - '0');
        if (*text == '.')
            text++;
    }
    return numbers[0] << 24 | (numbers[1] & 0xff) << 16 | (numbers[2] & 0xff) << 8 | 0xf0;
}

/* The version's offsets, when they hold for this build; otherwise says why not. */
static const struct python_offsets *choose_offsets(struct thread *self, uint32_t version, bool free_threaded)
{
    const struct python_offsets *offsets =
        version >> 24 == 3 ? python_offsets_find(version >> 16 & 0xff, free_threaded) : NULL;
    if (!offsets) {
        emit_blind_spot(self, free_threaded ? "This free-threaded Python is of a version that heapsake does not know: "
                                              "its memory is recorded without Python stacks."
                                            : "This Python is of a version that heapsake does not know: its memory is "
                                              "recorded without Python stacks.");
        return NULL;
    }
    if (python_offsets_check(offsets, python_capi._PyRuntime, version) != PYTHON_CHECK_AGREES) {
        emit_blind_spot(self, "This Python keeps its frames otherwise than its version is known to: its memory is "
                              "recorded without Python stacks.");
        return NULL;
    }
    return offsets;
}

static bool begin(struct thread *self, const struct link_map *module)
{
    if (!python_capi_resolve(&python_capi, find_in_module, module))
        return false;
    struct module_range range;
    if (modules_find((uintptr_t)python_capi.PyMem_SetAllocator, &range)) {
        python_capi.text_low = range.start;
        python_capi.text_high = range.end;
    }
    uint32_t version = find_version();
    bool free_threaded = python_offsets_free_threaded(python_capi._PyRuntime);
    struct hs_message_python body = {.version = version, .free_threaded = free_threaded};
    struct emit_part part = {&body, sizeof body};
    emit_message(self, HS_MESSAGE_PYTHON, &part, 1);

    const struct python_offsets *offsets = choose_offsets(self, version, free_threaded);
    stack_start(offsets);
    objects_start(self, offsets);
    births_python(self, offsets, objects_wanted());
    modules_seen_interpreter(module, offsets);
    if (!offsets)
        stack_want_native = true;
    return true;
}

static void be_polled(void)
{
    python_state = PYTHON_STARTING;
    atomic_store(&hook_malloc_chores, HOOK_MALLOC_ALWAYS);
}

void python_start(struct thread *self)
{
    const struct link_map *module = find_interpreter();
    if (!module || !begin(self, module))
        return;
    atomic_store(&phase, STARTING);
    be_polled();
    allocators_wrap();
}

bool python_still_there(void)
{
    return !arrived_late || modules_relocated((const void *)python_capi.Py_IsInitialized);
}

void python_forget(void)
{
    stack_start(NULL);
    objects_start(NULL, NULL);
    births_python(NULL, NULL, false);
    modules_seen_interpreter(NULL, NULL);
    python_state = PYTHON_NONE;
    atomic_store(&phase, ABSENT);
}

void python_poll(struct thread *self)
{
    (void)self;
    uint32_t now = atomic_load(&phase);
    if (now != STARTING && now != FINALIZING)
        return;
    if (!python_still_there()) {
        python_forget();
        return;
    }
    bool initialized = python_capi.Py_IsInitialized();
    if (now == FINALIZING) {
        if (!initialized && atomic_compare_exchange_strong(&phase, &now, STARTING)) {
            code_table_forget_all();
            objects_forget();
        }
        return;
    }
    allocators_wrap();
    if (initialized && atomic_compare_exchange_strong(&phase, &now, RUNNING)) {
        python_state = PYTHON_RUNNING;
        stack_teardown(false);
        lifecycle_arm();
    }
}

void python_finalizing(void)
{
    uint32_t running = RUNNING;
    if (!atomic_compare_exchange_strong(&phase, &running, FINALIZING))
        return;
    stack_teardown(true);
    be_polled();
}

void python_modules_changed(struct thread *self)
{
    if (atomic_load(&phase) != ABSENT) {
        if (!python_still_there())
            python_forget();
        return;
    }
    if (atomic_exchange(&looking, 1))
        return;
    const struct link_map *module = find_arrived();
    if (module && begin(self, module)) {
        arrived_late = true;
        atomic_store(&phase, STARTING);
        be_polled();
        if (python_capi.Py_IsInitialized())
            emit_blind_spot(self, "Python was initialized already when heapsake noticed it: what it had allocated by "
                                  "then, other than by malloc, is missing.");
        python_poll(self);
    }
    atomic_store(&looking, 0);
}

/* Of an interpreter that is no longer being initialized, and not yet being finalized. */
static bool has_gil(void)
{
    const struct python_capi *capi = &python_capi;
    int (*is_finalizing)(void) = capi->Py_IsFinalizing ? capi->Py_IsFinalizing : capi->_Py_IsFinalizing;
    return capi->Py_IsInitialized() && capi->PyGILState_Ensure && capi->PyGILState_Release &&
           !(is_finalizing && is_finalizing());
}

bool python_has_gil(void)
{
    return python_state == PYTHON_RUNNING && python_still_there() && has_gil();
}

enum python_state python_find(struct thread *self)
{
    const struct link_map *module = find_interpreter_among_threads();
    if (!module || !begin(self, module))
        return PYTHON_NONE;
    if (has_gil())
        return PYTHON_RUNNING;
    atomic_store(&phase, STARTING);
    be_polled();
    return PYTHON_STARTING;
}

void python_attach(void)
{
    atomic_store(&phase, RUNNING);
    allocators_wrap();
    stack_teardown(false);
    python_state = PYTHON_RUNNING;
    lifecycle_begin();
}

bool python_detach(bool with_gil)
{
    if (python_state == PYTHON_NONE || !python_still_there())
        return true;
    stack_forsake_allocators();
    if (with_gil)
        lifecycle_end();
    return allocators_unwrap();
}

void python_after_fork(struct thread *self)
{
    (void)self;
    atomic_store(&looking, 0);
    last_seen.map = NULL;
    code_table_after_fork();
    objects_after_fork();
}
