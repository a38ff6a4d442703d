/*
 * Stacks of made-up frames, laid out as each version lays them out: whatever the program calls, returns from, resumes
 * or frees, the cached walk (preload/python/stack.c, code_table.c) gives what a plain walk would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "python/allocators.h"
#include "python/capi.h"
#include "python/code_table.h"
#include "python/offsets.h"
#include "python/python.h"
#include "python/stack.h"
#include "stack_table.h"

/* ---- what surrounds stack.c ---- */

__thread struct thread *thread_self;
struct tracing_live tracing_live;
struct python_capi python_capi;
uint32_t python_state = PYTHON_RUNNING;

struct thread *thread_slow(void)
{
    return NULL;
}
bool python_still_there(void)
{
    return true;
}
static unsigned checks;
void allocators_check(struct thread *self)
{
    (void)self;
    checks++;
}
void objects_check(struct thread *self) { (void)self; }

/* Memory that cannot be read begins here; NULL: there is none. */
static const char *unreadable;
bool modules_copy(void *to, uintptr_t from, size_t length)
{
    if (unreadable && from >= (uintptr_t)unreadable)
        return false;
    memcpy(to, (const void *)from, length);
    return true;
}

#define MOST_NODES 2000000u
static struct hs_node *nodes;
static uint32_t node_count;
static uint32_t node_index[1u << 22];

static void forget_nodes(void)
{
    nodes = nodes ? nodes : malloc(MOST_NODES * sizeof *nodes);
    node_count = 1;
    memset(node_index, 0, sizeof node_index);
}

uint32_t stack_node(uint32_t parent, enum hs_node_kind kind, uint64_t frame)
{
    uint32_t at = (uint32_t)(((frame * 0x9e3779b97f4a7c15) ^ (parent * 0xd6e8feb86659fd93)) >> 42);
    for (; node_index[at]; at = (at + 1) % (1u << 22)) {
        const struct hs_node *node = &nodes[node_index[at]];
        if (node->frame == frame && node->parent == parent && node->kind == kind)
            return node_index[at];
    }
    assert_true(node_count < MOST_NODES);
    nodes[node_count] = (struct hs_node){.frame = frame, .parent = parent, .kind = kind};
    return node_index[at] = node_count++;
}

/* What was told of each code object: the last message, and the unique text by which the test knows it. */
struct told {
    struct hs_message_code body;
    char file[64], function[64];
};
static struct told *told;
static uint32_t told_count;
static bool small_ring; /* a message with a line table is refused */

bool emit_message(struct thread *self, enum hs_message_kind kind, const struct emit_part *parts, unsigned count)
{
    (void)self;
    assert_int_equal(kind, HS_MESSAGE_CODE);
    if (small_ring && count == 4)
        return false;
    const struct hs_message_code *body = parts[0].bytes;
    if (body->code >= told_count) {
        told = realloc(told, (body->code + 1) * 2 * sizeof *told);
        memset(told + told_count, 0, ((body->code + 1) * 2 - told_count) * sizeof *told);
        told_count = (body->code + 1) * 2;
    }
    struct told *entry = &told[body->code];
    assert_int_equal(entry->body.code, 0); /* a number is never used twice */
    entry->body = *body;
    assert_int_equal(body->file_length, parts[1].length);
    assert_int_equal(body->function_length, parts[2].length);
    assert_int_equal(body->line_table_length, count == 4 ? parts[3].length : 0);
    snprintf(entry->file, sizeof entry->file, "%.*s", (int)parts[1].length, (const char *)parts[1].bytes);
    snprintf(entry->function, sizeof entry->function, "%.*s", (int)parts[2].length, (const char *)parts[2].bytes);
    return true;
}

/* ---- a made-up interpreter ---- */

static const struct python_offsets *offsets;
static char thread_state[256], cframe[32];
static struct thread self;

static void *current_thread_state(void)
{
    return thread_state;
}

#define PUT(type, object, offset, value) (*(type *)((char *)(object) + (offset)) = (type)(value))
#define GET(type, object, offset) (*(type *)((char *)(object) + (offset)))

