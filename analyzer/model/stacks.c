/* stacks.c - see stacks.h */
#include "model/stacks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "base/map64.h"
#include "symbols/python_lines.h"
#include "trace/stack_records.h"

#define NODE_PAGE_BITS 12
#define NODE_PAGES ((HSK_MAX_NODE + 1) >> NODE_PAGE_BITS)
#define EPOCH_SHIFT 48
#define ADDRESS_MASK ((UINT64_C(1) << EPOCH_SHIFT) - 1)

struct node {
    uint64_t frame;
    uint32_t parent;
    uint32_t stack; /* resolved: number + 1; 0: not yet */
    uint8_t kind;
    bool known;
    bool expected; /* with a name source: its stack, and so its callers', will be asked for */
};

/* A frame as numbers of `strings`; compared as bytes, so no padding. */
struct frame_key {
    uint32_t function, file, module, line, language;
};

/* What else is known of a frame; of frames with one key the first one's. */
struct frame_origin {
    uint64_t code;
    uint32_t first_line;
};

struct stack_key {
    uint32_t caller, frame;
};

struct code {
    uint32_t function, file, line_table; /* numbers of `strings` */
    uint32_t first_line, first_instruction, minor;
    uint64_t
        digest; /* of line_table: lines in it count from the first one, so that a function may move; 0: it has none */
};

struct module {
    uint64_t index, start, end, epoch;
    int64_t bias;
    uint32_t path, build_id; /* numbers of `strings` */
    uint64_t digest;         /* of the build-id; 0: it has none */
    bool is_executable;
};

struct symbol {
    uint64_t module; /* index + 1; 0: none */
    uint64_t offset;
    uint32_t first_function, function_count;
};

struct symbol_function {
    uint32_t function, file, line;
};

struct place {
    uint32_t function, file, module, line;
};

struct stacks {
    struct intern strings, frames, stacks;
    struct node *nodes[NODE_PAGES];
    struct map64 code_index, symbol_index, module_index, place_index;
    struct code *codes;
    struct module *modules;
    struct symbol *symbols;
    struct symbol_function *functions;
    struct place *places;
    struct frame_origin *frame_origins; /* of frame n + 1 */
    uint32_t frame_origin_count, frame_origin_capacity;
    uint32_t code_count, module_count, symbol_count, function_count, place_count;
    uint32_t code_capacity, module_capacity, symbol_capacity, function_capacity, place_capacity;
    uint32_t *origins; /* by stack: the first node whose stack it is; 0: none, it is a part of one */
    uint32_t origin_capacity;
    unsigned languages; /* of the nodes: 1 << enum frame_language */
    struct name_source source;
    size_t taken;      /* of what it has found */
    uint32_t *pending; /* nodes on the way to the root that have no stack yet */
    size_t pending_capacity;
    bool failed;
};

/* Room for one more element; false (and failed) when memory runs out. */
static bool grow(struct stacks *s, void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    uint32_t larger = *capacity ? 2 * *capacity : 64;
    void *grown = larger > *capacity ? reallocarray(*array, larger, size) : NULL;
    if (!grown) {
        s->failed = true;
        return false;
    }
    *array = grown;
    *capacity = larger;
    return true;
}

/* 0 for the empty string. */
static uint32_t add_string(struct stacks *s, const char *text, size_t length)
{
    uint32_t number = length ? intern_bytes(&s->strings, text, length) : 0;
    s->failed |= length && number == 0;
    return number;
}

