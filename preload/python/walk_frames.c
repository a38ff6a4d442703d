/*
 * walk_frames.c - what a frame holds, and where it stands.
 *
 *   struct _PyInterpreterFrame | locals, cells and free variables | the evaluation stack
 *                              ^ frame.locals                     ^ code.local_count
 *
 * How much of the evaluation stack is in use is known at every call (3.14+), or while the frame is not the one that runs:
 * it is suspended, or waits for a Python function that it called (up to 3.13). From 3.14 on slots are tagged: 1 is a borrowed reference, 3 a number.
 */
#include "walk_parts.h"

#define SLOT_TAGS 3u
#define SLOT_BORROWED 1u
#define STACK_MAX (1 << 16)

/* Kinds of locals, one byte each in co_localspluskinds. */
#define KIND_FREE 0x80

const void *walk_frame_code(const void *frame)
{
    uintptr_t code = word_at(frame, walk.offsets->frame.code) & ~(uintptr_t)walk.offsets->code_tag_mask;
    const void *object = (const void *)code;
    return object && object_type(object) == python_capi.PyCode_Type ? object : NULL;
}

/* A slot or field of a frame that may be tagged. */
static void tell_slot(enum hsk_edge kind, uint32_t name, uint64_t word, bool counted)
{
    bool tagged = walk.objects->minor >= 14;
    if (tagged && (word & SLOT_TAGS) == SLOT_BORROWED)
        walk_edge(HSK_EDGE_BORROWED, name, (const void *)(uintptr_t)(word & ~(uint64_t)SLOT_TAGS), false);
    else if (!tagged || !(word & SLOT_TAGS))
        walk_edge(kind, name, (const void *)(uintptr_t)word, counted);
}

static void tell_field(const void *frame, uint16_t offset, const char *name, bool counted)
{
    tell_slot(HSK_EDGE_SPECIAL, walk_text(name), word_at(frame, offset), counted);
}

static int64_t slots_in_use(const void *frame, int64_t locals)
{
    const char *first = (const char *)frame + walk.objects->frame.locals;
    if (walk.objects->frame.stack_pointer != PYTHON_NO_FIELD) {
        const char *top = pointer_at(frame, walk.objects->frame.stack_pointer);
        int64_t used = top >= first ? (top - first) / (int64_t)sizeof(void *) : 0;
        return used >= locals && used < STACK_MAX ? used : locals;
    }
    int32_t top = int_at(frame, walk.objects->frame.stack_top);
    return top >= locals && top < STACK_MAX ? top : locals; /* -1: not known now */
}

static void tell_local(const void *code, int64_t index, uint64_t word, bool counted)
{
    const void *names = pointer_at(code, walk.objects->code.local_names);
    const void *kinds = pointer_at(code, walk.objects->code.local_kinds);
    const void *name = NULL;
    if (names && (uint64_t)index < object_item_count(names))
        name = pointer_at(names, walk.objects->tuple.items + index * (ptrdiff_t)sizeof(void *));
    bool free_variable = kinds && (uint64_t)index < object_item_count(kinds) &&
                         byte_at(kinds, walk.offsets->bytes.bytes + index) & KIND_FREE;
    uint32_t text = name && walk_is_str(name) ? walk_name(name) : 0;
    tell_slot(!text ? HSK_EDGE_REFERENCE : free_variable ? HSK_EDGE_CELL : HSK_EDGE_LOCAL, text, word, counted);
}

void walk_frame_edges(const void *frame, bool counted)
{
    const struct python_object_offsets *objects = walk.objects;
    const void *code = walk_frame_code(frame);
    if (!code)
        return;
    tell_field(frame, objects->frame.function, "function", counted);
    tell_field(frame, walk.offsets->frame.code, "f_code", counted);
    tell_field(frame, objects->frame.f_locals, "f_locals", counted);
    tell_field(frame, objects->frame.frame_object, "frame object", counted);
    /* globals, then builtins, next to the function */
    walk_edge(HSK_EDGE_BORROWED, walk_text("f_globals"), pointer_at(frame, objects->frame.function + 8), false);
    walk_edge(HSK_EDGE_BORROWED, walk_text("f_builtins"), pointer_at(frame, objects->frame.function + 16), false);
    int64_t locals = int_at(code, objects->code.local_count);
    if (locals < 0 || locals >= STACK_MAX)
        return;
    int64_t used = slots_in_use(frame, locals);
    for (int64_t i = 0; i < used; i++) {
        uint64_t word = word_at(frame, objects->frame.locals + i * (ptrdiff_t)sizeof(void *));
        if (!word)
            continue;
        if (i < locals)
            tell_local(code, i, word, counted);
        else
            tell_slot(HSK_EDGE_REFERENCE, 0, word, counted);
    }
}