static char *make_ascii(const char *text)
{
    size_t length = strlen(text);
    char *string = calloc(1, offsets->string.ascii_data + length + 1u);
    PUT(size_t, string, offsets->string.length, length);
    PUT(uint32_t, string, offsets->string.state, (1u | 1u << 3 | 1u << 4) << offsets->string.kind_shift);
    memcpy(string + offsets->string.ascii_data, text, length);
    return string;
}

static char *make_wide(unsigned kind, const uint32_t *characters, size_t length)
{
    char *string = calloc(1, offsets->string.compact_data + (length + 1) * kind);
    PUT(size_t, string, offsets->string.length, length);
    PUT(uint32_t, string, offsets->string.state, (kind | 1u << 3) << offsets->string.kind_shift);
    for (size_t i = 0; i < length; i++)
        memcpy(string + offsets->string.compact_data + i * kind, &characters[i], kind);
    return string;
}

#define INSTRUCTIONS 64
#define FIRST_TRACEABLE 3 /* in units of two bytes */
#define CODE_BYTES (256 + 2 * INSTRUCTIONS)
#define CODES 40

static char code_type[64];
static char codes[CODES][CODE_BYTES]; /* the same addresses again and again */
static unsigned code_uses[CODES];     /* frames that run it */
static unsigned generation_of_code[CODES];

static void make_code(unsigned which)
{
    char name[64], *code = codes[which];
    memset(code, 0, CODE_BYTES);
    char *line_table = calloc(1, offsets->bytes.bytes + 16u);
    PUT(size_t, line_table, offsets->bytes.size, 10);
    snprintf(name, sizeof name, "code %u.%u", which, ++generation_of_code[which]);
    PUT(const void *, code, offsets->object.type, code_type);
    PUT(char *, code, offsets->code.file_name, make_ascii("made/up.py"));
    PUT(char *, code, offsets->code.name, make_ascii(name));
    PUT(char *, code, offsets->code.line_table, line_table);
    PUT(int32_t, code, offsets->code.first_line, which + 1);
    if (offsets->code.first_traceable != PYTHON_NO_FIELD)
        PUT(int32_t, code, offsets->code.first_traceable, FIRST_TRACEABLE);
}

static void free_code(unsigned which)
{
    char *code = codes[which];
    code_table_forget_block(code);
    free(GET(char *, code, offsets->code.file_name));
    free(GET(char *, code, offsets->code.name));
    free(GET(char *, code, offsets->code.line_table));
}

#define MOST_DEPTH 30000
#define FRAME_BYTES 128

struct model {
    char *frame;
    int code; /* -1: a shim */
    unsigned place;
    bool shown;
};
static struct model stack[MOST_DEPTH];
static unsigned depth;
static char *frame_memory; /* frame i of a thread lies at i * FRAME_BYTES, as on CPython's data stack */
static char *generator_memory[16];
static bool generator_busy[16];

static void set_place(struct model *model, unsigned place)
{
    char *code = codes[model->code];
    model->place = place;
    if (offsets->frame_objects) {
        PUT(int32_t, model->frame, offsets->frame.instruction, place / offsets->lasti_scale);
        model->shown = true;
        return;
    }
    PUT(char *, model->frame, offsets->frame.instruction, code + offsets->code.bytecode + place);
    bool generator = GET(uint8_t, model->frame, offsets->frame.owner) == offsets->owner_generator;
    model->shown = generator || place >= 2 * FIRST_TRACEABLE;
}

static void set_innermost(void)
{
    char *innermost = depth ? stack[depth - 1].frame : NULL;
    if (offsets->cframe.current_frame != PYTHON_NO_FIELD) {
        PUT(char *, thread_state, offsets->thread_state.current_frame, cframe);
        PUT(char *, cframe, offsets->cframe.current_frame, innermost);
    } else {
        PUT(char *, thread_state, offsets->thread_state.current_frame, innermost);
    }
}

