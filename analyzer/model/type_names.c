/* type_names.c - see type_names.h */
#include "model/type_names.h"

#include <errno.h>

#include "base/buf.h"

void type_names_free(struct type_names *names)
{
    intern_free(&names->names);
    map64_free(&names->by_type);
    *names = TYPE_NAMES_INIT;
}

/* False when memory runs out. */
static bool add(struct type_names *names, uint64_t type, const char *module, size_t module_length, const char *name,
                size_t name_length)
{
    struct buf text = BUF_INIT;
    if (module_length > 0) {
        buf_append(&text, module, module_length);
        buf_append_byte(&text, '.');
    }
    buf_append(&text, name, name_length);
    uint32_t number =
        text.failed ? 0 : intern_bytes(&names->names, text.length ? text.data : (uint8_t *)"", text.length);
    buf_free(&text);
    return number != 0 && map64_put(&names->by_type, type, number);
}

/* False when memory runs out. */
static bool read_chunk(struct type_names *names, struct trace_reader *reader, size_t i, const uint8_t *raw,
                       size_t length)
{
    struct cursor cursor = {.at = raw, .end = raw + length};
    while (cursor.at < cursor.end) {
        size_t module_length, name_length;
        uint64_t type = cursor_varint(&cursor);
        cursor_varint(&cursor); /* flags */
        const char *module = cursor_string(&cursor, &module_length);
        const char *name = cursor_string(&cursor, &name_length);
        if (cursor.failed || module_length > HSK_MAX_STRING || name_length > HSK_MAX_STRING) {
            trace_reader_damaged(reader, i, "its types cannot be read");
            return true;
        }
        if (!add(names, type, module, module_length, name, name_length))
            return false;
    }
    return true;
}

int type_names_load(struct type_names *names, struct trace_reader *reader, struct error *error)
{
    *names = TYPE_NAMES_INIT;
    for (size_t i = 0; i < reader->chunk_count; i++) {
        const uint8_t *raw;
        size_t length;
        if (reader->chunks[i].header.type != HSK_CHUNK_TYPES)
            continue;
        names->any = true;
        if (trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        if (!read_chunk(names, reader, i, raw, length)) {
            type_names_free(names);
            return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
        }
    }
    return 0;
}

uint32_t type_names_find(const struct type_names *names, uint32_t type)
{
    uint32_t name = 0;
    map64_get(&names->by_type, type, &name);
    return name;
}

const char *type_names_text(const struct type_names *names, uint32_t name)
{
    return name ? intern_get(&names->names, name, NULL) : "(unknown type)";
}
