/* code_list.c - see code_list.h */
#include "record/code_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "heapsake/trace_format.h"

static void unref(struct code_entry *entry)
{
    if (atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel) == 1)
        free(entry);
}

void code_list_free(struct code_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        unref(list->entries[i]);
    free(list->entries);
    *list = CODE_LIST_INIT;
}

int code_list_add(struct code_list *list, const uint8_t *message, size_t length)
{
    struct hs_message_code code;
    if (length < sizeof code)
        return -EINVAL;
    memcpy(&code, message, sizeof code);
    uint64_t strings = (uint64_t)code.file_length + code.function_length + code.line_table_length;
    if (strings > length - sizeof code)
        return -EINVAL;
    if (!grow((void **)&list->entries, list->count, &list->capacity, sizeof *list->entries))
        return -ENOMEM;
    struct code_entry *entry = malloc(sizeof *entry + strings);
    if (!entry)
        return -ENOMEM;
    atomic_init(&entry->references, 1);
    entry->code = code;
    memcpy(entry->bytes, message + sizeof code, strings);
    list->entries[list->count++] = entry;
    return 0;
}

int code_list_copy(struct code_list *list, const struct code_list *from)
{
    *list = CODE_LIST_INIT;
    if (from->count == 0)
        return 0;
    list->entries = calloc(from->count, sizeof *list->entries);
    if (!list->entries)
        return -ENOMEM;
    memcpy(list->entries, from->entries, from->count * sizeof *list->entries);
    list->count = list->capacity = from->count;
    for (size_t i = 0; i < list->count; i++)
        atomic_fetch_add_explicit(&list->entries[i]->references, 1, memory_order_relaxed);
    return 0;
}

void code_list_write(const struct code_list *list, size_t first, struct buf *payload)
{
    for (size_t i = first; i < list->count; i++) {
        const struct code_entry *entry = list->entries[i];
        const struct hs_message_code *code = &entry->code;
        buf_append_varint(payload, code->code);
        buf_append_varint(payload, code->first_line);
        buf_append_varint(payload, code->instructions);
        buf_append_varint(payload, code->python_minor);
        buf_append_varint(payload, code->truncated ? 1 : 0);
        const uint8_t *at = entry->bytes;
        buf_append_string(payload, at, code->file_length);
        at += code->file_length;
        buf_append_string(payload, at, code->function_length);
        at += code->function_length;
        buf_append_string(payload, at, code->line_table_length);
    }
}

const struct code_entry *code_list_find(const struct code_list *list, uint32_t code)
{
    for (size_t i = list->count; i-- > 0;)
        if (list->entries[i]->code.code == code)
            return list->entries[i];
    return NULL;
}
