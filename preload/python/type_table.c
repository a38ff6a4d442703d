/* type_table.c - see type_table.h */
#include "type_table.h"

#include <string.h>

#include "../arena.h"
#include "../emit.h"
#include "capi.h"
#include "heapsake/trace_format.h"
#include "number_table.h"
#include "text.h"

/* Py_TPFLAGS_... */
#define FLAG_MANAGED_WEAKREF (UINT64_C(1) << 3)
#define FLAG_MANAGED_DICT (UINT64_C(1) << 4)
#define FLAG_HEAPTYPE (UINT64_C(1) << 9)
#define FLAG_HAVE_GC (UINT64_C(1) << 14)
#define FLAG_TYPE_SUBCLASS (UINT64_C(1) << 31)

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

static const struct python_offsets *layout;
static struct number_table types;

#define FIELD(type, object, offset) (*(type const *)((const char *)(object) + (offset)))

void type_table_start(const struct python_offsets *offsets)
{
    layout = offsets;
}

static bool recycles(const char *name, uint64_t flags)
{
    /* A class that a program calls `list` has that as its tp_name, too. */
    if (flags & FLAG_HEAPTYPE && !strchr(name, '.'))
        return false;
    for (size_t i = 0; i < HS_COUNT_OF(recycling); i++) {
        if (layout->minor >= recycling[i].minor && strcmp(name, recycling[i].name) == 0)
            return true;
    }
    return false;
}

static type_value properties(const void *type)
{
    uint64_t flags = FIELD(uint64_t, type, layout->type_object.flags);
    uint64_t header = 0;
    if (flags & FLAG_HAVE_GC)
        header += GC_HEADER;
    if (flags & (FLAG_MANAGED_WEAKREF | FLAG_MANAGED_DICT))
        header += PRE_HEADER;
    return TYPE_KNOWN | header << 32 | (flags & FLAG_TYPE_SUBCLASS ? TYPE_OF_TYPES : 0) |
           (recycles(FIELD(const char *, type, layout->type_object.name), flags) ? TYPE_RECYCLES : 0);
}

/* The value of "__module__" in a type's dictionary, which may be anything; NULL: there is none. */
static const char *find_module(const void *type)
{
    static const char key_name[] = "__module__";
    void *dictionary = FIELD(void *, type, layout->type_object.dictionary);
    ptrdiff_t position = 0;
    void *key, *value;
    if (!dictionary || !python_capi.PyDict_Next)
        return NULL;
    while (python_capi.PyDict_Next(dictionary, &position, &key, &value)) {
        if (!text_is_ascii(layout, key))
            continue;
        struct text text = text_read(layout, key, NULL);
        if (text.length == sizeof key_name - 1 && memcmp(text.bytes, key_name, sizeof key_name - 1) == 0)
            return value;
    }
    return NULL;
}

/* Is the object a str, of the type that the type's own name has? */
static bool is_str(const char *object, const char *some_str)
{
    return object && some_str &&
           FIELD(void *, object, layout->object.type) == FIELD(void *, some_str, layout->object.type);
}

static uint32_t flags_for_trace(const void *type, type_value value)
{
    uint64_t flags = FIELD(uint64_t, type, layout->type_object.flags);
    bool finalizer = FIELD(void *, type, layout->type_object.finalize) || FIELD(void *, type, layout->type_object.del);
    return (flags & FLAG_HAVE_GC ? HSK_TYPE_GC : 0) | (flags & FLAG_HEAPTYPE ? HSK_TYPE_HEAP : 0) |
           (finalizer ? HSK_TYPE_FINALIZER : 0) | (value & TYPE_RECYCLES ? HSK_TYPE_RECYCLES : 0);
}

static void describe(struct thread *self, const void *type, uint32_t number, type_value value)
{
    struct text module = {"", 0}, name;
    const char *c_name = FIELD(const char *, type, layout->type_object.name);
    char *buffer = NULL;
    if (FIELD(uint64_t, type, layout->type_object.flags) & FLAG_HEAPTYPE) {
        const char *name_object = FIELD(const char *, type, layout->type_object.qualified_name);
        const char *module_object = find_module(type);
        if (!is_str(module_object, name_object))
            module_object = NULL;
        if (!text_is_ascii(layout, name_object) || !text_is_ascii(layout, module_object))
            buffer = arena_map(2 * TEXT_MAX_BYTES);
        name = text_read(layout, name_object, buffer);
        if (module_object)
            module = text_read(layout, module_object, buffer ? buffer + TEXT_MAX_BYTES : NULL);
    } else {
        const char *dot = strrchr(c_name, '.');
        if (dot)
            module = (struct text){c_name, (size_t)(dot - c_name)};
        name.bytes = dot ? dot + 1 : c_name;
        name.length = strlen(name.bytes);
        if (name.length > TEXT_MAX_BYTES)
            name.length = TEXT_MAX_BYTES;
        if (module.length > TEXT_MAX_BYTES)
            module.length = TEXT_MAX_BYTES;
    }
    if (module.length == 8 && memcmp(module.bytes, "builtins", 8) == 0)
        module.length = 0;
    struct hs_message_type body = {
        .type = number,
        .flags = flags_for_trace(type, value),
        .module_length = (uint32_t)module.length,
        .name_length = (uint32_t)name.length,
    };
    struct emit_part parts[] = {
        {&body, sizeof body},
        {module.bytes, module.length},
        {name.bytes, name.length},
    };
    emit_message(self, HS_MESSAGE_TYPE, parts, 3);
    if (buffer)
        arena_unmap(buffer, 2 * TEXT_MAX_BYTES);
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
        describe(self, type, number, fresh);
        fresh |= number;
        if (atomic_compare_exchange_strong(entry, &value, fresh))
            value = fresh;
    }
    unsigned at = (unsigned)((uintptr_t)type >> 5 ^ (uintptr_t)type >> 11) % TYPE_CACHE_ENTRIES;
    cache->entries[at].type = type;
    cache->entries[at].value = value;
    return value;
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
