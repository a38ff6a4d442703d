/*
 * code_table.c - see code_table.h
 *
 * Open addressing. A key, once written, stays: forgetting a code object sets its
 * number to 0, and the next code object at that address takes the entry over.
 * The table is copied to one of twice the size when half of its keys are used; the old one's pages are given
 * back but stay mapped, so that a thread that still reads there finds an empty table.
 */
#include "code_table.h"

#include <stdbool.h>
#include <string.h>

#include "../arena.h"
#include "../emit.h"

#define FIRST_ENTRIES 1024u

/* Longer names are cut: what they tell is in their beginning. */
#define NAME_MAX_BYTES 8192u
#define UTF8_LONGEST 6u /* \udcXX */

struct entry {
    _Atomic uintptr_t code;
    _Atomic uint32_t number; /* 0: none (any more) */
    uint32_t reserved;
};

struct table {
    size_t mask;
    _Atomic size_t keys;
    struct entry *entries; /* pages of their own: they can be discarded */
};

_Atomic uint32_t code_table_epoch = 1;
struct code_table_mark code_table_mark;

static const struct python_offsets *layout;
static _Atomic(struct table *) current_table;
static _Atomic uint32_t growing;
static _Atomic uint32_t last_number;

void code_table_start(const struct python_offsets *offsets, const void *code_type)
{
    layout = offsets;
    code_table_mark.offset = offsets->object.type;
    code_table_mark.type = code_type;
}

