/*
 * gobject.c - see gobject.h
 *
 * Counts are changed by many threads at once, so the count that an event says is the one at about that time; what was
 * added and taken away is exact. Types are numbered together with Python's.
 */
#include "gobject.h"

#include <stdint.h>
#include <string.h>

#include "../emit.h"
#include "../python/elf_lookup.h"
#include "../python/number_table.h"
#include "../python/type_table.h"
#include "../stack.h"

#define OBJECT_TYPE (20u << 2) /* G_TYPE_OBJECT */
#define TYPE_NAME_MAX 1024u

/* The beginning of every instance. */
struct instance {
    const uintptr_t *class; /* begins with the number of its type */
    uint32_t count;
};

static struct {
    void *(*ref)(void *object);
    void *(*ref_sink)(void *object);
    void (*unref)(void *object);
    int (*is_floating)(void *object);
    int (*is_a)(void *object, uintptr_t fundamental); /* g_type_check_instance_is_fundamentally_a */
    const char *(*type_name)(uintptr_t type);
} glib;

static struct number_table types;

static uint32_t type_number(struct thread *self, const struct instance *object)
{
    uintptr_t type = *object->class;
    number_value *entry = number_table_entry(&types, (const void *)type);
    uint64_t value = entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
    if (value || !entry)
        return (uint32_t)value;
    const char *name = glib.type_name(type);
    uint32_t number = type_table_next_number();
    struct hs_message_type body = {.type = number, .name_length = name ? (uint32_t)strnlen(name, TYPE_NAME_MAX) : 0};
    struct emit_part parts[] = {{&body, sizeof body}, {name, body.name_length}};
    emit_message(self, HS_MESSAGE_TYPE, parts, 2);
    return atomic_compare_exchange_strong(entry, &value, number) ? number : (uint32_t)value;
}

static __attribute__((noinline)) void tell(const struct instance *object, bool down, uint32_t count,
                                           const void *frame_address)
{
    struct thread *self = hook_enter();
    if (!self)
        return;
    uint32_t node =
        python_state == PYTHON_NONE ? unwind_node(self, frame_address) : python_hybrid_stack(self, frame_address);
    emit_count(self, HS_COUNT_GOBJECT, object, 0, down, count, type_number(self, object), node);
    hook_leave(self);
}

static uint32_t count_of(const struct instance *object)
{
    return __atomic_load_n(&object->count, __ATOMIC_RELAXED);
}

#define HERE __builtin_frame_address(0)

static void *object_ref(void *object)
{
    void *same = glib.ref(object); /* NULL: it was no object, and that was complained of */
    if (same)
        tell(same, false, count_of(same), HERE);
    return same;
}

static void *object_ref_sink(void *object)
{
    bool counts = object && glib.is_a(object, OBJECT_TYPE) && !glib.is_floating(object);
    void *same = glib.ref_sink(object);
    if (same && counts)
        tell(same, false, count_of(same), HERE);
    return same;
}

static void object_unref(void *object)
{
    if (object && glib.is_a(object, OBJECT_TYPE))
        tell(object, true, count_of(object) - 1, HERE);
    glib.unref(object);
}

bool gobject_find(const struct link_map *module, struct got_patch *patches)
{
    static const struct {
        const char *symbol;
        void **real;
    } needed[] = {
        {"g_object_ref", (void **)&glib.ref},
        {"g_object_ref_sink", (void **)&glib.ref_sink},
        {"g_object_unref", (void **)&glib.unref},
        {"g_object_is_floating", (void **)&glib.is_floating},
        {"g_type_check_instance_is_fundamentally_a", (void **)&glib.is_a},
        {"g_type_name", (void **)&glib.type_name},
    };
    const void *replacements[GOBJECT_FUNCTIONS] = {(const void *)(uintptr_t)object_ref,
                                                   (const void *)(uintptr_t)object_ref_sink,
                                                   (const void *)(uintptr_t)object_unref};
    void *found[HS_COUNT_OF(needed)];
    if (patches[0].real)
        return false; /* there are none but the first */
    for (unsigned i = 0; i < HS_COUNT_OF(needed); i++) {
        found[i] = elf_find_symbol(module, needed[i].symbol);
        if (!found[i])
            return false;
    }
    for (unsigned i = 0; i < HS_COUNT_OF(needed); i++)
        *needed[i].real = found[i];
    for (unsigned i = 0; i < GOBJECT_FUNCTIONS; i++)
        patches[i] = (struct got_patch){needed[i].symbol, found[i], replacements[i]};
    return true;
}

void gobject_after_fork(void)
{
    number_table_after_fork(&types);
}
