/* type_table.c - see type_table.h */
#include "type_table.h"

#include <string.h>

#include "../emit.h"
#include "../watch/births.h"
#include "heapsake/trace_format.h"
#include "number_table.h"
#include "object_read.h"
#include "type_names.h"

#define FLAG_MANAGED_WEAKREF (UINT64_C(1) << 3) /* Py_TPFLAGS_..., 3.12+ */

#define GC_HEADER 16u  /* PyGC_Head                                                            */
#define PRE_HEADER 16u /* two pointers, for the instance's dict and the list of weak references */

/*
 * Types whose dead objects are kept for the next one, by tp_name, and the version that began to do so. Where a name is
 * missing, an object's death is noticed late, when the next one is born in its block.
 */
static const struct {
    const char *name;
    uint8_t minor;
} recycling[] = {
    {"float", 13},
    {"tuple", 13},
    {"list", 13},
    {"dict", 13},
    {"slice", 13},
    {"_contextvars.Context", 13},
    {"async_generator_wrapped_value", 13},
    {"async_generator_asend", 13},
    {"int", 14},
    {"list_iterator", 14},
    {"tuple_iterator", 14},
    {"range", 14},
    {"range_iterator", 14},
    {"_asyncio.FutureIter", 14},
    {"builtin_function_or_method", 14},
    {"builtin_method", 14},
    {"method", 14},
    {"complex", 15},
};

_Atomic uint32_t type_table_epoch = 1;
uint8_t type_table_marks[TYPE_MARKS / 8];

static const struct python_offsets *layout;
static const struct python_object_offsets *objects_layout;
static struct number_table types;

void type_table_start(const struct python_offsets *offsets, const struct python_object_offsets *objects)
{
    layout = offsets;
    objects_layout = objects;
}

static bool recycles(const char *name, uint64_t flags)
{
    /* A class that a program calls `list` has that as its tp_name, too. */
    if (flags & PYTHON_FLAG_HEAP && !strchr(name, '.'))
        return false;
    for (size_t i = 0; i < HS_COUNT_OF(recycling); i++) {
        if (layout->minor >= recycling[i].minor && strcmp(name, recycling[i].name) == 0)
            return true;
    }
    return false;
}

static type_value properties(const void *type)
{
    uint64_t flags = type_flags(type);
    uint64_t header = 0;
    if (flags & PYTHON_FLAG_GC)
        header += GC_HEADER;
    if (flags & (FLAG_MANAGED_WEAKREF | PYTHON_FLAG_MANAGED_DICT))
        header += PRE_HEADER;
    return TYPE_KNOWN | header << 32 | (flags & PYTHON_FLAG_TYPE ? TYPE_OF_TYPES : 0) |
           (recycles(pointer_at(type, PYTHON_TYPE_NAME), flags) ? TYPE_RECYCLES : 0);
}

/* Returns what the name says of the value. */
static type_value describe(struct thread *self, const void *type, uint32_t number, type_value value)
{
    struct python_type_name name;
    python_type_name_read(layout, objects_layout, type, &name);
    struct hs_message_type body = {
        .type = number,
        .flags = python_type_flags(type) | (value & TYPE_RECYCLES ? HSK_TYPE_RECYCLES : 0),
        .module_length = (uint32_t)name.module.length,
        .name_length = (uint32_t)name.name.length,
    };
    struct emit_part parts[] = {
        {&body, sizeof body},
        {name.module.bytes, name.module.length},
        {name.name.bytes, name.name.length},
    };
    emit_message(self, HS_MESSAGE_TYPE, parts, 3);
    return (type_value)births_requests_of_type(name.module, name.name) << TYPE_REQUESTS_SHIFT;
}

type_value type_table_look_up(struct thread *self, const void *type)
{
    struct type_cache *cache = &self->types;
    uint32_t epoch = atomic_load_explicit(&type_table_epoch, memory_order_acquire);
    if (cache->epoch != epoch) {
        memset(cache->entries, 0, sizeof cache->entries);
        cache->epoch = epoch;
    }
    number_value *entry = number_table_entry(&types, type);
    uint64_t value = entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
    if (!value) {
        uint64_t fresh = properties(type);
        if (!entry)
            return fresh;
        uint32_t number = number_table_next(&types);
        __atomic_fetch_or(&type_table_marks[type_mark(type) / 8], (uint8_t)(1u << type_mark(type) % 8),
                          __ATOMIC_RELAXED);
        fresh |= describe(self, type, number, fresh) | number;
        if (atomic_compare_exchange_strong(entry, &value, fresh))
            value = fresh;
    }
    unsigned at = type_cache_place(type);
    cache->entries[at].type = type;
    cache->entries[at].value = value;
    return value;
}

uint32_t type_table_next_number(void)
{
    return number_table_next(&types);
}

type_value type_table_known(const void *type)
{
    number_value *entry = type_table_may_know(type) ? number_table_entry(&types, type) : NULL;
    return entry ? atomic_load_explicit(entry, memory_order_acquire) : 0;
}

void type_table_forget(const void *type)
{
    if (number_table_forget(&types, type))
        atomic_fetch_add(&type_table_epoch, 1);
}

void type_table_forget_all(void)
{
    number_table_forget_all(&types);
    atomic_fetch_add(&type_table_epoch, 1);
}

void type_table_after_fork(void)
{
    number_table_after_fork(&types);
}