static uint32_t take_string(struct stacks *s, struct cursor *cursor)
{
    size_t length;
    const char *text = cursor_string(cursor, &length);
    cursor->failed |= length > HSK_MAX_STRING;
    return cursor->failed ? 0 : add_string(s, text, length);
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

static struct node *node_at(const struct stacks *s, uint32_t number)
{
    struct node *page = number <= HSK_MAX_NODE ? s->nodes[number >> NODE_PAGE_BITS] : NULL;
    struct node *node = page ? &page[number & ((1u << NODE_PAGE_BITS) - 1)] : NULL;
    return node && node->known ? node : NULL;
}

static enum frame_language language_of(unsigned kind)
{
    return kind == HSK_NODE_PYTHON                              ? FRAME_PYTHON
           : kind == HSK_NODE_NATIVE || kind == HSK_NODE_SOURCE ? FRAME_NATIVE
                                                                : FRAME_MISSING;
}

static bool load_nodes(struct stacks *s, struct cursor *cursor)
{
    struct node_records records = node_records_of(cursor->at, (size_t)(cursor->end - cursor->at));
    struct node_record record;
    while (node_records_next(&records, &record)) {
        struct node **page = &s->nodes[record.number >> NODE_PAGE_BITS];
        if (!*page && !(*page = calloc(1u << NODE_PAGE_BITS, sizeof **page))) {
            s->failed = true;
            return true;
        }
        (*page)[record.number & ((1u << NODE_PAGE_BITS) - 1)] =
            (struct node){.frame = record.frame, .parent = record.parent, .kind = record.kind, .known = true};
        s->languages |= 1u << language_of(record.kind);
    }
    return !records.cursor.failed;
}

static bool load_codes(struct stacks *s, struct cursor *cursor)
{
    while (cursor->at < cursor->end && !s->failed) {
        struct code code = {0};
        uint64_t number = cursor_varint(cursor);
        code.first_line = (uint32_t)cursor_varint(cursor);
        code.first_instruction = (uint32_t)cursor_varint(cursor);
        code.minor = (uint32_t)cursor_varint(cursor);
        cursor_varint(cursor); /* flags: an empty line table says the same */
        code.file = take_string(s, cursor);
        code.function = take_string(s, cursor);
        code.line_table = take_string(s, cursor);
        if (cursor->failed)
            return false;
        size_t table_length;
        const char *table = intern_get(&s->strings, code.line_table, &table_length);
        code.digest = digest(table, table_length);
        if (!grow(s, (void **)&s->codes, s->code_count, &s->code_capacity, sizeof code))
            return true;
        s->codes[s->code_count] = code;
        s->failed |= !map64_put(&s->code_index, number, s->code_count++);
    }
    return true;
}

static bool load_modules(struct stacks *s, struct cursor *cursor)
{
    struct module_record record;
    while (!s->failed && module_records_next(cursor, &record)) {
        struct module module = {
            .index = record.index,
            .start = record.start,
            .end = record.end,
            .bias = record.bias,
            .epoch = record.epoch,
            .path = add_string(s, record.path, record.path_length),
            .digest = digest(record.build_id, record.build_id_length),
            .build_id = add_string(s, record.build_id, record.build_id_length),
            .is_executable = record.flags & HSK_MODULE_EXECUTABLE,
        };
        if (!grow(s, (void **)&s->modules, s->module_count, &s->module_capacity, sizeof module))
            return true;
        s->modules[s->module_count] = module;
        s->failed |= !map64_put(&s->module_index, module.index, s->module_count++);
    }
    return !cursor->failed;
}

static bool load_symbols(struct stacks *s, struct cursor *cursor)
{
    uint64_t string_count = symbol_strings_count(cursor);
    uint32_t *strings = calloc(string_count + 1, sizeof *strings); /* of the chunk, as numbers of `strings` */
    if (!strings) {
        s->failed = true;
        return true;
    }
    for (uint64_t i = 1; i <= string_count; i++)
        strings[i] = take_string(s, cursor);
    struct symbol_record record;
    while (!s->failed && symbol_records_next(cursor, &record)) {
        struct symbol symbol = {.module = record.module, .offset = record.offset, .first_function = s->function_count};
        struct symbol_function_record function;
        for (uint64_t i = 0; i < record.functions && symbol_functions_take(cursor, string_count, &function); i++) {
            if (!grow(s, (void **)&s->functions, s->function_count, &s->function_capacity, sizeof *s->functions))
                break;
            s->functions[s->function_count++] = (struct symbol_function){
                .function = strings[function.function], .file = strings[function.file], .line = function.line};
            symbol.function_count++;
        }
        if (cursor->failed || !grow(s, (void **)&s->symbols, s->symbol_count, &s->symbol_capacity, sizeof symbol))
            break;
        s->symbols[s->symbol_count] = symbol;
        s->failed |= !map64_put(&s->symbol_index, record.frame, s->symbol_count++);
    }
    free(strings);
    return !cursor->failed;
}

static bool load_places(struct stacks *s, struct cursor *cursor)
{
    while (cursor->at < cursor->end && !s->failed) {
        uint64_t number = cursor_varint(cursor);
        struct place place = {.line = (uint32_t)cursor_varint(cursor)};
        place.file = take_string(s, cursor);
        place.function = take_string(s, cursor);
        place.module = take_string(s, cursor);
        if (cursor->failed)
            return false;
        if (!grow(s, (void **)&s->places, s->place_count, &s->place_capacity, sizeof place))
            return true;
        s->places[s->place_count] = place;
        s->failed |= !map64_put(&s->place_index, number, s->place_count++);
    }
    return true;
}

int stacks_load(struct stacks **result, struct trace_reader *reader, struct error *error)
{
    struct stacks *s = calloc(1, sizeof *s);
    for (size_t i = 0; s && i < reader->chunk_count && !s->failed; i++) {
        const uint8_t *raw;
        size_t length;
        bool (*load)(struct stacks *, struct cursor *);
        switch (reader->chunks[i].header.type) {
        case HSK_CHUNK_NODES:
            load = load_nodes;
            break;
        case HSK_CHUNK_CODES:
            load = load_codes;
            break;
        case HSK_CHUNK_MODULES:
            load = load_modules;
            break;
        case HSK_CHUNK_SYMBOLS:
            load = load_symbols;
            break;
        case HSK_CHUNK_PLACES:
            load = load_places;
            break;
        default:
            continue;
        }
        if (trace_reader_load(reader, i, &raw, &length) != 0)
            continue;
        struct cursor cursor = {.at = raw, .end = raw + length};
        if (!load(s, &cursor))
            trace_reader_damaged(reader, i, "its records cannot be read");
    }
    if (!s || s->failed) {
        stacks_free(s);
        return error_set(error, -ENOMEM, "%s: out of memory", reader->path);
    }
    *result = s;
    return 0;
}

void stacks_free(struct stacks *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < NODE_PAGES; i++)
        free(s->nodes[i]);
    intern_free(&s->strings);
    intern_free(&s->frames);
    intern_free(&s->stacks);
    map64_free(&s->code_index);
    map64_free(&s->symbol_index);
    map64_free(&s->module_index);
    map64_free(&s->place_index);
    free(s->places);
    free(s->origins);
    free(s->codes);
    free(s->modules);
    free(s->symbols);
    free(s->functions);
    free(s->frame_origins);
    free(s->pending);
    free(s);
}

