/* type_names.c - see type_names.h */
#include "type_names.h"

#include <string.h>

#include "object_read.h"

#define UTF8_LONGEST 4

static size_t put_utf8(char *to, uint32_t character)
{
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character >= 0xd800 && character < 0xe000)
        character = 0xfffd; /* a lone surrogate has no bytes of its own */
    if (character < 0x800) {
        to[0] = (char)(0xc0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (char)(0xe0 | character >> 12);
        to[1] = (char)(0x80 | (character >> 6 & 0x3f));
        to[2] = (char)(0x80 | (character & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | (character >> 18 & 7));
    to[1] = (char)(0x80 | (character >> 12 & 0x3f));
    to[2] = (char)(0x80 | (character >> 6 & 0x3f));
    to[3] = (char)(0x80 | (character & 0x3f));
    return 4;
}

struct python_text python_text_read(const struct python_offsets *offsets, const void *string, char *buffer, size_t size)
{
    struct python_text text = {NULL, 0};
    size_t length = word_at(string, offsets->string.length);
    uint32_t state = (uint32_t)word_at(string, offsets->string.state) >> offsets->string.kind_shift;
    unsigned kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact)
        return text;
    if (ascii)
        return (struct python_text){(const char *)string + offsets->string.ascii_data, length};
    const char *data = (const char *)string + offsets->string.compact_data;
    for (size_t i = 0; i < length && text.length + UTF8_LONGEST <= size; i++) {
        uint32_t character = kind == 1   ? ((const uint8_t *)data)[i]
                             : kind == 2 ? ((const uint16_t *)data)[i]
                                         : ((const uint32_t *)data)[i];
        text.length += put_utf8(buffer + text.length, character);
    }
    text.bytes = buffer;
    return text;
}

static bool is_str(const void *object)
{
    return object && word_at(pointer_at(object, PYTHON_OBJECT_TYPE), PYTHON_TYPE_FLAGS) & PYTHON_FLAG_STR;
}

static bool text_is(struct python_text text, const char *word)
{
    return text.bytes && text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

const void *python_dict_find(const struct python_offsets *offsets, const void *dict, const char *word)
{
    size_t length = strlen(word);
    const char *keys = pointer_at(dict, PYTHON_DICT_KEYS);
    if (pointer_at(dict, PYTHON_DICT_VALUES) || !keys)
        return NULL;
    uint64_t count = word_at(keys, PYTHON_KEYS_COUNT);
    const char *entries = keys + PYTHON_KEYS_INDICES + ((size_t)1 << ((const uint8_t *)keys)[PYTHON_KEYS_INDEX_BYTES]);
    bool general = ((const uint8_t *)keys)[PYTHON_KEYS_KIND] == 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *entry = entries + i * (general ? 24 : 16) + (general ? 8 : 0);
        const void *key = pointer_at(entry, 0), *value = pointer_at(entry, 8);
        if (key && value && is_str(key) && word_at(key, offsets->string.length) == length &&
            text_is(python_text_read(offsets, key, NULL, 0), word))
            return value;
    }
    return NULL;
}

static void read_class(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                       const void *type, struct python_type_name *result)
{
    const void *name = pointer_at(type, objects->type.qualified_name);
    if (is_str(name))
        result->name = python_text_read(offsets, name, result->name_buffer, sizeof result->name_buffer);
    const void *dict = pointer_at(type, PYTHON_TYPE_DICT);
    const void *module = dict ? python_dict_find(offsets, dict, "__module__") : NULL;
    if (is_str(module))
        result->module = python_text_read(offsets, module, result->module_buffer, sizeof result->module_buffer);
}

void python_type_name_read(const struct python_offsets *offsets, const struct python_object_offsets *objects,
                           const void *type, struct python_type_name *result)
{
    static const struct python_text nothing = {"", 0};
    result->module = nothing;
    result->name = nothing;
    if (word_at(type, PYTHON_TYPE_FLAGS) & PYTHON_FLAG_HEAP)
        read_class(offsets, objects, type, result);
    if (!result->name.length) {
        const char *name = pointer_at(type, PYTHON_TYPE_NAME);
        const char *dot = name ? strrchr(name, '.') : NULL;
        if (dot)
            result->module = (struct python_text){name, (size_t)(dot - name)};
        if (name)
            result->name = (struct python_text){dot ? dot + 1 : name, strlen(dot ? dot + 1 : name)};
    }
    if (!result->module.bytes || text_is(result->module, "builtins"))
        result->module = nothing;
    if (!result->name.bytes)
        result->name = (struct python_text){"?", 1};
}
