/*
 * offsets.h - where CPython keeps what stack.c and code_table.c read, per version.
 *
 * docs/HOWTO_ADD_PYTHON_VERSION.md tells how a row comes about.
 */
#ifndef HEAPSAKE_PRELOAD_PYTHON_OFFSETS_H
#define HEAPSAKE_PRELOAD_PYTHON_OFFSETS_H

#include <stdbool.h>
#include <stdint.h>

/* In place of an offset: this version has no such field. */
#define PYTHON_NO_FIELD UINT16_MAX

/* How it is told which frames are run by which call of the eval loop, and where that is on the native stack. */
enum python_entry {
    PYTHON_ENTRY_UNKNOWN, /* up to 3.10                                                                          */
    PYTHON_ENTRY_CFRAME,  /* each call of the loop has a _PyCFrame in its own native frame (3.11)                 */
    PYTHON_ENTRY_SHIM,    /* the loop pushes a frame without Python code, which lies in its native frame (3.12+)   */
};

struct python_offsets {
    uint8_t minor;
    bool free_threaded;
    bool frame_objects;  /* frames are PyFrameObjects, with an index in place of a pointer (up to 3.10)     */
    uint8_t lasti_scale; /* bytes per unit of that index                                                  */
    enum python_entry entry;
    uint8_t owner_generator; /* enum _frameowner: such frames are never incomplete                             */
    uint8_t owner_shim;      /* this owner and higher ones: no Python code; 0: there are none                  */
    uint8_t code_tag_mask;   /* low bits of `code` that are no address (_PyStackRef)                            */

    struct {
        uint16_t current_frame; /* PyThreadState.current_frame; .frame up to 3.10; .cframe in 3.11 and 3.12       */
        uint16_t thread;        /* .thread_id, as pthread_self() (up to 3.11: later nobody asks)                  */
    } thread_state;
    struct {
        uint16_t current_frame; /* _PyCFrame.current_frame, or no field: the thread state has it itself           */
        uint16_t previous;      /* .previous, where it tells the runs of the eval loop apart (PYTHON_ENTRY_CFRAME) */
    } cframe;
    struct {
        uint16_t previous;    /* _PyInterpreterFrame.previous, PyFrameObject.f_back                              */
        uint16_t code;        /* .f_code, .f_executable                                                          */
        uint16_t instruction; /* .prev_instr, .instr_ptr, PyFrameObject.f_lasti                                   */
        uint16_t owner;       /* .owner                                                                          */
        uint16_t tlbc_index;  /* .tlbc_index (free-threaded 3.14+)                                                */
    } frame;
    struct {
        uint16_t bytecode;        /* PyCodeObject.co_code_adaptive */
        uint16_t first_traceable; /* ._co_firsttraceable           */
        uint16_t first_line;      /* .co_firstlineno               */
        uint16_t line_table;      /* .co_linetable; 3.9: .co_lnotab */
        uint16_t file_name;       /* .co_filename                  */
        uint16_t name;            /* .co_qualname; .co_name up to 3.10 */
        uint16_t thread_bytecode; /* .co_tlbc (free-threaded 3.14+)  */
    } code;
    struct {
        uint16_t type; /* PyObject.ob_type */
    } object;
    struct {
        uint16_t size;  /* PyBytesObject.ob_base.ob_size */
        uint16_t bytes; /* .ob_sval                       */
    } bytes;
    struct {
        uint16_t length;       /* PyASCIIObject.length                              */
        uint16_t state;        /* .state                                            */
        uint16_t ascii_data;   /* sizeof(PyASCIIObject)                              */
        uint16_t compact_data; /* sizeof(PyCompactUnicodeObject)                      */
        uint8_t kind_shift;    /* in .state: three bits of kind, then compact, then ascii */
    } string;
};

/* The row of a version; NULL when there is none. */
const struct python_offsets *python_offsets_find(unsigned minor, bool free_threaded);

enum python_check {
    PYTHON_CHECK_AGREES,  /* or this version publishes nothing to compare with */
    PYTHON_CHECK_DIFFERS, /* the row is wrong for this build                    */
};

/* From _PyRuntime (3.13+): is this build free-threaded? false when it does not say. */
bool python_offsets_free_threaded(const void *runtime);
/* Compares the row with the _Py_DebugOffsets at the beginning of _PyRuntime. */
enum python_check python_offsets_check(const struct python_offsets *offsets, const void *runtime, uint32_t version);

#endif
