/*
 * offsets.c - see offsets.h
 *
 * Fields have kept their places within a minor version. Each row was compared
 * with interpreters of that version (tests/e2e/test_python_stacks.py does it again on every one that is found), and
 * from 3.13 on python_offsets_check() compares it with what the running interpreter says of itself.
 */
#include "offsets.h"

#include <stddef.h>
#include <string.h>

#define NO PYTHON_NO_FIELD

/* The tables are read by people who compare them with CPython's headers. */
/* clang-format off */

/* PyASCIIObject and PyBytesObject; in the state, two bits or a byte of `interned` precede `kind`. */
#define STRINGS_WITH_WSTR {.length = 16, .state = 32, .ascii_data = 48, .compact_data = 72, .kind_shift = 2}
#define STRINGS {.length = 16, .state = 32, .ascii_data = 40, .compact_data = 56, .kind_shift = 2}
#define STRINGS_FREE_THREADED {.length = 32, .state = 48, .ascii_data = 56, .compact_data = 72, .kind_shift = 8}
#define BYTES {.size = 16, .bytes = 32}
#define BYTES_FREE_THREADED {.size = 32, .bytes = 48}
#define OBJECT {.type = 8}
#define OBJECT_FREE_THREADED {.type = 24}

/* 3.14 and 3.15 have the same frames; instr_ptr, stackpointer, tlbc_index (free-threaded), return_offset, owner. */
#define FRAME_3_14 \
    {.previous = 8, .code = 0, .instruction = 56, .owner = 74, .tlbc_index = NO}
#define FRAME_3_14_FREE_THREADED \
    {.previous = 8, .code = 0, .instruction = 56, .owner = 78, .tlbc_index = 72}
#define CODE_3_14                                                                                                      \
    {.bytecode = 208, .first_traceable = 192, .first_line = 68, .line_table = 136, .file_name = 112, .name = 128,      \
     .thread_bytecode = NO}
#define CODE_3_14_FREE_THREADED                                                                                        \
    {.bytecode = 232, .first_traceable = 208, .first_line = 84, .line_table = 152, .file_name = 128, .name = 144,      \
     .thread_bytecode = 224}

static const struct python_offsets table[] = {
    {
        .minor = 9, .frame_objects = true, .lasti_scale = 1, .entry = PYTHON_ENTRY_UNKNOWN,
        .thread_state = {.current_frame = 24, .thread = 176},
        .cframe = {.current_frame = NO},
        .frame = {.previous = 24, .code = 32, .instruction = 104, .owner = NO, .tlbc_index = NO},
        .code = {.bytecode = NO, .first_traceable = NO, .first_line = 40, .line_table = 120, .file_name = 104,
                 .name = 112, .thread_bytecode = NO},
        .object = OBJECT, .bytes = BYTES, .string = STRINGS_WITH_WSTR,
    },
    {
        .minor = 10, .frame_objects = true, .lasti_scale = 2, .entry = PYTHON_ENTRY_UNKNOWN,
        .thread_state = {.current_frame = 24, .thread = 176},
        .cframe = {.current_frame = NO},
        .frame = {.previous = 24, .code = 32, .instruction = 96, .owner = NO, .tlbc_index = NO},
        .code = {.bytecode = NO, .first_traceable = NO, .first_line = 40, .line_table = 120, .file_name = 104,
                 .name = 112, .thread_bytecode = NO},
        .object = OBJECT, .bytes = BYTES, .string = STRINGS_WITH_WSTR,
    },
    {
        .minor = 11, .entry = PYTHON_ENTRY_CFRAME, .owner_generator = 1, .owner_shim = 0,
        .thread_state = {.current_frame = 56, .thread = 152},
        .cframe = {.current_frame = 8, .previous = 16}, /* behind use_tracing */
        .frame = {.previous = 48, .code = 32, .instruction = 56, .owner = 69, .tlbc_index = NO},
        .code = {.bytecode = 184, .first_traceable = 168, .first_line = 72, .line_table = 136, .file_name = 112,
                 .name = 128, .thread_bytecode = NO},
        .object = OBJECT, .bytes = BYTES, .string = STRINGS_WITH_WSTR,
    },
    {
        .minor = 12, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1, .owner_shim = 3 /* CSTACK */,
        .thread_state = {.current_frame = 56, .thread = NO},
        .cframe = {.current_frame = 0},
        .frame = {.previous = 8, .code = 0, .instruction = 56, .owner = 70, .tlbc_index = NO},
        .code = {.bytecode = 192, .first_traceable = 176, .first_line = 68, .line_table = 136, .file_name = 112,
                 .name = 128, .thread_bytecode = NO},
        .object = OBJECT, .bytes = BYTES, .string = STRINGS,
    },
    {
        .minor = 13, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1, .owner_shim = 3 /* CSTACK */,
        .thread_state = {.current_frame = 72, .thread = NO},
        .cframe = {.current_frame = NO},
        .frame = {.previous = 8, .code = 0, .instruction = 56, .owner = 70, .tlbc_index = NO},
        .code = {.bytecode = 200, .first_traceable = 184, .first_line = 68, .line_table = 136, .file_name = 112,
                 .name = 128, .thread_bytecode = NO},
        .object = OBJECT, .bytes = BYTES, .string = STRINGS,
    },
    {
        .minor = 14, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1, .owner_shim = 3 /* INTERPRETER */,
        .code_tag_mask = 3,
        .thread_state = {.current_frame = 72, .thread = NO},
        .cframe = {.current_frame = NO},
        .frame = FRAME_3_14, .code = CODE_3_14, .object = OBJECT, .bytes = BYTES, .string = STRINGS,
    },
    {
        .minor = 14, .free_threaded = true, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1,
        .owner_shim = 3 /* INTERPRETER */, .code_tag_mask = 3,
        .thread_state = {.current_frame = 72, .thread = NO},
        .cframe = {.current_frame = NO},
        .frame = FRAME_3_14_FREE_THREADED, .code = CODE_3_14_FREE_THREADED, .object = OBJECT_FREE_THREADED,
        .bytes = BYTES_FREE_THREADED, .string = STRINGS_FREE_THREADED,
    },
    {
        .minor = 15, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1, .owner_shim = 3 /* INTERPRETER */,
        .code_tag_mask = 3,
        .thread_state = {.current_frame = 72, .thread = NO},
        .cframe = {.current_frame = NO},
        .frame = FRAME_3_14, .code = CODE_3_14, .object = OBJECT, .bytes = BYTES, .string = STRINGS,
    },
    {
        .minor = 15, .free_threaded = true, .entry = PYTHON_ENTRY_SHIM, .owner_generator = 1,
        .owner_shim = 3 /* INTERPRETER */, .code_tag_mask = 3,
        .thread_state = {.current_frame = 72, .thread = NO},
        .cframe = {.current_frame = NO},
        .frame = FRAME_3_14_FREE_THREADED, .code = CODE_3_14_FREE_THREADED, .object = OBJECT_FREE_THREADED,
        .bytes = BYTES_FREE_THREADED, .string = STRINGS_FREE_THREADED,
    },
};