static void push(int code, unsigned place, int generator)
{
    assert_true(depth < MOST_DEPTH);
    struct model *model = &stack[depth];
    model->frame = generator >= 0 ? generator_memory[generator] : frame_memory + (size_t)depth * FRAME_BYTES;
    model->code = code;
    PUT(char *, model->frame, offsets->frame.previous, depth ? stack[depth - 1].frame : NULL);
    if (offsets->frame.owner != PYTHON_NO_FIELD)
        PUT(uint8_t, model->frame, offsets->frame.owner,
            code < 0         ? offsets->owner_shim
            : generator >= 0 ? offsets->owner_generator
                             : 0);
    if (code < 0) {
        PUT(char *, model->frame, offsets->frame.code, code_type);
        PUT(char *, model->frame, offsets->frame.instruction, code_type);
        model->shown = false;
    } else {
        PUT(uintptr_t, model->frame, offsets->frame.code, (uintptr_t)codes[code] | (offsets->code_tag_mask & depth));
        code_uses[code]++;
        set_place(model, place);
    }
    depth++;
    set_innermost();
}

static void pop(void)
{
    struct model *model = &stack[--depth];
    if (model->code >= 0)
        code_uses[model->code]--;
    for (unsigned i = 0; i < 16; i++)
        if (model->frame == generator_memory[i])
            generator_busy[i] = false;
    set_innermost();
}

/* ---- comparing ---- */

static void check_frame(uint32_t number, const struct model *model)
{
    char name[64];
    assert_int_equal(nodes[number].kind, HS_NODE_PYTHON);
    const struct told *code = &told[nodes[number].frame >> 32];
    snprintf(name, sizeof name, "code %d.%u", model->code, generation_of_code[model->code]);
    assert_string_equal(code->function, name);
    assert_string_equal(code->file, "made/up.py");
    assert_int_equal(code->body.first_line, model->code + 1);
    assert_int_equal((uint32_t)nodes[number].frame, model->place);
}

/* Returns how many frames the stack had; `most` as the cut allows. */
static unsigned check(uint32_t number)
{
    unsigned shown = 0, i = depth;
    while (number && nodes[number].kind != HS_NODE_TRUNCATED) {
        while (i && !stack[i - 1].shown)
            i--;
        assert_true(i > 0);
        check_frame(number, &stack[--i]);
        number = nodes[number].parent;
        shown++;
    }
    if (number == 0) {
        while (i && !stack[i - 1].shown)
            i--;
        assert_int_equal(i, 0);
    }
    return shown;
}

static uint32_t random_state;
static uint32_t dice(uint32_t sides)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % sides;
}

static unsigned random_place(bool may_be_early)
{
    return 2 *
           (may_be_early && dice(8) == 0 ? dice(INSTRUCTIONS) : FIRST_TRACEABLE + dice(INSTRUCTIONS - FIRST_TRACEABLE));
}

static void begin(const struct python_offsets *row)
{
    offsets = row;
    depth = 0;
    forget_nodes();
    memset(thread_state, 0, sizeof thread_state);
    memset(code_uses, 0, sizeof code_uses);
    memset(generator_busy, 0, sizeof generator_busy);
    if (!frame_memory) {
        frame_memory = malloc((size_t)MOST_DEPTH * FRAME_BYTES);
        for (unsigned i = 0; i < 16; i++)
            generator_memory[i] = malloc(FRAME_BYTES);
    }
    for (unsigned i = 0; i < CODES; i++)
        make_code(i);
    python_capi.PyThreadState_GetUnchecked = current_thread_state;
    python_capi.PyGILState_GetThisThreadState = current_thread_state;
    python_capi.PyCode_Type = code_type;
    code_table_forget_all();
    self.python.depth = 0;
    stack_start(offsets);
    set_innermost();
}

static void end(void)
{
    while (depth)
        pop();
    for (unsigned i = 0; i < CODES; i++)
        free_code(i);
}

