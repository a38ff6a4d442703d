/* type_names.c - see type_names.h */
#include "type_names.h"

#include <string.h>

#include "heapsake/trace_format.h"
#include "object_read.h"

static bool is_str(const void *object)
{
    return object && word_at(pointer_at(object, PYTHON_OBJECT_TYPE), PYTHON_TYPE_FLAGS) & PYTHON_FLAG_STR;
}

static bool text_is(struct text text, const char *word)
{
    return text.bytes && text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

const void *python_dict_find(const struct python_offsets *offsets, const void *dict, const char *word)
{
    size_t length = strlen(word);
    const char *keys = pointer_at(dict, PYTHON_DICT_KEYS), *values = pointer_at(dict, PYTHON_DICT_VALUES);
    if (!keys)
        return NULL;
    uint64_t count = word_at(keys, PYTHON_KEYS_COUNT);
    if (values && offsets->minor >= 13) {
        if (count > byte_at(values, PYTHON_VALUES_CAPACITY))
            count = byte_at(values, PYTHON_VALUES_CAPACITY);
        values += PYTHON_VALUES_FIRST;
    }
    const char *entries = keys + PYTHON_KEYS_INDICES + ((size_t)1 << byte_at(keys, PYTHON_KEYS_INDEX_BYTES));
    bool general = byte_at(keys, PYTHON_KEYS_KIND) == 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *entry = entries + i * (general ? 24 : 16) + (general ? 8 : 0);
        const void *key = pointer_at(entry, 0);
        const void *value = values ? pointer_at(values, (ptrdiff_t)(i * sizeof(void *))) : pointer_at(entry, 8);
        if (key && value && is_str(key) && word_at(key, offsets->string.length) == length &&
            text_is(text_read(offsets, key, NULL, length), word))
            return value;
    }
    return NULL;
}

uint32_t python_type_flags(const void *type)
{
    uint64_t flags = type_flags(type);
    bool finalizer = pointer_at(type, PYTHON_TYPE_FINALIZE) || pointer_at(type, PYTHON_TYPE_DEL);
    return (flags & PYTHON_FLAG_GC ? HSK_TYPE_GC : 0) | (flags & PYTHON_FLAG_HEAP ? HSK_TYPE_HEAP : 0) |
           (finalizer ? HSK_TYPE_FINALIZER : 0);
}

static void read_class(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                       const void *type, struct python_type_name *result)
{
    const void *name = pointer_at(type, objects->type.qualified_name);
    if (is_str(name))
        result->name = text_read(offsets, name, result->name_buffer, sizeof result->name_buffer);
    const void *dict = pointer_at(type, PYTHON_TYPE_DICT);
    const void *module = dict ? python_dict_find(offsets, dict, "__module__") : NULL;
    if (is_str(module))
        result->module = text_read(offsets, module, result->module_buffer, sizeof result->module_buffer);
}

static void read_c_name(const char *name, struct python_type_name *result)
{
    const char *dot = name ? strrchr(name, '.') : NULL;
    if (dot)
        result->module = (struct text){name, (size_t)(dot - name)};
    if (name)
        result->name = (struct text){dot ? dot + 1 : name, strlen(dot ? dot + 1 : name)};
}

static struct text cut(struct text text)
{
    return (struct text){text.bytes, text.length < PYTHON_NAME_BYTES ? text.length : PYTHON_NAME_BYTES};
}

void python_type_name_read(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                           const void *type, struct python_type_name *result)
{
    static const struct text nothing = {"", 0};
    result->module = nothing;
    result->name = nothing;
    if (word_at(type, PYTHON_TYPE_FLAGS) & PYTHON_FLAG_HEAP)
        read_class(offsets, objects, type, result);
    if (!result->name.length)
        read_c_name(pointer_at(type, PYTHON_TYPE_NAME), result);
    if (!result->module.bytes || text_is(result->module, "builtins"))
        result->module = nothing;
    if (!result->name.bytes)
        result->name = (struct text){"?", 1};
    result->module = cut(result->module);
    result->name = cut(result->name);
}