static size_t slot_of(const struct table *table, uintptr_t code)
{
    return (size_t)((code >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & table->mask;
}

/* The entry of a code object; a free one is made its own when `add`. NULL: not there, or no room. */
static struct entry *find(struct table *table, uintptr_t code, bool add)
{
    for (size_t at = slot_of(table, code), probes = 0; probes <= table->mask; at = (at + 1) & table->mask, probes++) {
        struct entry *entry = &table->entries[at];
        uintptr_t key = atomic_load_explicit(&entry->code, memory_order_acquire);
        if (key == code)
            return entry;
        if (key)
            continue;
        if (!add)
            return NULL;
        if (atomic_compare_exchange_strong(&entry->code, &key, code)) {
            atomic_fetch_add_explicit(&table->keys, 1, memory_order_relaxed);
            return entry;
        }
        if (key == code)
            return entry;
    }
    return NULL;
}

static struct table *make_table(size_t entries)
{
    struct table *table = arena_alloc(sizeof *table);
    if (!table)
        return NULL;
    table->entries = arena_map(entries * sizeof(struct entry));
    table->mask = entries - 1;
    return table->entries ? table : NULL;
}

/* The table to use from now on: `old` when another thread is at it or memory is short. */
static struct table *grow(struct table *old)
{
    if (atomic_exchange_explicit(&growing, 1, memory_order_acquire))
        return old;
    struct table *now = atomic_load(&current_table);
    if (now != old) {
        atomic_store_explicit(&growing, 0, memory_order_release);
        return now;
    }
    size_t live = 0, old_entries = old ? old->mask + 1 : 0;
    for (size_t i = 0; i < old_entries; i++)
        live += atomic_load(&old->entries[i].number) != 0;
    size_t entries = FIRST_ENTRIES;
    while (entries < live * 4)
        entries *= 2;
    struct table *fresh = make_table(entries);
    if (!fresh) {
        atomic_store_explicit(&growing, 0, memory_order_release);
        return old;
    }
    for (size_t i = 0; i < old_entries; i++) {
        uint32_t number = atomic_load(&old->entries[i].number);
        struct entry *copy = number ? find(fresh, atomic_load(&old->entries[i].code), true) : NULL;
        if (copy)
            atomic_store(&copy->number, number);
    }
    atomic_store(&current_table, fresh);
    /* A number taken away meanwhile is gone from the old table alone. */
    for (size_t i = 0; i <= fresh->mask && old; i++) {
        struct entry *copy = &fresh->entries[i];
        uintptr_t code = atomic_load(&copy->code);
        uint32_t number = atomic_load(&copy->number);
        struct entry *original = code && number ? find(old, code, false) : NULL;
        if (original && atomic_load(&original->number) != number)
            atomic_compare_exchange_strong(&copy->number, &number, 0);
    }
    if (old)
        arena_discard(old->entries, old_entries * sizeof(struct entry));
    atomic_store_explicit(&growing, 0, memory_order_release);
    return fresh;
}

struct text {
    const char *bytes;
    size_t length;
};

/* Encodes one character at `to`, which has room for UTF8_LONGEST bytes; returns how many it took. */
static size_t put_utf8(char *to, uint32_t character)
{
    static const char hex[] = "0123456789abcdef";
    if (character < 0x80) {
        to[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (char)(0xc0 | character >> 6);
        to[1] = (char)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character >= 0xd800 && character < 0xe000) {
        /* a lone surrogate, as os.fsdecode makes it: written out, for UTF-8 has no bytes for it */
        to[0] = '\\';
        to[1] = 'u';
        for (unsigned i = 0; i < 4; i++)
            to[2 + i] = hex[character >> (12 - 4 * i) & 0xf];
        return 6;
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

/* A str as UTF-8: its own bytes when they are that already, else converted into `buffer` (NAME_MAX_BYTES; may be NULL).
 */
static struct text read_text(const char *string, char *buffer)
{
    static const struct text unknown = {"?", 1};
    if (!string)
        return unknown;
    size_t length = *(const size_t *)(string + layout->string.length);
    uint32_t state = *(const uint32_t *)(string + layout->string.state) >> layout->string.kind_shift;
    unsigned kind = state & 7;
    bool compact = state >> 3 & 1, ascii = state >> 4 & 1;
    if (!compact)
        return unknown;
    if (ascii)
        return (struct text){string + layout->string.ascii_data, length < NAME_MAX_BYTES ? length : NAME_MAX_BYTES};
    if (!buffer)
        return unknown;
    const char *data = string + layout->string.compact_data;
    size_t used = 0;
    for (size_t i = 0; i < length && used + UTF8_LONGEST <= NAME_MAX_BYTES; i++) {
        uint32_t character = kind == 1   ? ((const uint8_t *)data)[i]
                             : kind == 2 ? ((const uint16_t *)data)[i]
                                         : ((const uint32_t *)data)[i];
        used += put_utf8(buffer + used, character);
    }
    return (struct text){buffer, used};
}

static bool is_ascii(const char *string)
{
    return !string || *(const uint32_t *)(string + layout->string.state) >> (layout->string.kind_shift + 4) & 1;
}

static void describe(struct thread *self, const char *code, uint32_t number)
{
    const char *file_name = *(const char *const *)(code + layout->code.file_name);
    const char *function_name = *(const char *const *)(code + layout->code.name);
    const char *line_table = *(const char *const *)(code + layout->code.line_table);
    char *buffer = is_ascii(file_name) && is_ascii(function_name) ? NULL : arena_map(2 * NAME_MAX_BYTES);
    struct text file = read_text(file_name, buffer);
    struct text function = read_text(function_name, buffer ? buffer + NAME_MAX_BYTES : NULL);
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
        arena_unmap(buffer, 2 * NAME_MAX_BYTES);
}

uint32_t code_table_number(struct thread *self, const void *code)
{
    struct table *table = atomic_load_explicit(&current_table, memory_order_acquire);
    if (!table || atomic_load_explicit(&table->keys, memory_order_relaxed) > table->mask / 2) {
        table = grow(table);
        if (!table)
            return 0;
    }
    struct entry *entry = find(table, (uintptr_t)code, true);
    if (!entry)
        return 0;
    uint32_t number = atomic_load_explicit(&entry->number, memory_order_acquire);
    if (HS_LIKELY(number))
        return number;
    /* Two threads that meet it at once may both describe it; one of the numbers stays. */
    uint32_t fresh = atomic_fetch_add(&last_number, 1) + 1;
    describe(self, code, fresh);
    return atomic_compare_exchange_strong(&entry->number, &number, fresh) ? fresh : number;
}

void code_table_forget(const void *code)
{
    struct table *table = atomic_load(&current_table), *seen;
    do {
        seen = table;
        struct entry *entry = table ? find(table, (uintptr_t)code, false) : NULL;
        if (entry && atomic_exchange(&entry->number, 0))
            atomic_fetch_add(&code_table_epoch, 1);
        table = atomic_load(&current_table);
    } while (table != seen);
}

void code_table_forget_all(void)
{
    struct table *table = atomic_load(&current_table), *seen;
    do {
        seen = table;
        for (size_t i = 0; table && i <= table->mask; i++)
            atomic_store(&table->entries[i].number, 0);
        table = atomic_load(&current_table);
    } while (table != seen);
    atomic_fetch_add(&code_table_epoch, 1);
}

void code_table_after_fork(void)
{
    /* Another thread may have been at it when the process was copied; what it had not published is lost with it. */
    atomic_store(&growing, 0);
}