/* ---- names that the trace does not have ---- */

void stacks_set_name_source(struct stacks *s, struct name_source source)
{
    s->source = source;
}

bool stacks_have_name_source(const struct stacks *s)
{
    return s->source.find != NULL;
}

void stacks_expect(struct stacks *s, uint32_t number)
{
    struct node *node;
    while (stacks_have_name_source(s) && (node = node_at(s, number)) && !node->expected) {
        node->expected = true;
        number = node->parent;
    }
}

static void take_found(struct stacks *s)
{
    const struct buf *payload;
    while (!s->failed && (payload = s->source.found(s->source.context, s->taken))) {
        struct cursor cursor = {.at = payload->data, .end = payload->data + payload->length};
        load_symbols(s, &cursor);
        s->taken++;
    }
}

/* The native frames of expected nodes that nothing is known of; with `all`, of all nodes. The caller frees them. */
static uint64_t *nameless_frames(struct stacks *s, bool all, uint32_t *count)
{
    uint64_t *frames = NULL;
    uint32_t index, capacity = 0;
    *count = 0;
    for (size_t page = 0; page < NODE_PAGES; page++)
        for (size_t i = 0; s->nodes[page] && i < 1u << NODE_PAGE_BITS; i++) {
            const struct node *node = &s->nodes[page][i];
            if (node->kind != HSK_NODE_NATIVE || !node->known || !(all || node->expected) ||
                map64_get(&s->symbol_index, node->frame, &index))
                continue;
            if (!grow(s, (void **)&frames, *count, &capacity, sizeof *frames))
                return frames;
            frames[(*count)++] = node->frame;
        }
    return frames;
}

/* Of this node's frame, at least. */
static void look_for_names(struct stacks *s, const struct node *node)
{
    uint32_t index, count;
    take_found(s);
    if (s->failed || map64_get(&s->symbol_index, node->frame, &index))
        return;
    uint64_t *frames = nameless_frames(s, !node->expected, &count);
    s->failed = s->failed || s->source.find(s->source.context, frames, count) != 0;
    free(frames);
    take_found(s);
}

