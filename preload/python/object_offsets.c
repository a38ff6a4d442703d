/*
 * object_offsets.c - see object_offsets.h
 *
 * A row is what tests/support/show_object_offsets.c prints when it is compiled with the headers of that version.
 */
#include "object_offsets.h"

#include <stddef.h>

#define NO PYTHON_NO_FIELD

/* The rows are printed by a program. */
/* clang-format off */

static const struct python_object_offsets table[] = {
    {
        .minor = 11,
        .interpreter = {.next = 0, .threads = 16, .gc = 648, .modules = 888, .sysdict = 904, .builtins = 912,
                .static_types = 0, .ast = 7160, .ast_size = 1896, .interned = NO},
        .gc = {.generations = 24, .permanent = 104, .generation_size = 24},
        .static_type = {.size = 0},
        .interpreter_roots = {
            {888, "sys.modules"}, {896, "modules by index"}, {920, "importlib"}, {1416, "import function"},
            {904, "sys.__dict__"}, {912, "builtins.__dict__"}, {1400, "interpreter dict"},
            {1408, "copy of builtins"}, {936, "codec search path"}, {944, "codec cache"},
            {952, "codec error handlers"}, {3480, "os.register_at_fork before"},
            {3488, "os.register_at_fork parent"}, {3496, "os.register_at_fork child"},
            {3504, "warning filters"}, {3512, "warnings shown once"}, {3520, "warnings default action"},
            {3552, "audit hooks"}, {7128, "errno map"}, {7152, "ExceptionGroup"}, {856, "gc.garbage"},
            {864, "gc.callbacks"},
        },
        .thread = {.next = 8},
        .thread_roots = {
            {128, "thread dict"}, {224, "context"}, {144, "async exception"}, {96, "exception type"},
            {104, "exception"}, {112, "exception traceback"}, {320, "handled exception"},
            {80, "profile function"}, {88, "trace function"}, {208, "asyncgen firstiter hook"},
            {216, "asyncgen finalizer hook"},
        },
        .frame = {.function = 0, .f_locals = 24, .frame_object = 40, .stack_top = 64, .stack_pointer = NO,
                .locals = 72},
        .frame_object = {.frame = 24, .owned = 48},
        .code = {.local_count = 76, .stack_size = 68, .free_count = 92, .local_names = 96, .local_kinds = 104,
                .consts = 24, .names = 32, .exception_table = 40, .file_name = 112, .name = 120,
                .qualified_name = 128, .line_table = 136, .code = 152, .cached = NO},
        .generator = {.code = 16, .name = 32, .qualified_name = 40, .exception = 48, .origin = 64, .state = 75,
                .frame = 80, .cleared = 4},
        .type = {.cached_keys = 872, .name = 848, .slots = 856, .qualified_name = 864, .module = 880},
        .function = {.globals = 16, .builtins = 24, .name = 32, .qualified_name = 40, .code = 48, .defaults = 56,
                .kwdefaults = 64, .closure = 72, .doc = 80, .dict = 88, .module = 104, .annotations = 112,
                .annotate = NO, .typeparams = NO},
        .tuple = {.items = 24},
        .module = {.name = 48},
        .exception = {.dict = 16, .args = 24, .notes = 32, .traceback = 40, .context = 48, .cause = 56},
    },
    {
        .minor = 12,
        .interpreter = {.next = 0, .threads = 72, .gc = 112, .modules = 944, .sysdict = 352, .builtins = 360,
                .static_types = 373704, .static_type_count = 200, .ast = 273432, .ast_size = 1952,
                .interned = 382936},
        .gc = {.generations = 24, .permanent = 104, .generation_size = 24},
        .static_type = {.size = 40, .type = 0, .dict = 16, .subclasses = 24},
        .interpreter_roots = {
            {944, "sys.modules"}, {952, "modules by index"}, {960, "importlib"}, {984, "import function"},
            {352, "sys.__dict__"}, {360, "builtins.__dict__"}, {1720, "interpreter dict"},
            {1736, "copy of builtins"}, {1728, "copy of sys"}, {1248, "codec search path"},
            {1256, "codec cache"}, {1264, "codec error handlers"}, {3872, "os.register_at_fork before"},
            {3880, "os.register_at_fork parent"}, {3888, "os.register_at_fork child"},
            {3896, "warning filters"}, {3904, "warnings shown once"}, {3912, "warnings default action"},
            {267208, "audit hooks"}, {273400, "errno map"}, {273424, "ExceptionGroup"},
            {382936, "interned strings"}, {383048, "typing.Generic"}, {383056, "typing.TypeVar"},
            {383064, "typing.TypeVarTuple"}, {383072, "typing.ParamSpec"}, {383080, "typing.ParamSpecArgs"},
            {383088, "typing.ParamSpecKwargs"}, {381736, "interpreter trampoline"}, {320, "gc.garbage"},
            {328, "gc.callbacks"},
        },
        .thread = {.next = 8},
        .thread_roots = {
            {112, "thread dict"}, {208, "context"}, {128, "async exception"}, {96, "exception"},
            {256, "handled exception"}, {80, "profile function"}, {88, "trace function"},
            {192, "asyncgen firstiter hook"}, {200, "asyncgen finalizer hook"},
        },
        .frame = {.function = 16, .f_locals = 40, .frame_object = 48, .stack_top = 64, .stack_pointer = NO,
                .locals = 72},
        .frame_object = {.frame = 24, .owned = 48},
        .code = {.local_count = 72, .stack_size = 64, .free_count = 88, .local_names = 96, .local_kinds = 104,
                .consts = 24, .names = 32, .exception_table = 40, .file_name = 112, .name = 120,
                .qualified_name = 128, .line_table = 136, .code = NO, .cached = 152},
        .generator = {.code = NO, .name = 24, .qualified_name = 32, .exception = 40, .origin = 56, .state = 67,
                .frame = 72, .cleared = 4},
        .type = {.cached_keys = 880, .name = 856, .slots = 864, .qualified_name = 872, .module = 888},
        .function = {.globals = 16, .builtins = 24, .name = 32, .qualified_name = 40, .code = 48, .defaults = 56,
                .kwdefaults = 64, .closure = 72, .doc = 80, .dict = 88, .module = 104, .annotations = 112,
                .annotate = NO, .typeparams = 120},
        .tuple = {.items = 24},
        .module = {.name = 48},
        .exception = {.dict = 16, .args = 24, .notes = 32, .traceback = 40, .context = 48, .cause = 56},
    },
    {
        .minor = 13,
        .interpreter = {.next = 7264, .threads = 7344, .gc = 7400, .modules = 7656, .sysdict = 7640,
                .builtins = 7648, .static_types = 182968, .static_type_count = 200, .extension_types = 192584,
                .extension_type_count = 10, .ast = 82696, .ast_size = 1952, .interned = 194328},
        .gc = {.generations = 24, .permanent = 104, .generation_size = 24},
        .static_type = {.size = 48, .type = 0, .dict = 24, .subclasses = 32},
        .interpreter_roots = {
            {7656, "sys.modules"}, {7664, "modules by index"}, {7672, "importlib"}, {7696, "import function"},
            {7640, "sys.__dict__"}, {7648, "builtins.__dict__"}, {8448, "interpreter dict"},
            {8464, "copy of builtins"}, {8456, "copy of sys"}, {7960, "codec search path"},
            {7968, "codec cache"}, {7976, "codec error handlers"}, {10632, "os.register_at_fork before"},
            {10640, "os.register_at_fork parent"}, {10648, "os.register_at_fork child"},
            {10656, "warning filters"}, {10664, "warnings shown once"}, {10672, "warnings default action"},
            {10808, "audit hooks"}, {82640, "errno map"}, {82664, "ExceptionGroup"},
            {194328, "interned strings"}, {194440, "typing.Generic"}, {194448, "typing.TypeVar"},
            {194456, "typing.TypeVarTuple"}, {194464, "typing.ParamSpec"}, {194472, "typing.ParamSpecArgs"},
            {194480, "typing.ParamSpecKwargs"}, {7608, "gc.garbage"}, {7616, "gc.callbacks"},
        },
        .thread = {.next = 8},
        .thread_roots = {
            {128, "thread dict"}, {208, "context"}, {144, "async exception"}, {112, "exception"},
            {256, "handled exception"}, {96, "profile function"}, {104, "trace function"},
            {192, "asyncgen firstiter hook"}, {200, "asyncgen finalizer hook"}, {288, "threading.local key"},
            {296, "threading.local sentinel"},
        },
        .frame = {.function = 16, .f_locals = 40, .frame_object = 48, .stack_top = 64, .stack_pointer = NO,
                .locals = 72},
        .frame_object = {.frame = 24, .owned = 64},
        .code = {.local_count = 72, .stack_size = 64, .free_count = 88, .local_names = 96, .local_kinds = 104,
                .consts = 24, .names = 32, .exception_table = 40, .file_name = 112, .name = 120,
                .qualified_name = 128, .line_table = 136, .code = NO, .cached = 160},
        .generator = {.code = NO, .name = 24, .qualified_name = 32, .exception = 40, .origin = 56, .state = 67,
                .frame = 72, .cleared = 4},
        .type = {.cached_keys = 880, .name = 856, .slots = 864, .qualified_name = 872, .module = 888},
        .function = {.globals = 16, .builtins = 24, .name = 32, .qualified_name = 40, .code = 48, .defaults = 56,
                .kwdefaults = 64, .closure = 72, .doc = 80, .dict = 88, .module = 104, .annotations = 112,
                .annotate = NO, .typeparams = 120},
        .tuple = {.items = 24},
        .module = {.name = 48},
        .exception = {.dict = 16, .args = 24, .notes = 32, .traceback = 40, .context = 48, .cause = 56},
    },
    {
        .minor = 14,
        .interpreter = {.next = 7272, .threads = 7344, .gc = 7408, .modules = 7688, .sysdict = 7672,
                .builtins = 7680, .static_types = 180240, .static_type_count = 200, .extension_types = 189856,
                .extension_type_count = 10, .ast = 79944, .ast_size = 1976, .interned = 224624},
        .gc = {.generations = 24, .permanent = 96, .generation_size = 24},
        .static_type = {.size = 48, .type = 0, .dict = 24, .subclasses = 32},
        .interpreter_roots = {
            {7688, "sys.modules"}, {7696, "modules by index"}, {7704, "importlib"}, {7728, "import function"},
            {7672, "sys.__dict__"}, {7680, "builtins.__dict__"}, {8496, "interpreter dict"},
            {8512, "copy of builtins"}, {8504, "copy of sys"}, {8000, "codec search path"},
            {8008, "codec cache"}, {8016, "codec error handlers"}, {10696, "os.register_at_fork before"},
            {10704, "os.register_at_fork parent"}, {10712, "os.register_at_fork child"},
            {10720, "warning filters"}, {10728, "warnings shown once"}, {10736, "warnings default action"},
            {10792, "atexit callbacks"}, {10912, "audit hooks"}, {79888, "errno map"},
            {79912, "ExceptionGroup"}, {224624, "interned strings"}, {224728, "typing.Generic"},
            {224736, "typing.TypeVar"}, {224744, "typing.TypeVarTuple"}, {224752, "typing.ParamSpec"},
            {224760, "typing.ParamSpecArgs"}, {224768, "typing.ParamSpecKwargs"},
            {224776, "typing constant evaluator"}, {7608, "gc.garbage"}, {7616, "gc.callbacks"},
        },
        .thread = {.next = 8},
        .thread_roots = {
            {128, "thread dict"}, {208, "context"}, {144, "async exception"}, {112, "exception"},
            {256, "handled exception"}, {96, "profile function"}, {104, "trace function"},
            {192, "asyncgen firstiter hook"}, {200, "asyncgen finalizer hook"}, {288, "threading.local key"},
            {296, "threading.local sentinel"}, {864, "running event loop"}, {872, "running task"},
        },
        .frame = {.function = 16, .f_locals = 40, .frame_object = 48, .stack_top = NO, .stack_pointer = 64,
                .locals = 80},
        .frame_object = {.frame = 24, .owned = 72},
        .code = {.local_count = 72, .stack_size = 64, .free_count = 88, .local_names = 96, .local_kinds = 104,
                .consts = 24, .names = 32, .exception_table = 40, .file_name = 112, .name = 120,
                .qualified_name = 128, .line_table = 136, .code = NO, .cached = 160},
        .generator = {.code = NO, .name = 24, .qualified_name = 32, .exception = 40, .origin = 56, .state = 67,
                .frame = 72, .cleared = 4},
        .type = {.cached_keys = 880, .name = 856, .slots = 864, .qualified_name = 872, .module = 888},
        .function = {.globals = 16, .builtins = 24, .name = 32, .qualified_name = 40, .code = 48, .defaults = 56,
                .kwdefaults = 64, .closure = 72, .doc = 80, .dict = 88, .module = 104, .annotations = 112,
                .annotate = 120, .typeparams = 128},
        .tuple = {.items = 32},
        .module = {.name = 48},
        .exception = {.dict = 16, .args = 24, .notes = 32, .traceback = 40, .context = 48, .cause = 56},
    },
    {
        .minor = 15,
        .interpreter = {.next = 7264, .threads = 7336, .gc = 7400, .modules = 7592, .sysdict = 7576,
                .builtins = 7584, .static_types = 180264, .static_type_count = 203, .extension_types = 190024,
                .extension_type_count = 10, .ast = 79952, .ast_size = 1992, .interned = 224896},
        .gc = {.generations = 8, .permanent = 80, .generation_size = 24},
        .static_type = {.size = 48, .type = 0, .dict = 24, .subclasses = 32},
        .interpreter_roots = {
            {7592, "sys.modules"}, {7600, "modules by index"}, {7608, "importlib"}, {7632, "import function"},
            {7576, "sys.__dict__"}, {7584, "builtins.__dict__"}, {8448, "interpreter dict"},
            {8464, "copy of builtins"}, {8456, "copy of sys"}, {7952, "codec search path"},
            {7960, "codec cache"}, {7968, "codec error handlers"}, {10672, "os.register_at_fork before"},
            {10680, "os.register_at_fork parent"}, {10688, "os.register_at_fork child"},
            {10696, "warning filters"}, {10704, "warnings shown once"}, {10712, "warnings default action"},
            {10752, "warnings context"}, {10768, "atexit callbacks"}, {10888, "audit hooks"},
            {79896, "errno map"}, {79920, "ExceptionGroup"}, {224896, "interned strings"},
            {224912, "typing.Generic"}, {224920, "typing.TypeVar"}, {224928, "typing.TypeVarTuple"},
            {224936, "typing.ParamSpec"}, {224944, "typing.ParamSpecArgs"}, {224952, "typing.ParamSpecKwargs"},
            {224960, "typing constant evaluator"}, {224968, "__dict__ descriptor"},
            {224976, "__weakref__ descriptor"}, {7640, "lazy import function"}, {7656, "lazy imports filter"},
            {7664, "sys.lazy_modules"}, {7672, "lazy submodules"}, {7528, "gc.garbage"}, {7536, "gc.callbacks"},
        },
        .thread = {.next = 8},
        .thread_roots = {
            {152, "thread dict"}, {232, "context"}, {168, "async exception"}, {136, "exception"},
            {288, "handled exception"}, {120, "profile function"}, {128, "trace function"},
            {216, "asyncgen firstiter hook"}, {224, "asyncgen finalizer hook"}, {328, "threading.local key"},
            {336, "threading.local sentinel"}, {1024, "running event loop"}, {1032, "running task"},
        },
        .frame = {.function = 16, .f_locals = 40, .frame_object = 48, .stack_top = NO, .stack_pointer = 64,
                .locals = 80},
        .frame_object = {.frame = 24, .owned = 72},
        .code = {.local_count = 72, .stack_size = 64, .free_count = 88, .local_names = 96, .local_kinds = 104,
                .consts = 24, .names = 32, .exception_table = 40, .file_name = 112, .name = 120,
                .qualified_name = 128, .line_table = 136, .code = NO, .cached = 160},
        .generator = {.code = NO, .name = 24, .qualified_name = 32, .exception = 40, .origin = 56, .state = 67,
                .frame = 72, .cleared = 5},
        .type = {.cached_keys = 888, .name = 864, .slots = 872, .qualified_name = 880, .module = 896},
        .function = {.globals = 16, .builtins = 24, .name = 32, .qualified_name = 40, .code = 48, .defaults = 56,
                .kwdefaults = 64, .closure = 72, .doc = 80, .dict = 88, .module = 104, .annotations = 112,
                .annotate = 120, .typeparams = 128},
        .tuple = {.items = 32},
        .module = {.name = 40},
        .exception = {.dict = 16, .args = 24, .notes = 32, .traceback = 40, .context = 48, .cause = 56},
    },
};

