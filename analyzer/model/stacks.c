/* stacks.c - see stacks.h */
#include "model/stacks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/intern.h"
#include "model/stack_tables.h"
#include "symbols/python_lines.h"

/* A frame as numbers of the tables' strings; compared as bytes, so no padding. */
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

struct stacks {
    struct stack_tables tables;
    struct intern frames, stacks;
    struct frame_origin *frame_origins; /* of frame n + 1 */
    size_t frame_origin_count, frame_origin_capacity;
    uint32_t *origins; /* by stack: the first node whose stack it is; 0: none, it is a part of one */
    uint32_t origin_capacity;
    uint32_t *pending; /* nodes on the way to the root that have no stack yet */
    size_t pending_capacity;
    bool failed;
};

int stacks_load(struct stacks **result, struct trace_reader *reader, struct error *error)
{
    struct stacks *s = calloc(1, sizeof *s);
    if (s)
        stack_tables_load(&s->tables, reader);
    if (!s || stacks_failed(s)) {
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
    stack_tables_free(&s->tables);
    intern_free(&s->frames);
    intern_free(&s->stacks);
    free(s->frame_origins);
    free(s->origins);
    free(s->pending);
    free(s);
}

void stacks_set_name_source(struct stacks *s, struct name_source source)
{
    s->tables.names = source;
}

bool stacks_have_name_source(const struct stacks *s)
{
    return s->tables.names.find != NULL;
}

void stacks_expect(struct stacks *s, uint32_t number)
{
    stack_tables_expect(&s->tables, number);
}

/* One frame on top of a caller's stack. */
static uint32_t push(struct stacks *s, uint32_t caller, const struct frame_key *frame, struct frame_origin origin)
{
    struct stack_key key = {.caller = caller, .frame = intern_bytes(&s->frames, frame, sizeof *frame)};
    if (key.frame > s->frame_origin_count) {
        if (!grow((void **)&s->frame_origins, s->frame_origin_count, &s->frame_origin_capacity, sizeof origin)) {
            s->failed = true;
            return 0;
        }
        s->frame_origins[s->frame_origin_count++] = origin;
    }
    uint32_t stack = key.frame ? intern_bytes(&s->stacks, &key, sizeof key) : 0;
    s->failed |= stack == 0;
    return stack;
}

static uint32_t push_python(struct stacks *s, uint32_t caller, const struct stack_node *node)
{
    struct frame_key frame = {.language = FRAME_PYTHON};
    const struct known_code *code = stack_tables_code(&s->tables, (uint32_t)(node->frame >> 32));
    if (!code) {
        char name[48];
        snprintf(name, sizeof name, "unknown code %" PRIu32, (uint32_t)(node->frame >> 32));
        frame.function = intern_string(&s->tables.strings, name);
        return push(s, caller, &frame, (struct frame_origin){0});
    }
    frame.function = code->function;
    frame.file = code->file;
    size_t length;
    const char *table = intern_get(&s->tables.strings, code->line_table, &length);
    if (length > 0)
        frame.line = python_line((const uint8_t *)table, length, code->first_line, code->minor, (uint32_t)node->frame);
    if (frame.line == 0)
        frame.line = code->first_line;
    return push(s, caller, &frame, (struct frame_origin){.code = code->digest, .first_line = code->first_line});
}

/* That the trace names beside the symbol, if there is one, or else what was mapped there; NULL: none is known. */
static const struct known_module *module_of(const struct stacks *s, const struct stack_node *node,
                                            const struct known_symbol *symbol)
{
    return symbol ? stack_tables_module_of(&s->tables, symbol) : stack_tables_module(&s->tables, node->frame);
}

static uint32_t push_native(struct stacks *s, uint32_t caller, const struct stack_node *node)
{
    struct frame_key frame = {.language = FRAME_NATIVE};
    struct frame_origin origin = {0};
    uint64_t offset = node->frame & STACK_ADDRESS_MASK;
    char name[32];
    const struct known_symbol *symbol = stack_tables_find_symbol(&s->tables, node);
    const struct known_module *module = module_of(s, node, symbol);
    if (module) {
        frame.module = module->path;
        origin.code = module->digest;
        offset = symbol ? symbol->offset : offset - (uint64_t)module->bias;
    }
    if (symbol) {
        for (uint32_t i = symbol->function_count; i-- > 0;) { /* outermost first */
            const struct known_function *function = &s->tables.functions[symbol->first_function + i];
            frame.function = function->function;
            frame.file = function->file;
            frame.line = function->line;
            if (!frame.function) {
                snprintf(name, sizeof name, "0x%" PRIx64, offset);
                frame.function = intern_string(&s->tables.strings, name);
            }
            caller = push(s, caller, &frame, origin);
        }
        if (symbol->function_count > 0)
            return caller;
    }
    snprintf(name, sizeof name, "0x%" PRIx64, offset);
    frame.function = intern_string(&s->tables.strings, name);
    return push(s, caller, &frame, origin);
}

static struct text text_of(const struct stacks *s, uint32_t number)
{
    struct text text = {0};
    if (number)
        text.bytes = intern_get(&s->tables.strings, number, &text.length);
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
    const struct stack_node *node = stack_tables_node(&s->tables, origin_of(s, stack));
    if (!node || node->kind != HSK_NODE_NATIVE)
        return false;
    const struct known_symbol *symbol = stack_tables_symbol(&s->tables, node->frame);
    const struct known_module *module = module_of(s, node, symbol);
    *place = (struct stack_place){.address = node->frame & STACK_ADDRESS_MASK, .frames = 1};
    if (symbol && symbol->function_count > 0)
        place->frames = symbol->function_count;
    if (module)
        place->module = (uint32_t)(module - s->tables.modules) + 1;
    return true;
}

uint32_t stacks_module_count(const struct stacks *s)
{
    return (uint32_t)s->tables.module_count;
}

struct stack_module stacks_module(const struct stacks *s, uint32_t number)
{
    const struct known_module *module = &s->tables.modules[number];
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
    return s->tables.languages & 1u << language;
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
    if (left && !stacks_failed(s))
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
static uint32_t push_source(struct stacks *s, uint32_t caller, const struct stack_node *node)
{
    struct frame_key frame = {.language = FRAME_NATIVE};
    const struct known_place *place = stack_tables_place(&s->tables, node->frame);
    if (place) {
        frame.function = place->function;
        frame.file = place->file;
        frame.module = place->module;
        frame.line = place->line;
    }
    if (!frame.function)
        frame.function = intern_string(&s->tables.strings, "unknown");
    /* With --native its own frame is there as well, and what of our Python.h was inlined into it. */
    while (caller && is_of_header(stacks_frame(s, caller)))
        caller = stacks_caller(s, caller);
    if (caller && is_within(stacks_frame(s, caller), text_of(s, frame.function)))
        caller = stacks_caller(s, caller);
    return push(s, caller, &frame, (struct frame_origin){0});
}

static uint32_t push_missing(struct stacks *s, uint32_t caller, const char *what)
{
    struct frame_key frame = {.language = FRAME_MISSING, .function = intern_string(&s->tables.strings, what)};
    return push(s, caller, &frame, (struct frame_origin){0});
}

uint32_t stacks_of_node(struct stacks *s, uint32_t number)
{
    /* Up to the root or the first node that has a stack, then down again; stacks may be very deep. */
    size_t depth = 0;
    uint32_t stack = 0;
    while (number != 0) {
        struct stack_node *node = stack_tables_node(&s->tables, number);
        if (!node) {
            stack = push_missing(s, 0, "unknown");
            break;
        }
        if (node->stack) {
            stack = node->stack - 1;
            break;
        }
        if (!grow((void **)&s->pending, depth, &s->pending_capacity, sizeof *s->pending)) {
            s->failed = true;
            return 0;
        }
        s->pending[depth++] = number;
        number = node->parent;
    }
    while (depth > 0) {
        struct stack_node *node = stack_tables_node(&s->tables, s->pending[--depth]);
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
    return s->failed || s->tables.failed;
}