/* Which word of _Py_DebugOffsets holds which field; 0: this version does not publish it. */
struct published_layout {
    uint8_t minor;
    uint8_t current_frame;                      /* thread_state       */
    uint8_t previous, executable, instruction, owner, tlbc_index; /* interpreter_frame  */
    uint8_t file_name, name, line_table, first_line, bytecode, thread_bytecode; /* code_object */
    uint8_t type;                               /* pyobject           */
    uint8_t size, bytes;                        /* bytes_object       */
    uint8_t state, length, ascii_data;          /* unicode_object     */
};

/* Words are counted from the beginning of _Py_DebugOffsets: cookie 0, version 1, free_threaded 2. */
static const struct published_layout layouts[] = {
    {
        .minor = 13, .current_frame = 23,
        .previous = 29, .executable = 30, .instruction = 31, .owner = 33,
        .file_name = 35, .name = 37, .line_table = 38, .first_line = 39, .bytecode = 43,
        .type = 45, .size = 65, .bytes = 66, .state = 68, .length = 69, .ascii_data = 70,
    },
    {
        .minor = 14, .current_frame = 26,
        .previous = 32, .executable = 33, .instruction = 34, .owner = 36, .tlbc_index = 38,
        .file_name = 40, .name = 42, .line_table = 43, .first_line = 44, .bytecode = 48, .thread_bytecode = 49,
        .type = 51, .size = 75, .bytes = 76, .state = 78, .length = 79, .ascii_data = 80,
    },
    {
        .minor = 15, .current_frame = 26,
        .previous = 40, .executable = 41, .instruction = 42, .owner = 44, .tlbc_index = 46,
        .file_name = 48, .name = 50, .line_table = 51, .first_line = 52, .bytecode = 56, .thread_bytecode = 57,
        .type = 59, .size = 87, .bytes = 88, .state = 90, .length = 91, .ascii_data = 92,
    },
};

/* clang-format on */

static const char cookie[8] = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};

const struct python_offsets *python_offsets_find(unsigned minor, bool free_threaded)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].minor == minor && table[i].free_threaded == free_threaded)
            return &table[i];
    }
    return NULL;
}

bool python_offsets_free_threaded(const void *runtime)
{
    const uint64_t *words = runtime;
    return runtime && memcmp(runtime, cookie, sizeof cookie) == 0 && words[2] == 1;
}

enum python_check python_offsets_check(const struct python_offsets *offsets, const void *runtime, uint32_t version)
{
    if (offsets->minor < 13)
        return PYTHON_CHECK_AGREES;
    const uint64_t *words = runtime;
    if (!runtime || memcmp(runtime, cookie, sizeof cookie) != 0 || words[1] != version ||
        (words[2] != 0) != offsets->free_threaded)
        return PYTHON_CHECK_DIFFERS;
    const struct published_layout *layout = NULL;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i].minor == offsets->minor)
            layout = &layouts[i];
    }
    if (!layout)
        return PYTHON_CHECK_DIFFERS;
    const struct {
        uint8_t word;
        uint16_t offset;
    } fields[] = {
        {layout->current_frame, offsets->thread_state.current_frame},
        {layout->previous, offsets->frame.previous},
        {layout->executable, offsets->frame.code},
        {layout->instruction, offsets->frame.instruction},
        {layout->owner, offsets->frame.owner},
        {layout->tlbc_index, offsets->frame.tlbc_index},
        {layout->file_name, offsets->code.file_name},
        {layout->name, offsets->code.name},
        {layout->line_table, offsets->code.line_table},
        {layout->first_line, offsets->code.first_line},
        {layout->bytecode, offsets->code.bytecode},
        {layout->thread_bytecode, offsets->code.thread_bytecode},
        {layout->type, offsets->object.type},
        {layout->size, offsets->bytes.size},
        {layout->bytes, offsets->bytes.bytes},
        {layout->state, offsets->string.state},
        {layout->length, offsets->string.length},
        {layout->ascii_data, offsets->string.ascii_data},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].offset != PYTHON_NO_FIELD && words[fields[i].word] != fields[i].offset)
            return PYTHON_CHECK_DIFFERS;
    }
    return PYTHON_CHECK_AGREES;
}