static void one_step(void)
{
    switch (dice(12)) {
    case 0:
    case 1:
    case 2:
        if (depth < 200)
            push((int)dice(CODES), random_place(true), -1);
        break;
    case 3:
    case 4:
        if (depth)
            pop();
        break;
    case 5:
        for (unsigned i = dice(6); i && depth; i--)
            pop();
        break;
    case 6: { /* resume a generator, from wherever */
        unsigned which = dice(16);
        if (!generator_busy[which] && depth < 200) {
            generator_busy[which] = true;
            push((int)dice(CODES), random_place(false), (int)which);
        }
        break;
    }
    case 7: /* a call from C */
        if (offsets->owner_shim && depth < 200) {
            push(-1, 0, -1);
            push((int)dice(CODES), random_place(false), -1);
        }
        break;
    case 8: /* the same address, another code object */
        if (depth) {
            unsigned which = dice(CODES);
            if (!code_uses[which]) {
                free_code(which);
                make_code(which);
            }
        }
        break;
    case 9: /* return to a caller that goes on, and call again: the innermost frame is at the same place as before */
        if (depth >= 2 && stack[depth - 2].code >= 0) {
            int code = stack[depth - 1].code;
            pop();
            set_place(&stack[depth - 1], random_place(false));
            push(code, random_place(false), -1);
        }
        break;
    default:
        if (depth && stack[depth - 1].code >= 0)
            set_place(&stack[depth - 1], random_place(false));
        break;
    }
}

static void for_each_row(void (*test)(void))
{
    for (unsigned minor = 9; minor <= 15; minor++) {
        for (int free_threaded = 0; free_threaded < 2; free_threaded++) {
            const struct python_offsets *row = python_offsets_find(minor, free_threaded);
            if (!row)
                continue;
            begin(row);
            test();
            end();
        }
    }
}

static void random_calls(void)
{
    random_state = offsets->minor * 2u + offsets->free_threaded;
    for (unsigned i = 0; i < 100000; i++) {
        one_step();
        if (dice(3))
            check(dice(2) ? stack_attached(&self) : python_stack(&self));
    }
}

static void any_sequence_of_calls(void **state)
{
    (void)state;
    for_each_row(random_calls);
}

static void deep(void)
{
    random_state = 1;
    /* far deeper than what is kept: stacks are cut, but innermost frames stay, and the cut does not move with each call
     */
    for (unsigned i = 0; i < 25000; i++) {
        push((int)dice(CODES), random_place(false), -1);
        if (i % 601 == 0 || (i > 8180 && i < 8200)) {
            unsigned shown = check(stack_attached(&self));
            assert_true(shown == depth || (shown >= 4000 && shown <= 8192));
        }
    }
    check(stack_attached(&self));
    uint32_t before = node_count;
    for (unsigned i = 0; i < 20; i++) {
        pop();
        push(3, random_place(false), -1);
        check(stack_attached(&self));
    }
    assert_true(node_count - before <= 20);
    while (depth > 10) {
        pop();
        if (depth % 997 == 0 || depth < 30)
            check(stack_attached(&self));
    }
    assert_int_equal(check(stack_attached(&self)), 10);
}

static void deep_recursion(void **state)
{
    (void)state;
    for_each_row(deep);
}

static void unchanged(void)
{
    for (unsigned i = 0; i < 10; i++)
        push((int)i, 20, -1);
    uint32_t node = stack_attached(&self), before = node_count;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(stack_attached(&self), node);
    assert_int_equal(node_count, before);
    while (depth)
        pop();
    assert_int_equal(stack_attached(&self), 0);
}

static void the_same_stack_is_the_same_node(void **state)
{
    (void)state;
    for_each_row(unchanged);
}

static void outermost(void)
{
    /* a generator that was resumed by C alone, then by Python: nothing but the end of the list has changed */
    push(1, 20, 0);
    check(stack_attached(&self));
    pop();
    push(2, 20, -1);
    push(1, 20, 0);
    assert_int_equal(check(stack_attached(&self)), 2);
    while (depth)
        pop();
    push(1, 20, 0);
    assert_int_equal(check(stack_attached(&self)), 1);
}

static void the_outermost_frame_is_compared_too(void **state)
{
    (void)state;
    for_each_row(outermost);
}

static void a_copy_of_the_bytecode_is_understood(void **state)
{
    (void)state;
    for (unsigned minor = 14; minor <= 15; minor++) {
        begin(python_offsets_find(minor, true));
        static char copy[2 * INSTRUCTIONS];
        uint64_t copies[] = {3, (uintptr_t)codes[5] + offsets->code.bytecode, (uintptr_t)copy, 0};
        PUT(void *, codes[5], offsets->code.thread_bytecode, copies);
        push(5, 40, -1);
        PUT(char *, stack[0].frame, offsets->frame.instruction, copy + 40);
        PUT(int32_t, stack[0].frame, offsets->frame.tlbc_index, 1);
        assert_int_equal(check(stack_attached(&self)), 1);
        PUT(int32_t, stack[0].frame, offsets->frame.tlbc_index, 0);
        end();
    }
}