/* ---- stacks ---- */

/* One frame on top of a caller's stack. */
static uint32_t push(struct stacks *s, uint32_t caller, const struct frame_key *frame, struct frame_origin origin)
{
    struct stack_key key = {.caller = caller, .frame = intern_bytes(&s->frames, frame, sizeof *frame)};
    if (key.frame > s->frame_origin_count) {
        if (!grow(s, (void **)&s->frame_origins, s->frame_origin_count, &s->frame_origin_capacity, sizeof origin))
            return 0;
        s->frame_origins[s->frame_origin_count++] = origin;
    }
    uint32_t stack = key.frame ? intern_bytes(&s->stacks, &key, sizeof key) : 0;
    s->failed |= stack == 0;
    return stack;
}

static uint32_t push_python(struct stacks *s, uint32_t caller, const struct node *node)
{
    struct frame_key frame = {.language = FRAME_PYTHON};
    uint32_t index;
    if (!map64_get(&s->code_index, node->frame >> 32, &index)) {
        char name[48];
        snprintf(name, sizeof name, "unknown code %" PRIu32, (uint32_t)(node->frame >> 32));
        frame.function = intern_string(&s->strings, name);
        return push(s, caller, &frame, (struct frame_origin){0});
    }
    const struct code *code = &s->codes[index];
    frame.function = code->function;
    frame.file = code->file;
    size_t length;
    const char *table = intern_get(&s->strings, code->line_table, &length);
    if (length > 0)
        frame.line = python_line((const uint8_t *)table, length, code->first_line, code->minor, (uint32_t)node->frame);
    if (frame.line == 0)
        frame.line = code->first_line;
    return push(s, caller, &frame, (struct frame_origin){.code = code->digest, .first_line = code->first_line});
}

/* The module that was mapped at this address in this epoch; NULL when none is known. */
static const struct module *module_of(const struct stacks *s, uint64_t frame)
{
    const struct module *found = NULL;
    uint64_t address = frame & ADDRESS_MASK, epoch = frame >> EPOCH_SHIFT;
    for (uint32_t i = 0; i < s->module_count; i++) {
        const struct module *module = &s->modules[i];
        if (address >= module->start && address < module->end && module->epoch <= epoch &&
            (!found || module->epoch >= found->epoch))
            found = module;
    }
    return found;
}

/* What is known of a native frame, in the trace or by the source of names. */
static bool find_symbol(struct stacks *s, const struct node *node, uint32_t *index)
{
    if (map64_get(&s->symbol_index, node->frame, index))
        return true;
    if (!stacks_have_name_source(s))
        return false;
    look_for_names(s, node);
    return map64_get(&s->symbol_index, node->frame, index);
}

static uint32_t push_native(struct stacks *s, uint32_t caller, const struct node *node)
{
    struct frame_key frame = {.language = FRAME_NATIVE};
    struct frame_origin origin = {0};
    uint32_t index, module_index;
    uint64_t offset = node->frame & ADDRESS_MASK;
    char name[32];
    if (find_symbol(s, node, &index)) {
        const struct symbol *symbol = &s->symbols[index];
        if (symbol->module && map64_get(&s->module_index, symbol->module - 1, &module_index)) {
            frame.module = s->modules[module_index].path;
            origin.code = s->modules[module_index].digest;
            offset = symbol->offset;
        }
        for (uint32_t i = symbol->function_count; i-- > 0;) { /* outermost first */
            const struct symbol_function *function = &s->functions[symbol->first_function + i];
            frame.function = function->function;
            frame.file = function->file;
            frame.line = function->line;
            if (!frame.function) {
                snprintf(name, sizeof name, "0x%" PRIx64, offset);
                frame.function = intern_string(&s->strings, name);
            }
            caller = push(s, caller, &frame, origin);
        }
        if (symbol->function_count > 0)
            return caller;
    } else {
        const struct module *module = module_of(s, node->frame);
        if (module) {
            frame.module = module->path;
            origin.code = module->digest;
            offset -= (uint64_t)module->bias;
        }
    }
    snprintf(name, sizeof name, "0x%" PRIx64, offset);
    frame.function = intern_string(&s->strings, name);
    return push(s, caller, &frame, origin);
}

