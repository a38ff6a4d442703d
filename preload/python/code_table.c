/* code_table.c - see code_table.h */
#include "code_table.h"

#include <stdbool.h>

#include "../arena.h"
#include "../emit.h"
#include "number_table.h"
#include "text.h"

_Atomic uint32_t code_table_epoch = 1;
struct code_table_mark code_table_mark;

#define NAME_BYTES 8192u /* longer ones are cut */

static const struct python_offsets *layout;
static struct number_table codes;

void code_table_start(const struct python_offsets *offsets, const void *code_type)
{
    layout = offsets;
    code_table_mark.offset = offsets->object.type;
    code_table_mark.type = code_type;
}

static struct text read_name(const char *string, char *buffer)
{
    struct text text = text_read(layout, string, buffer, NAME_BYTES);
    return text.bytes ? text : (struct text){"?", 1};
}

static void describe(struct thread *self, const char *code, uint32_t number)
{
    const char *file_name = *(const char *const *)(code + layout->code.file_name);
    const char *function_name = *(const char *const *)(code + layout->code.name);
    const char *line_table = *(const char *const *)(code + layout->code.line_table);
    char *buffer =
        text_is_ascii(layout, file_name) && text_is_ascii(layout, function_name) ? NULL : arena_map(2 * NAME_BYTES);
    struct text file = read_name(file_name, buffer);
    struct text function = read_name(function_name, buffer ? buffer + NAME_BYTES : NULL);
    size_t line_bytes = line_table ? *(const size_t *)(line_table + layout->bytes.size) : 0;
    uint16_t first_traceable = layout->code.first_traceable;

    struct hs_message_code body = {
        .code = number,
        .first_line = *(const uint32_t *)(code + layout->code.first_line),
        .instructions = first_traceable == PYTHON_NO_FIELD ? 0 : 2 * *(const uint32_t *)(code + first_traceable),
        .file_length = (uint32_t)file.length,
        .function_length = (uint32_t)function.length,
        .line_table_length = (uint32_t)line_bytes,
        .python_minor = layout->minor,
    };
    struct emit_part parts[] = {
        {&body, sizeof body},
        {file.bytes, file.length},
        {function.bytes, function.length},
        {line_table ? line_table + layout->bytes.bytes : NULL, line_bytes},
    };
    size_t names = sizeof body + file.length + function.length;
    if (line_bytes > HS_MESSAGE_MAX - names || !emit_message(self, HS_MESSAGE_CODE, parts, 4)) {
        body.line_table_length = 0;
        body.truncated = 1;
        emit_message(self, HS_MESSAGE_CODE, parts, 3);
    }
    if (buffer)
        arena_unmap(buffer, 2 * NAME_BYTES);
}

uint32_t code_table_number(struct thread *self, const void *code)
{
    number_value *entry = number_table_entry(&codes, code);
    if (!entry)
        return 0;
    uint64_t number = atomic_load_explicit(entry, memory_order_acquire);
    if (HS_LIKELY(number))
        return (uint32_t)number;
    uint32_t fresh = number_table_next(&codes);
    describe(self, code, fresh);
    return atomic_compare_exchange_strong(entry, &number, fresh) ? fresh : (uint32_t)number;
}

void code_table_forget(const void *code)
{
    if (number_table_forget(&codes, code))
        atomic_fetch_add(&code_table_epoch, 1);
}

void code_table_forget_all(void)
{
    number_table_forget_all(&codes);
    atomic_fetch_add(&code_table_epoch, 1);
}

void code_table_after_fork(void)
{
    number_table_after_fork(&codes);
}
