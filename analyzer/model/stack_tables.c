/* stack_tables.c - see stack_tables.h */
#include "model/stack_tables.h"

#include <stdlib.h>

#include "base/grow.h"
#include "trace/chunk_records.h"
#include "trace/stack_records.h"

static bool have_room(struct stack_tables *t, void **array, size_t count, size_t *capacity, size_t size)
{
    t->failed |= !grow(array, count, capacity, size);
    return !t->failed;
}

/* 0 for the empty string. */
static uint32_t add_string(struct stack_tables *t, const char *text, size_t length)
{
    uint32_t number = length ? intern_bytes(&t->strings, text, length) : 0;
    t->failed |= length && number == 0;
    return number;
}

static uint32_t take_string(struct stack_tables *t, struct cursor *cursor)
{
    size_t length;
    const char *text = cursor_string(cursor, &length);
    cursor->failed |= length > HSK_MAX_STRING;
    return cursor->failed ? 0 : add_string(t, text, length);
}

/* FNV-1a; 0 for nothing. */
static uint64_t digest(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return length ? hash | 1 : 0;
}

struct stack_node *stack_tables_node(const struct stack_tables *t, uint32_t number)
{
    struct stack_node *page = number <= HSK_MAX_NODE ? t->nodes[number >> STACK_NODE_PAGE_BITS] : NULL;
    struct stack_node *node = page ? &page[number & ((1u << STACK_NODE_PAGE_BITS) - 1)] : NULL;
    return node && node->known ? node : NULL;
}

static enum frame_language language_of(unsigned kind)
{
    return kind == HSK_NODE_PYTHON                              ? FRAME_PYTHON
           : kind == HSK_NODE_NATIVE || kind == HSK_NODE_SOURCE ? FRAME_NATIVE
                                                                : FRAME_MISSING;
}

/* ---- loading: a chunk_reader for each type, with the tables as its context ---- */

static bool load_nodes(void *context, struct cursor *cursor)
{
    struct stack_tables *t = context;
    struct node_records records = node_records_of(cursor);
    struct node_record record;
    while (node_records_next(&records, &record)) {
        struct stack_node **page = &t->nodes[record.number >> STACK_NODE_PAGE_BITS];
        if (!*page && !(*page = calloc(1u << STACK_NODE_PAGE_BITS, sizeof **page))) {
            t->failed = true;
            return false;
        }
        (*page)[record.number & ((1u << STACK_NODE_PAGE_BITS) - 1)] =
            (struct stack_node){.frame = record.frame, .parent = record.parent, .kind = record.kind, .known = true};
        t->languages |= 1u << language_of(record.kind);
    }
    return true;
}

static bool load_codes(void *context, struct cursor *cursor)
{
    struct stack_tables *t = context;
    while (cursor->at < cursor->end && !t->failed) {
        struct known_code code = {0};
        uint64_t number = cursor_varint(cursor);
        code.first_line = (uint32_t)cursor_varint(cursor);
        code.first_instruction = (uint32_t)cursor_varint(cursor);
        code.minor = (uint32_t)cursor_varint(cursor);
        cursor_varint(cursor); /* flags: an empty line table says the same */
        code.file = take_string(t, cursor);
        code.function = take_string(t, cursor);
        code.line_table = take_string(t, cursor);
        if (cursor->failed)
            break;
        size_t table_length;
        const char *table = intern_get(&t->strings, code.line_table, &table_length);
        code.digest = digest(table, table_length);
        if (!have_room(t, (void **)&t->codes, t->code_count, &t->code_capacity, sizeof code))
            break;
        t->codes[t->code_count] = code;
        t->failed |= !map64_put(&t->code_index, number, t->code_count++);
    }
    return !t->failed;
}

static bool load_modules(void *context, struct cursor *cursor)
{
    struct stack_tables *t = context;
    struct module_record record;
    while (!t->failed && module_records_next(cursor, &record)) {
        struct known_module module = {
            .index = record.index,
            .start = record.start,
            .end = record.end,
            .bias = record.bias,
            .epoch = record.epoch,
            .path = add_string(t, record.path, record.path_length),
            .digest = digest(record.build_id, record.build_id_length),
            .build_id = add_string(t, record.build_id, record.build_id_length),
            .is_executable = record.flags & HSK_MODULE_EXECUTABLE,
        };
        if (!have_room(t, (void **)&t->modules, t->module_count, &t->module_capacity, sizeof module))
            break;
        t->modules[t->module_count] = module;
        t->failed |= !map64_put(&t->module_index, module.index, t->module_count++);
    }
    return !t->failed;
}

static bool load_symbols(void *context, struct cursor *cursor)
{
    struct stack_tables *t = context;
    uint64_t string_count = symbol_strings_count(cursor);
    uint32_t *strings = calloc(string_count + 1, sizeof *strings); /* of the chunk, as numbers of `strings` */
    if (!strings) {
        t->failed = true;
        return false;
    }
    for (uint64_t i = 1; i <= string_count; i++)
        strings[i] = take_string(t, cursor);
    struct symbol_record record;
    while (!t->failed && symbol_records_next(cursor, &record)) {
        struct known_symbol symbol = {
            .module = record.module, .offset = record.offset, .first_function = t->function_count};
        struct symbol_function_record function;
        for (uint64_t i = 0; i < record.functions && symbol_functions_take(cursor, string_count, &function); i++) {
            if (!have_room(t, (void **)&t->functions, t->function_count, &t->function_capacity, sizeof *t->functions))
                break;
            t->functions[t->function_count++] = (struct known_function){
                .function = strings[function.function], .file = strings[function.file], .line = function.line};
            symbol.function_count++;
        }
        if (cursor->failed || !have_room(t, (void **)&t->symbols, t->symbol_count, &t->symbol_capacity, sizeof symbol))
            break;
        t->symbols[t->symbol_count] = symbol;
        t->failed |= !map64_put(&t->symbol_index, record.frame, t->symbol_count++);
    }
    free(strings);
    return !t->failed;
}