void walk_frame_stack_words(const void *frame)
{
    const void *code = walk_frame_code(frame);
    if (!code || walk.objects->frame.stack_pointer != PYTHON_NO_FIELD)
        return;
    int64_t locals = int_at(code, walk.objects->code.local_count), stack = int_at(code, walk.objects->code.stack_size);
    if (locals < 0 || stack < 0 || locals >= STACK_MAX || stack >= STACK_MAX)
        return;
    int64_t from = slots_in_use(frame, locals);
    for (int64_t i = from; i < locals + stack; i++) {
        ptrdiff_t offset = walk.objects->frame.locals + i * (ptrdiff_t)sizeof(void *);
        uint32_t node = nodes_known_object(word_at(frame, offset));
        if (node != NODE_NONE)
            graph_edge(HSK_EDGE_POINTER, (uint64_t)offset, node);
    }
}

/* ---- lines: co_linetable of 3.11+, entries of a code byte and what it says (InternalDocs/code_objects.md) */

struct reader {
    const uint8_t *at, *end;
};

static uint32_t read_varint(struct reader *reader)
{
    uint32_t value = 0;
    for (unsigned shift = 0; reader->at < reader->end && shift < 32; shift += 6) {
        uint8_t byte = *reader->at++;
        value |= (uint32_t)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value;
}

static int32_t read_signed(struct reader *reader)
{
    uint32_t value = read_varint(reader);
    return value & 1 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
}

enum { LINE_NONE = 15, LINE_LONG = 14, LINE_NO_COLUMNS = 13, LINE_ONE_0 = 10 };

/* The entry's effect on the line; *none: its instructions have no line. */
static int32_t line_delta(struct reader *reader, unsigned kind, bool *none)
{
    *none = kind == LINE_NONE;
    if (kind == LINE_LONG) {
        int32_t delta = read_signed(reader);
        for (unsigned i = 0; i < 3; i++) /* end line, column, end column */
            read_varint(reader);
        return delta;
    }
    if (kind == LINE_NO_COLUMNS)
        return read_signed(reader);
    if (kind == LINE_NONE)
        return 0;
    reader->at += kind >= LINE_ONE_0 ? 2 : 1;
    return kind >= LINE_ONE_0 ? (int32_t)(kind - LINE_ONE_0) : 0;
}

static uint32_t find_line(const void *code, int64_t position)
{
    const void *table = pointer_at(code, walk.offsets->code.line_table);
    int32_t line = int_at(code, walk.offsets->code.first_line);
    if (!table)
        return (uint32_t)line;
    const uint8_t *bytes = (const uint8_t *)table + walk.offsets->bytes.bytes;
    struct reader reader = {bytes, bytes + object_item_count(table)};
    int64_t reached = 0;
    uint32_t last = (uint32_t)line;
    while (reader.at < reader.end) {
        uint8_t head = *reader.at++;
        bool none;
        line += line_delta(&reader, head >> 3 & 15, &none);
        if (!none)
            last = (uint32_t)line;
        reached += 2 * ((head & 7) + 1);
        if (position < reached)
            return last;
    }
    return (uint32_t)int_at(code, walk.offsets->code.first_line);
}

uint32_t walk_frame_line(const void *frame, const void *code)
{
    int64_t position = (int64_t)word_at(frame, walk.offsets->frame.instruction) -
                       (int64_t)(uintptr_t)((const char *)code + walk.offsets->code.bytecode);
    return position < 0 ? (uint32_t)int_at(code, walk.offsets->code.first_line) : find_line(code, position);
}