/* Which word of _Py_DebugOffsets holds which field; 0: this version does not publish it. */
struct published_layout {
    uint8_t minor;
    uint8_t next, threads, gc, modules, sysdict, builtins; /* interpreter_state */
    uint8_t thread_next;                                   /* thread_state      */
    uint8_t locals, stack_pointer;                         /* interpreter_frame */
    uint8_t type_name, type_flags;                         /* type_object       */
    uint8_t tuple_items, list_items;
    uint8_t set_table, set_mask;                           /* set_object        */
    uint8_t dict_keys, dict_values;                        /* dict_object       */
    uint8_t generator_frame, generator_state;              /* gen_object        */
};

/* Counted from the beginning of _Py_DebugOffsets, as in offsets.c. */
static const struct published_layout layouts[] = {
    {.minor = 13, .next = 8, .threads = 9, .gc = 10, .modules = 11, .sysdict = 12, .builtins = 13,
     .thread_next = 21, .locals = 32, .type_name = 47, .type_flags = 49, .tuple_items = 51, .list_items = 54,
     .dict_keys = 57, .dict_values = 58},
    {.minor = 14, .next = 8, .threads = 9, .gc = 11, .modules = 12, .sysdict = 13, .builtins = 14,
     .thread_next = 24, .locals = 35, .stack_pointer = 37, .type_name = 53, .type_flags = 55, .tuple_items = 57,
     .list_items = 60, .set_table = 64, .set_mask = 65, .dict_keys = 67, .dict_values = 68, .generator_frame = 85,
     .generator_state = 86},
    {.minor = 15, .next = 8, .threads = 9, .gc = 11, .modules = 12, .sysdict = 13, .builtins = 14,
     .thread_next = 24, .locals = 43, .stack_pointer = 45, .type_name = 61, .type_flags = 63, .tuple_items = 69,
     .list_items = 72, .set_table = 76, .set_mask = 77, .dict_keys = 79, .dict_values = 80, .generator_frame = 101,
     .generator_state = 102},
};

