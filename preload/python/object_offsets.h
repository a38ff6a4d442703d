/*
 * object_offsets.h - where CPython keeps what the walk over its objects reads, per version; and the layouts that are
 * the same in all of them.
 *
 * offsets.h has what stacks need. docs/HOWTO_ADD_PYTHON_VERSION.md tells how a row comes about.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_OBJECT_OFFSETS_H
#define HEAPSAKE_PRELOAD_PYTHON_OBJECT_OFFSETS_H

#include <stdbool.h>
#include <stdint.h>

#include "offsets.h"

/* A field that holds a reference, and what it is called. */
struct python_root_field {
    uint32_t offset;
    const char *name;
};

#define PYTHON_INTERPRETER_ROOTS 48
#define PYTHON_THREAD_ROOTS 16

struct python_object_offsets {
    uint8_t minor;

    struct {
        uint32_t next;
        uint32_t threads; /* PyInterpreterState.threads.head                                             */
        uint32_t gc;      /* .gc, a struct _gc_runtime_state                                             */
        uint32_t modules, sysdict, builtins; /* for the comparison with _Py_DebugOffsets                          */
        uint32_t static_types; /* .types.builtins, an array (3.12+); 0: static types have it all themselves      */
        uint32_t static_type_count;
        uint32_t extension_types; /* .types.for_extensions (3.13+)                                              */
        uint32_t extension_type_count;
        uint32_t ast, ast_size; /* .ast: pointers to types and singletons of the module _ast, among some ints       */
        uint32_t interned; /* .cached_objects.interned_strings (3.12+): a dict whose references are not counted   */
    } interpreter;
    struct {
        uint16_t generations; /* in struct _gc_runtime_state: three of them                                    */
        uint16_t permanent;
        uint16_t generation_size;
    } gc;
    struct {
        uint16_t size; /* an element of those arrays                                                         */
        uint16_t type, dict, subclasses;
    } static_type;
    /* Both end with a name that is NULL. */
    struct python_root_field interpreter_roots[PYTHON_INTERPRETER_ROOTS];
    struct {
        uint16_t next;
    } thread;
    struct python_root_field thread_roots[PYTHON_THREAD_ROOTS];
    struct {
        uint16_t function, f_locals, frame_object;
        uint16_t stack_top;     /* an int, the number of slots in use or -1 (up to 3.13)                         */
        uint16_t stack_pointer; /* behind the last slot in use (3.14+)                                          */
        uint16_t locals;
    } frame;
    struct {
        uint16_t frame;
        uint16_t owned; /* where the frame lies that the object owns                                          */
    } frame_object;
    struct {
        uint16_t local_count, stack_size, free_count; /* ints */
        uint16_t local_names, local_kinds, consts, names, exception_table, file_name, name, qualified_name, line_table;
        uint16_t code;   /* the cached co_code (3.11)                                                        */
        uint16_t cached; /* a pointer to four cached references (3.12+)                                       */
    } code;
    struct {
        uint16_t code; /* gi_code (3.11); later, the frame's                                                 */
        uint16_t name, qualified_name, exception, origin;
        uint16_t state; /* a signed byte                                                                     */
        uint16_t frame;
        int8_t cleared; /* from this state on the frame holds nothing but its code (3.12+)                       */
    } generator;
    struct {
        uint16_t cached_keys, name, slots, qualified_name, module; /* PyHeapTypeObject */
    } type;
    struct {
        uint16_t globals, builtins, name, qualified_name, code, defaults, kwdefaults, closure, doc, dict, module,
            annotations;
        uint16_t annotate, typeparams;
    } function;
    struct {
        uint16_t items;
    } tuple;
    struct {
        uint16_t name;
    } module;
    struct {
        uint16_t dict, args, notes, traceback, context, cause;
    } exception;
};

/* The row of a version with the GIL; NULL when there is none: its objects are not walked. */
const struct python_object_offsets *python_object_offsets_find(unsigned minor);

/*
 * Compares the row with the _Py_DebugOffsets at the beginning of _PyRuntime, which python_offsets_check() has found to
 * be of this version.
 */
enum python_check python_object_offsets_check(const struct python_object_offsets *offsets, const void *runtime);

/*
 * The same in 3.11 to 3.15. Offsets in bytes.
 *
 *   PyObject        refcount, type; PyVarObject: then the size
 *   PyGC_Head       in the two words before the object; lists are linked through `next`
 *   pre-header      before that: the managed __dict__ at -24, weak references (3.12+) or inline values (3.11) at -32
 */