static bool load_places(void *context, struct cursor *cursor)
{
    struct stack_tables *t = context;
    while (cursor->at < cursor->end && !t->failed) {
        uint64_t number = cursor_varint(cursor);
        struct known_place place = {.line = (uint32_t)cursor_varint(cursor)};
        place.file = take_string(t, cursor);
        place.function = take_string(t, cursor);
        place.module = take_string(t, cursor);
        if (cursor->failed)
            break;
        if (!have_room(t, (void **)&t->places, t->place_count, &t->place_capacity, sizeof place))
            break;
        t->places[t->place_count] = place;
        t->failed |= !map64_put(&t->place_index, number, t->place_count++);
    }
    return !t->failed;
}

void stack_tables_load(struct stack_tables *t, struct trace_reader *reader)
{
    static chunk_reader *const readers[] = {
        [HSK_CHUNK_NODES] = load_nodes,     [HSK_CHUNK_CODES] = load_codes,   [HSK_CHUNK_MODULES] = load_modules,
        [HSK_CHUNK_SYMBOLS] = load_symbols, [HSK_CHUNK_PLACES] = load_places,
    };
    chunk_records_read(reader, readers, HS_COUNT_OF(readers), t);
}

void stack_tables_free(struct stack_tables *t)
{
    for (size_t i = 0; i < STACK_NODE_PAGES; i++)
        free(t->nodes[i]);
    intern_free(&t->strings);
    map64_free(&t->code_index);
    map64_free(&t->symbol_index);
    map64_free(&t->module_index);
    map64_free(&t->place_index);
    free(t->codes);
    free(t->modules);
    free(t->symbols);
    free(t->functions);
    free(t->places);
}

/* ---- looking up ---- */

const struct known_code *stack_tables_code(const struct stack_tables *t, uint32_t number)
{
    uint32_t index;
    return map64_get(&t->code_index, number, &index) ? &t->codes[index] : NULL;
}

const struct known_place *stack_tables_place(const struct stack_tables *t, uint64_t number)
{
    uint32_t index;
    return map64_get(&t->place_index, number, &index) ? &t->places[index] : NULL;
}

const struct known_module *stack_tables_module(const struct stack_tables *t, uint64_t frame)
{
    const struct known_module *found = NULL;
    uint64_t address = frame & STACK_ADDRESS_MASK, epoch = frame >> STACK_EPOCH_SHIFT;
    for (uint32_t i = 0; i < t->module_count; i++) {
        const struct known_module *module = &t->modules[i];
        if (address >= module->start && address < module->end && module->epoch <= epoch &&
            (!found || module->epoch >= found->epoch))
            found = module;
    }
    return found;
}

const struct known_module *stack_tables_module_of(const struct stack_tables *t, const struct known_symbol *symbol)
{
    uint32_t index;
    return symbol->module && map64_get(&t->module_index, symbol->module - 1, &index) ? &t->modules[index] : NULL;
}

const struct known_symbol *stack_tables_symbol(const struct stack_tables *t, uint64_t frame)
{
    uint32_t index;
    return map64_get(&t->symbol_index, frame, &index) ? &t->symbols[index] : NULL;
}

/* ---- names that the trace does not have ---- */

void stack_tables_expect(struct stack_tables *t, uint32_t number)
{
    struct stack_node *node;
    while (t->names.find && (node = stack_tables_node(t, number)) && !node->expected) {
        node->expected = true;
        number = node->parent;
    }
}

static void take_found(struct stack_tables *t)
{
    const struct buf *payload;
    while (!t->failed && (payload = t->names.found(t->names.context, t->names_taken))) {
        struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
        load_symbols(t, &cursor);
        t->names_taken++;
    }
}

/* The native frames of expected nodes that nothing is known of; with `all`, of all nodes. The caller frees them. */
static uint64_t *nameless_frames(struct stack_tables *t, bool all, size_t *count)
{
    uint64_t *frames = NULL;
    size_t capacity = 0;
    *count = 0;
    for (size_t page = 0; page < STACK_NODE_PAGES; page++)
        for (size_t i = 0; t->nodes[page] && i < 1u << STACK_NODE_PAGE_BITS; i++) {
            const struct stack_node *node = &t->nodes[page][i];
            if (node->kind != HSK_NODE_NATIVE || !node->known || !(all || node->expected) ||
                stack_tables_symbol(t, node->frame))
                continue;
            if (!have_room(t, (void **)&frames, *count, &capacity, sizeof *frames))
                return frames;
            frames[(*count)++] = node->frame;
        }
    return frames;
}

/* Of this node's frame, at least. */
static void look_for_names(struct stack_tables *t, const struct stack_node *node)
{
    size_t count;
    take_found(t);
    if (t->failed || stack_tables_symbol(t, node->frame))
        return;
    uint64_t *frames = nameless_frames(t, !node->expected, &count);
    t->failed = t->failed || t->names.find(t->names.context, frames, count) != 0;
    free(frames);
    take_found(t);
}

const struct known_symbol *stack_tables_find_symbol(struct stack_tables *t, const struct stack_node *node)
{
    const struct known_symbol *symbol = stack_tables_symbol(t, node->frame);
    if (symbol || !t->names.find)
        return symbol;
    look_for_names(t, node);
    return stack_tables_symbol(t, node->frame);
}