static struct text text_of(const struct stacks *s, uint32_t number)
{
    struct text text = {0};
    if (number)
        text.bytes = intern_get(&s->strings, number, &text.length);
    return text;
}

static struct stack_key key_of(const struct stacks *s, uint32_t stack)
{
    struct stack_key key = {0};
    intern_copy(&s->stacks, stack, &key, sizeof key);
    return key;
}

struct frame stacks_numbered_frame(const struct stacks *s, uint32_t number)
{
    struct frame_key key = {0};
    struct frame_origin origin = {0};
    intern_copy(&s->frames, number, &key, sizeof key);
    if (number > 0 && number <= s->frame_origin_count)
        origin = s->frame_origins[number - 1];
    return (struct frame){
        .function = text_of(s, key.function),
        .file = text_of(s, key.file),
        .module = text_of(s, key.module),
        .line = key.line,
        .language = (enum frame_language)key.language,
        .first_line = origin.first_line,
        .code = origin.code,
    };
}

struct frame stacks_frame(const struct stacks *s, uint32_t stack)
{
    return stacks_numbered_frame(s, key_of(s, stack).frame);
}

uint32_t stacks_caller(const struct stacks *s, uint32_t stack)
{
    return key_of(s, stack).caller;
}

uint32_t stacks_frame_number(const struct stacks *s, uint32_t stack)
{
    return key_of(s, stack).frame;
}

uint32_t stacks_frame_count(const struct stacks *s)
{
    return s->frames.count;
}

/* A stack is that of the node, unless it is that of another one already. */
static void set_origin(struct stacks *s, uint32_t stack, uint32_t number)
{
    if (stack >= s->origin_capacity) {
        uint32_t capacity = s->origin_capacity ? s->origin_capacity : 256;
        while (capacity <= stack)
            capacity *= 2;
        uint32_t *origins = reallocarray(s->origins, capacity, sizeof *origins);
        if (!origins) {
            s->failed = true;
            return;
        }
        memset(origins + s->origin_capacity, 0, (capacity - s->origin_capacity) * sizeof *origins);
        s->origins = origins;
        s->origin_capacity = capacity;
    }
    if (s->origins[stack] == 0)
        s->origins[stack] = number;
}

static uint32_t origin_of(const struct stacks *s, uint32_t stack)
{
    return stack < s->origin_capacity ? s->origins[stack] : 0;
}

bool stacks_place(const struct stacks *s, uint32_t stack, struct stack_place *place)
{
    const struct node *node = node_at(s, origin_of(s, stack));
    uint32_t index;
    if (!node || node->kind != HSK_NODE_NATIVE)
        return false;
    const struct module *module = NULL;
    *place = (struct stack_place){.address = node->frame & ADDRESS_MASK, .frames = 1};
    if (map64_get(&s->symbol_index, node->frame, &index)) {
        const struct symbol *symbol = &s->symbols[index];
        if (symbol->function_count > 0)
            place->frames = symbol->function_count;
        if (symbol->module && map64_get(&s->module_index, symbol->module - 1, &index))
            module = &s->modules[index];
    } else {
        module = module_of(s, node->frame);
    }
    if (module)
        place->module = (uint32_t)(module - s->modules) + 1;
    return true;
}

uint32_t stacks_module_count(const struct stacks *s)
{
    return s->module_count;
}

struct stack_module stacks_module(const struct stacks *s, uint32_t number)
{
    const struct module *module = &s->modules[number];
    return (struct stack_module){
        .start = module->start,
        .end = module->end,
        .path = text_of(s, module->path),
        .build_id = text_of(s, module->build_id),
        .is_executable = module->is_executable,
    };
}

bool stacks_have(const struct stacks *s, enum frame_language language)
{
    return s->languages & 1u << language;
}

uint32_t *stacks_of_language(struct stacks *s, enum frame_language language)
{
    uint32_t count = s->stacks.count;
    uint32_t *left = calloc((size_t)count + 1, sizeof *left);
    for (uint32_t stack = 1; left && stack <= count; stack++) { /* callers come before those they call */
        struct stack_key key = key_of(s, stack);
        struct frame_key frame = {0};
        intern_copy(&s->frames, key.frame, &frame, sizeof frame);
        left[stack] = left[key.caller];
        if (frame.language != language && frame.language != FRAME_MISSING)
            continue;
        left[stack] = push(s, left[key.caller], &frame, (struct frame_origin){0}); /* a frame that is there already */
        if (origin_of(s, stack))
            set_origin(s, left[stack], origin_of(s, stack));
    }
    if (left && !s->failed)
        return left;
    free(left);
    return NULL;
}