/* clang-format on */

const struct python_object_offsets *python_object_offsets_find(unsigned minor)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].minor == minor)
            return &table[i];
    }
    return NULL;
}

enum python_check python_object_offsets_check(const struct python_object_offsets *offsets, const void *runtime)
{
    if (offsets->minor < 13)
        return PYTHON_CHECK_AGREES;
    const uint64_t *words = runtime;
    const struct published_layout *layout = NULL;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i].minor == offsets->minor)
            layout = &layouts[i];
    }
    if (!layout || !runtime)
        return PYTHON_CHECK_DIFFERS;
    const struct {
        uint8_t word;
        uint32_t offset;
    } fields[] = {
        {layout->next, offsets->interpreter.next},
        {layout->threads, offsets->interpreter.threads},
        {layout->gc, offsets->interpreter.gc},
        {layout->modules, offsets->interpreter.modules},
        {layout->sysdict, offsets->interpreter.sysdict},
        {layout->builtins, offsets->interpreter.builtins},
        {layout->thread_next, offsets->thread.next},
        {layout->locals, offsets->frame.locals},
        {layout->stack_pointer, offsets->frame.stack_pointer},
        {layout->type_name, PYTHON_TYPE_NAME},
        {layout->type_flags, PYTHON_TYPE_FLAGS},
        {layout->tuple_items, offsets->tuple.items},
        {layout->list_items, PYTHON_LIST_ITEMS},
        {layout->set_table, PYTHON_SET_TABLE},
        {layout->set_mask, PYTHON_SET_MASK},
        {layout->dict_keys, PYTHON_DICT_KEYS},
        {layout->dict_values, PYTHON_DICT_VALUES},
        {layout->generator_frame, offsets->generator.frame},
        {layout->generator_state, offsets->generator.state},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].word && words[fields[i].word] != fields[i].offset)
            return PYTHON_CHECK_DIFFERS;
    }
    return PYTHON_CHECK_AGREES;
}