enum {
    PYTHON_OBJECT_REFCOUNT = 0,
    PYTHON_OBJECT_FLAGS = 6, /* 16 bits (3.14+) */
    PYTHON_OBJECT_TYPE = 8,
    PYTHON_OBJECT_SIZE = 16,
    PYTHON_OBJECT_BYTES = 16,

    PYTHON_GC_NEXT = 0,
    PYTHON_GC_PREVIOUS = 8,
    PYTHON_GC_HEAD_BYTES = 16,
    PYTHON_GC_FINALIZED = 1,    /* in `previous` */
    PYTHON_GC_POINTER_MASK = 3, /* low bits of `next` that are no address */

    PYTHON_MANAGED_DICT = -24,
    PYTHON_MANAGED_VALUES = -32, /* 3.11 */

    PYTHON_TYPE_NAME = 24,
    PYTHON_TYPE_BASIC_SIZE = 32,
    PYTHON_TYPE_ITEM_SIZE = 40,
    PYTHON_TYPE_FLAGS = 168,
    PYTHON_TYPE_TRAVERSE = 184,
    PYTHON_TYPE_WEAK_OFFSET = 208,
    PYTHON_TYPE_MEMBERS = 240,
    PYTHON_TYPE_BASE = 256,
    PYTHON_TYPE_DICT = 264,
    PYTHON_TYPE_DICT_OFFSET = 288,
    PYTHON_TYPE_IS_GC = 328,
    PYTHON_TYPE_BASES = 336,
    PYTHON_TYPE_MRO = 344,
    PYTHON_TYPE_CACHE = 352,
    PYTHON_TYPE_SUBCLASSES = 360,
    PYTHON_TYPE_WEAK_LIST = 368,
    PYTHON_TYPE_DEL = 376,
    PYTHON_TYPE_FINALIZE = 392,

    PYTHON_LINK_NEXT = 24, /* lru_list_elem, of which the lru_cache object's beginning is one */
    PYTHON_LIST_ITEMS = 24,
    PYTHON_DICT_KEYS = 32,
    PYTHON_DICT_VALUES = 40,
    PYTHON_SET_MASK = 32,
    PYTHON_SET_TABLE = 40,
    PYTHON_WEAKREF_OBJECT = 16,
    PYTHON_WEAKREF_CALLBACK = 24,
    PYTHON_WEAKREF_PREVIOUS = 40, /* behind the hash */
    PYTHON_WEAKREF_NEXT = 48,

    /* struct _dictkeysobject; entries follow the indices. */
    PYTHON_KEYS_INDEX_BYTES = 9, /* a byte: log2 of the bytes of the indices */
    PYTHON_KEYS_KIND = 10,       /* a byte: 0: entries are hash, key, value; else key, value */
    PYTHON_KEYS_COUNT = 24,
    PYTHON_KEYS_INDICES = 32,

    PYTHON_VALUES_CAPACITY = 0, /* struct _dictvalues (3.13+): a byte */
    PYTHON_VALUES_FIRST = 8,    /* the first of the values            */
};

/* tp_flags */
#define PYTHON_FLAG_STATIC_BUILTIN (UINT64_C(1) << 1) /* 3.12+ */
#define PYTHON_FLAG_INLINE_VALUES (UINT64_C(1) << 2)  /* 3.13+ */
#define PYTHON_FLAG_MANAGED_DICT (UINT64_C(1) << 4)
#define PYTHON_FLAG_HEAP (UINT64_C(1) << 9)
#define PYTHON_FLAG_READY (UINT64_C(1) << 12)
#define PYTHON_FLAG_GC (UINT64_C(1) << 14)
#define PYTHON_FLAG_LONG (UINT64_C(1) << 24)
#define PYTHON_FLAG_LIST (UINT64_C(1) << 25)
#define PYTHON_FLAG_TUPLE (UINT64_C(1) << 26)
#define PYTHON_FLAG_BYTES (UINT64_C(1) << 27)
#define PYTHON_FLAG_STR (UINT64_C(1) << 28)
#define PYTHON_FLAG_DICT (UINT64_C(1) << 29)
#define PYTHON_FLAG_EXCEPTION (UINT64_C(1) << 30)
#define PYTHON_FLAG_TYPE (UINT64_C(1) << 31)

#endif