static void names(void)
{
    static const uint32_t latin[] = {'c', 0xe9, 0xff}, bmp[] = {'x', 0x4e2d, 0xdc80, 0x3b1},
                          astral[] = {0x1f600, 'y', 0x10ffff};
    const struct {
        char *string;
        const char *text;
    } cases[] = {
        {make_wide(1, latin, 3), "c\xc3\xa9\xc3\xbf"},
        {make_wide(2, bmp, 4), "x\xe4\xb8\xad\\udc80\xce\xb1"},
        {make_wide(4, astral, 3), "\xf0\x9f\x98\x80y\xf4\x8f\xbf\xbf"},
        {make_ascii(""), ""},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        free(GET(char *, codes[i], offsets->code.name));
        PUT(char *, codes[i], offsets->code.name, cases[i].string);
        push((int)i, 20, -1);
        uint32_t node = stack_attached(&self);
        assert_string_equal(told[nodes[node].frame >> 32].function, cases[i].text);
        assert_int_equal(told[nodes[node].frame >> 32].body.line_table_length, 10);
        assert_int_equal(told[nodes[node].frame >> 32].body.truncated, 0);
    }
    small_ring = true;
    push(20, 20, -1);
    uint32_t node = stack_attached(&self);
    assert_int_equal(told[nodes[node].frame >> 32].body.truncated, 1);
    assert_int_equal(told[nodes[node].frame >> 32].body.line_table_length, 0);
    small_ring = false;
}

static void names_in_every_script(void **state)
{
    (void)state;
    for_each_row(names);
}

static void teardown_hides_threads_that_are_not_attached(void **state)
{
    (void)state;
    begin(python_offsets_find(13, false));
    push(1, 20, -1);
    assert_int_not_equal(python_stack(&self), 0);
    self.clock_ns++;
    checks = 0;
    python_stack(&self);
    python_stack(&self);
    assert_int_equal(checks, 1); /* once per tick */
    stack_forsake_allocators();
    self.clock_ns++;
    assert_int_not_equal(python_stack(&self), 0);
    assert_int_equal(checks, 1); /* a detach takes them back: what is missing then is not put in again */
    stack_teardown(true);
    assert_int_not_equal(python_stack(&self), 0);
    stack_teardown(false);
    stack_start(NULL);
    assert_int_equal(python_stack(&self), 0);
    assert_int_equal(stack_attached(&self), 0);
    end();
}

static void *no_thread_state(void)
{
    return NULL;
}

static char main_interpreters_state[256];
static void *state_in_main_interpreter(void)
{
    return main_interpreters_state;
}

/* A thread that runs in another interpreter than that of its own state holds the GIL; while another thread runs it does not. */
static void a_subinterpreter_is_attached_too(void **state)
{
    (void)state;
    for (unsigned minor = 9; minor <= 15; minor++) {
        begin(python_offsets_find(minor, false));
        assert_true(stack_is_attached());
        python_capi.PyGILState_GetThisThreadState = state_in_main_interpreter;
        stack_start(offsets);
        if (minor < 12) {
            assert_false(stack_is_attached());
            PUT(uintptr_t, thread_state, offsets->thread_state.thread, (uintptr_t)pthread_self());
            unreadable = thread_state;
            assert_false(stack_is_attached());
            unreadable = NULL;
        }
        assert_true(stack_is_attached());
        python_capi.PyThreadState_GetUnchecked = no_thread_state;
        stack_start(offsets);
        assert_false(stack_is_attached());
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_of_calls),
        cmocka_unit_test(deep_recursion),
        cmocka_unit_test(the_same_stack_is_the_same_node),
        cmocka_unit_test(the_outermost_frame_is_compared_too),
        cmocka_unit_test(a_copy_of_the_bytecode_is_understood),
        cmocka_unit_test(names_in_every_script),
        cmocka_unit_test(teardown_hides_threads_that_are_not_attached),
        cmocka_unit_test(a_subinterpreter_is_attached_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