/* Is it a frame of the function that compilers call `name`, whether it is shown as that or as "space::name(int)"? */
static bool is_within(struct frame frame, struct text name)
{
    const char *at = frame.function.bytes, *end = at + frame.function.length;
    if (frame.language != FRAME_NATIVE || !name.length)
        return false;
    while (at && (size_t)(end - at) >= name.length && (at = memmem(at, (size_t)(end - at), name.bytes, name.length))) {
        const char *behind = at + name.length;
        bool begins = at == frame.function.bytes || at[-1] == ':' || at[-1] == ' ';
        if (begins && (behind == end || *behind == '(' || *behind == '<'))
            return true;
        at++;
    }
    return false;
}

static bool is_of_header(struct frame frame)
{
    static const char prefix[] = "heapsake_";
    return frame.language == FRAME_NATIVE && frame.function.length >= sizeof prefix - 1 &&
           memcmp(frame.function.bytes, prefix, sizeof prefix - 1) == 0;
}

/* A line of C that was compiled in: it is native code, and needs no symbols. */
static uint32_t push_source(struct stacks *s, uint32_t caller, const struct node *node)
{
    struct frame_key frame = {.language = FRAME_NATIVE};
    uint32_t index;
    if (map64_get(&s->place_index, node->frame, &index)) {
        const struct place *place = &s->places[index];
        frame.function = place->function;
        frame.file = place->file;
        frame.module = place->module;
        frame.line = place->line;
    }
    if (!frame.function)
        frame.function = intern_string(&s->strings, "unknown");
    /* With --native its own frame is there as well, and what of our Python.h was inlined into it. */
    while (caller && is_of_header(stacks_frame(s, caller)))
        caller = stacks_caller(s, caller);
    if (caller && is_within(stacks_frame(s, caller), text_of(s, frame.function)))
        caller = stacks_caller(s, caller);
    return push(s, caller, &frame, (struct frame_origin){0});
}

static uint32_t push_missing(struct stacks *s, uint32_t caller, const char *what)
{
    struct frame_key frame = {.language = FRAME_MISSING, .function = intern_string(&s->strings, what)};
    return push(s, caller, &frame, (struct frame_origin){0});
}

uint32_t stacks_of_node(struct stacks *s, uint32_t number)
{
    /* Up to the root or the first node that has a stack, then down again; stacks may be very deep. */
    size_t depth = 0;
    uint32_t stack = 0;
    while (number != 0) {
        struct node *node = node_at(s, number);
        if (!node) {
            stack = push_missing(s, 0, "unknown");
            break;
        }
        if (node->stack) {
            stack = node->stack - 1;
            break;
        }
        if (depth == s->pending_capacity) {
            size_t capacity = depth ? 2 * depth : 256;
            uint32_t *pending = reallocarray(s->pending, capacity, sizeof *pending);
            if (!pending) {
                s->failed = true;
                return 0;
            }
            s->pending = pending;
            s->pending_capacity = capacity;
        }
        s->pending[depth++] = number;
        number = node->parent;
    }
    while (depth > 0) {
        struct node *node = node_at(s, s->pending[--depth]);
        switch (node->kind) {
        case HSK_NODE_PYTHON:
            stack = push_python(s, stack, node);
            break;
        case HSK_NODE_NATIVE:
            stack = push_native(s, stack, node);
            break;
        case HSK_NODE_SOURCE:
            stack = push_source(s, stack, node);
            break;
        case HSK_NODE_TRUNCATED:
            stack = push_missing(s, stack, "(callers not recorded)");
            break;
        default:
            stack = push_missing(s, stack, "unknown");
        }
        node->stack = stack + 1;
        set_origin(s, stack, s->pending[depth]);
    }
    return stack;
}

uint32_t stacks_count(const struct stacks *s)
{
    return s->stacks.count;
}
bool stacks_failed(const struct stacks *s)
{
    return s->failed;
}
