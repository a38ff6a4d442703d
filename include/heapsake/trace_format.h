/*
 * trace_format.h - the layout of a heapsake trace file (.hsk), version 1.
 *
 * docs/TRACE_FORMAT.md is the normative text; this header holds its constants
 * and structs, and the two name the same things. All numbers are little endian.
 *
 *   +-------------+-------+-------+-- .. --+-----+-------+--------+
 *   | file header | chunk | chunk |  chunk | END | INDEX | footer |
 *   +-------------+-------+-------+-- .. --+-----+-------+--------+
 *                   each: chunk header (64 bytes) + one or more zstd frames
 *
 * A chunk stands alone: its header has a checksum, its frames have checksums,
 * and decoding it needs no other chunk. A file that ends anywhere, or is
 * damaged anywhere, loses the chunks concerned and no others.
 */
#ifndef HEAPSAKE_TRACE_FORMAT_H
#define HEAPSAKE_TRACE_FORMAT_H

#include <stdint.h>

#define HSK_FILE_MAGIC "\x8bHEAPSK\n" /* 8 bytes */
#define HSK_CHUNK_MAGIC 0x4b4e4843u   /* "CHNK" */
#define HSK_FOOTER_MAGIC 0x444e4548u  /* "HEND" */
#define HSK_FORMAT_VERSION 1u

struct hsk_file_header {
    uint8_t magic[8];
    uint32_t version;      /* HSK_FORMAT_VERSION; a reader refuses a larger one          */
    uint32_t header_bytes; /* 32; the first chunk begins there                            */
    uint64_t compatible;   /* features a reader may ignore                                */
    uint64_t incompatible; /* features a reader must know, or refuse the file             */
};

enum hsk_chunk_type {
    HSK_CHUNK_PROCESS = 1,   /* fields: what was traced; the first chunk                             */
    HSK_CHUNK_EVENTS = 2,    /* struct hsk_events, then its columns                                  */
    HSK_CHUNK_NODES = 3,     /* stack nodes in the order of their numbers                            */
    HSK_CHUNK_CODES = 4,     /* Python code objects                                                  */
    HSK_CHUNK_MODULES = 5,   /* native modules                                                       */
    HSK_CHUNK_SYMBOLS = 6,   /* what native frames are called; written when the trace is finished     */
    HSK_CHUNK_THREADS = 7,
    HSK_CHUNK_SAMPLES = 8,   /* resident set over time                                               */
    HSK_CHUNK_INHERITED = 9, /* a forked child's blocks that its parent allocated: ordinals 0 .. n-1 */
    HSK_CHUNK_NOTE = 10,     /* fields: blind spots, losses, children                                 */
    HSK_CHUNK_END = 11,      /* fields: how it ended, totals                                          */
    HSK_CHUNK_INDEX = 12,
    HSK_CHUNK_TYPES = 13,    /* Python types that OBJECT ops name                                    */
    HSK_CHUNK_GRAPH = 14,    /* a part of a snapshot's graph                                         */
    HSK_CHUNK_SNAPSHOT = 15, /* fields: a snapshot, written behind its GRAPH chunks                    */
    HSK_CHUNK_WATCHES = 16,  /* watches on counts that began and ended                               */
    HSK_CHUNK_PLACES = 17,   /* lines of source that SOURCE nodes name                               */
    HSK_CHUNK_MARKS = 18     /* what the marks and regions are called that MARK ops name              */
};

/* Bounds that a writer keeps and a reader enforces before it allocates. */
#define HSK_MAX_CHUNK_STORED (64u << 20)
#define HSK_MAX_CHUNK_RAW (64u << 20)
#define HSK_MAX_STRING (1u << 20)
#define HSK_MAX_EVENTS_OPS (1u << 20)
#define HSK_MAX_ORDINAL ((UINT64_C(1) << 40) - 1)
#define HSK_MAX_NODE ((UINT32_C(1) << 24) - 1)

struct hsk_chunk_header {
    uint32_t magic;         /* HSK_CHUNK_MAGIC                                                    */
    uint16_t type;          /* enum hsk_chunk_type; unknown types are skipped                     */
    uint16_t flags;         /* 0                                                                  */
    uint32_t stored_bytes;  /* of the zstd frames behind this header                              */
    uint32_t raw_bytes;     /* of what they decompress to                                         */
    uint64_t number;        /* 0, 1, 2 ... in the file                                            */
    uint64_t time_first_ns; /* since the start of the session                                      */
    uint64_t time_last_ns;
    uint64_t ordinal_first; /* EVENTS: ordinal of the first allocation in it (or the next one)      */
    uint32_t ordinal_count; /* EVENTS: allocations in it                                          */
    uint32_t event_count;   /* EVENTS: allocations + frees in it                                  */
    uint32_t reserved;      /* 0                                                                  */
    uint32_t header_crc;    /* CRC-32 (IEEE 802.3) of the 60 bytes before                          */
};

/*
 * EVENTS. Decompressed: struct hsk_events, then the columns one behind the other.
 * Ops are bytes, the other columns are LEB128 varints; "signed" ones are zigzag
 * coded. All predictors start anew in each chunk.
 */
enum hsk_column {
    HSK_COLUMN_OPS = 0,
    HSK_COLUMN_ENDED = 1,   /* FREE: signed, ordinal minus the ordinal of the FREE before (first: ordinal_first) */
    HSK_COLUMN_ADDRESS = 2, /* ALLOC: see hsk_address below                                                     */
    HSK_COLUMN_NODE = 3,    /* ALLOC, OBJECT, COUNT: signed, node minus the node of the one before (first: 0)    */
    HSK_COLUMN_SIZE = 4,    /* ALLOC: bytes                                                                     */
    HSK_COLUMN_EXTRA = 5,   /* FREE_UNKNOWN: address; TICK: nanoseconds since the time before (first:
                               time_first_ns); THREAD: index of the thread; MARK: hsk_mark_extra()               */
    HSK_COLUMN_TYPE = 6,    /* OBJECT, loose COUNT: number of the type, 0: unknown                               */
    HSK_COLUMN_BLOCK = 7,   /* OBJECT, OBJECT_END: signed, ordinal minus the one before (first: ordinal_first)    */
    HSK_COLUMN_COUNTED = 8, /* COUNT of a WATCH: its number; loose: address; else signed, ordinal of the block minus
                               the one before (first: ordinal_first)                                            */
    HSK_COLUMN_COUNT = 9,   /* COUNT: the count that was left * 2, + 1 when it went down (WATCH: always + 0)      */
    HSK_COLUMNS
};

/*
 * ADDRESS. delta = address - last address of the same size class in this chunk
 * (first: 0), class = hsk_size_class() below. A multiple of 16 is stored as
 * zigzag(delta / 16) * 2, anything else as zigzag(delta) * 2 + 1.
 */
#define HSK_SIZE_CLASSES 1024u

struct hsk_events {
    uint32_t op_count;
    uint32_t column_bytes[HSK_COLUMNS];
    uint32_t thread; /* index of the thread that the first op belongs to */
};

/* An op: kind in bits 0..2 and 7, domain in bits 3..5 (ALLOC, FREE_UNKNOWN) or source (COUNT), a flag in bit 6. */
enum hsk_op {
    HSK_OP_FREE = 0,
    HSK_OP_ALLOC = 1,
    HSK_OP_FREE_UNKNOWN = 2, /* of a block whose allocation was not seen; counted as a free */
    HSK_OP_TICK = 3,
    HSK_OP_THREAD = 4, /* the ops behind belong to this thread */
    HSK_OP_MARK = 5,
    HSK_OP_OBJECT = 6,    /* a Python object was born in a live block (again, where the block was recycled) */
    HSK_OP_OBJECT_END = 7, /* it died, though its block lives on                                          */
    HSK_OP_COUNT = 8,      /* a count was changed                                                         */
    HSK_OPS
};
#define HSK_OP_KIND(op) (((op)&7) | ((op) >> 4 & 8))
#define HSK_OP_CODE(kind) (((kind)&7) | ((kind)&8) << 4) /* the op of a kind, all else 0 */
#define HSK_OP_DOMAIN(op) ((op) >> 3 & 7)
#define HSK_OP_REALLOC 0x40 /* this FREE and the next ALLOC of the thread are one realloc */
#define HSK_OP_SAME_STACK 0x40 /* OBJECT: born on the stack of its block's allocation; takes nothing from NODE */
#define HSK_OP_LAST_BLOCK 0x08 /* OBJECT: in the block of the last ALLOC, of any thread; takes nothing from BLOCK */
#define HSK_OP_LOOSE 0x40 /* COUNT, not of a WATCH: in no block that was seen; COUNTED is its address, TYPE is taken */
#define HSK_OP_SOURCE(op) ((op) >> 3 & 7)

enum hsk_domain {
    HSK_DOMAIN_MALLOC = 0,
    HSK_DOMAIN_MMAP = 1,
    HSK_DOMAIN_PY_RAW = 2,
    HSK_DOMAIN_PY_MEM = 3,
    HSK_DOMAIN_PY_OBJECT = 4,
    HSK_DOMAIN_ARENA = 5, /* holds blocks of PY_MEM and PY_OBJECT: not added to totals of bytes */
    HSK_DOMAINS
};

/* Who told a COUNT. */
enum hsk_count_source {
    HSK_COUNT_WATCH = 0,        /* a watchpoint: every change, whoever made it                  */
    HSK_COUNT_ENTRY_POINT = 1,  /* Py_IncRef and its kin, called as functions                  */
    HSK_COUNT_INSTRUMENTED = 2, /* code that was compiled to tell it                            */
    HSK_COUNT_GOBJECT = 3,      /* g_object_ref and its kin                                    */
    HSK_COUNT_PAIR = 4,         /* a pair of functions that the user named                      */
    HSK_COUNT_SOURCES
};

/*
 * min((size + slack) / 16, 1023): what the allocator of a domain cuts from one place has one class. libc puts 8 bytes in
 * front of each block, CPython nothing.
 */
static inline unsigned hsk_size_class(unsigned domain, uint64_t size)
{
    const unsigned libc_domains = 1u << HSK_DOMAIN_MALLOC | 1u << HSK_DOMAIN_PY_RAW;
    unsigned slack = libc_domains >> domain & 1 ? 7 : 15;
    return size < (HSK_SIZE_CLASSES - 1) * 16 ? (unsigned)(size + slack) / 16 : HSK_SIZE_CLASSES - 1;
}

/* EXTRA of a MARK is its kind, and a number: of the name of a NAMED one, of the occurrence of a region. */
enum hsk_mark {
    HSK_MARK_FINALIZE = 1, /* the program is done; what an interpreter frees from here on was alive at the end */
    HSK_MARK_FORK = 2,     /* the process forked */
    HSK_MARK_NAMED = 3,    /* the program says where it is */
    HSK_MARK_REGION_BEGIN = 4,
    HSK_MARK_REGION_END = 5,
};
static inline uint64_t hsk_mark_extra(enum hsk_mark mark, uint64_t number) { return (uint64_t)mark | number << 3; }
static inline enum hsk_mark hsk_mark_kind(uint64_t extra) { return (enum hsk_mark)(extra & 7); }
static inline uint64_t hsk_mark_number(uint64_t extra) { return extra >> 3; }

enum hsk_region_flag {
    HSK_REGION_ALL_THREADS = 1 << 0, /* what any thread allocates is born in it, not only what its own does */
};

/*
 * Records of the other chunks: varints and strings (varint length, bytes) one behind the other, until
 * the chunk ends. `signed` as above.
 *
 *   NODES      varint first number; then for each node:
 *                varint kind (enum hsk_node_kind), varint number - parent (0: parent is the root),
 *                PYTHON: signed code - code of the last PYTHON node in this chunk, varint byte offset of the instruction
 *                NATIVE: signed frame - frame of the last NATIVE node in this chunk
 *                SOURCE: varint place
 *   CODES      varint code, varint first line, varint first traceable instruction, varint minor version of
 *              Python, varint flags (1: line table left out), string file, string function, string line table
 *   MODULES    varint index, varint start, varint end, signed bias, varint epoch, varint flags
 *              (enum hsk_module_flag), string build-id, string path
 *   SYMBOLS    varint count of strings, the strings; then for each frame: varint frame,
 *              varint module index + 1 (0: none), varint offset in the module's file addresses, varint count of
 *              functions, innermost inline first: varint function string, varint file string, varint line
 *              (strings by index + 1; 0: unknown)
 *   PLACES     varint place (from 1), varint line, string file, string function, string module
 *   WATCHES    varint 0: a watch begins: varint watch (from 1), varint request + 1 (0: the program itself asked for
 *              it), varint address of the count, varint its bytes, varint count then, varint ordinal of the block + 1
 *              (0: unknown), varint type (0: unknown), varint node, varint flags (enum hsk_watch_flag), varint
 *              nanoseconds since the start of the session
 *              varint 1: it ends: varint watch, varint enum hsk_watch_end, varint count then, varint nanoseconds
 *   MARKS      varint 0: a name: varint number (from 1), string
 *              varint 1: an occurrence of a region: varint occurrence (from 1), varint number of its name, varint flags
 *              (enum hsk_region_flag)
 *   THREADS    varint index, varint tid, string name                  (a later record of an index replaces)
 *   SAMPLES    varint nanoseconds since the sample before (first: time_first_ns), varint resident bytes
 *   INHERITED  varint count; then for each block in the order of ordinals: varint domain, signed
 *              (address - address before), varint size, signed node - node before
 *   TYPES      varint type, varint flags (enum hsk_type_flag), string module ("" for builtins), string qualified name
 *   INDEX      for each chunk: varint offset - offset before, varint type, varint stored bytes, varint time_first_ns,
 *              varint time_last_ns - time_first_ns, varint ordinal_first, varint ordinal_count, varint event_count
 */
enum hsk_node_kind {
    HSK_NODE_NONE = 0,
    HSK_NODE_PYTHON = 1,
    HSK_NODE_NATIVE = 2,
    HSK_NODE_TRUNCATED = 3,
    HSK_NODE_SOURCE = 4, /* a line that the program's own code tells; see PLACES */
    HSK_NODE_KINDS
};

enum hsk_watch_flag {
    HSK_WATCH_BORN = 1 << 0,   /* from the object's birth on: nothing happened to its count before   */
    HSK_WATCH_PYTHON = 1 << 1, /* the count of a Python object                                      */
};

enum hsk_watch_end {
    HSK_WATCH_DIED = 1,     /* the count came to 0, or its block was freed                        */
    HSK_WATCH_REPLACED = 2, /* nothing had happened for long, and another object wanted the watchpoint */
    HSK_WATCH_BUSY = 3,     /* more changes than a sample is worth                                  */
    HSK_WATCH_ASKED = 4,    /* by the program                                                      */
    HSK_WATCH_FAILED = 5,   /* the kernel took the watchpoint away, or the program closed its descriptor */
    HSK_WATCH_COLD = 6,     /* nothing had happened for long, and watching on would have cost the program too much */
    HSK_WATCH_DETACHED = 7  /* the process was left                                                */
};

enum hsk_coverage_flag {
    HSK_COVERAGE_INSTRUMENTED = 1 << 0, /* compiled with our Python.h                           */
    HSK_COVERAGE_ENTRY_POINTS = 1 << 1, /* its calls of the counting functions are seen         */
};

enum hsk_module_flag {
    HSK_MODULE_OPENED = 1,   /* its file was found                                    */
    HSK_MODULE_MATCHES = 2,  /* ... and has the build-id of the mapped image           */
    HSK_MODULE_EXECUTABLE = 4,
};

/*
 * Fields (PROCESS, NOTE, END): varint tag, string value. Numbers are decimal text, times too
 * (nanoseconds). A tag may come several times where it says so. Unknown tags are skipped.
 */
enum hsk_field {
    /* PROCESS */
    HSK_FIELD_RECORDER_VERSION = 1, /* "0.1.0"                                        */
    HSK_FIELD_PID = 2,
    HSK_FIELD_PARENT_PID = 3,
    HSK_FIELD_ARGUMENT = 4,         /* several: argv in order                          */
    HSK_FIELD_EXECUTABLE = 5,
    HSK_FIELD_WORKING_DIRECTORY = 6,
    HSK_FIELD_ENVIRONMENT_NAME = 7, /* several; names only                              */
    HSK_FIELD_HOST = 8,
    HSK_FIELD_START_TIME = 9,       /* Unix time in nanoseconds at time 0                */
    HSK_FIELD_OPTION = 10,          /* several: "native", "on-full=drop" ... */
    HSK_FIELD_PARENT_TRACE = 11,    /* file name of the parent's trace, in the same folder */
    HSK_FIELD_FORKED = 12,          /* "1": born by fork                                  */
    HSK_FIELD_IMAGE = 13,           /* number of this image in its pid: 0 for the first     */
    HSK_FIELD_ARCHITECTURE = 14,    /* "x86_64"                                           */
    HSK_FIELD_WATCH = 15,           /* several: what --watch asked for, in order            */
    HSK_FIELD_RECORDING = 16,       /* the same text in all traces that one recorder writes, and in no others */
    HSK_FIELD_IMAGE_BEFORE = 17,    /* file name of the trace of the image before, in the same folder */
    /* NOTE; those of END too */
    HSK_FIELD_PYTHON_VERSION = 32,  /* "3.13.5"                                           */
    HSK_FIELD_BLIND_SPOT = 33,      /* several: one sentence each                           */
    HSK_FIELD_CHILD = 34,           /* several: "pid file"                                 */
    HSK_FIELD_RENAMED = 35,         /* the file's name since an exec replaced the image      */
    HSK_FIELD_COVERAGE = 36,        /* several: "flags path", enum hsk_coverage_flag as a number, of a module */
    /* END */
    HSK_FIELD_DURATION = 64,        /* nanoseconds                                         */
    HSK_FIELD_EXIT_STATUS = 65,     /* 0..255; absent when unknown                           */
    HSK_FIELD_EXIT_SIGNAL = 66,     /* absent when none or unknown                           */
    HSK_FIELD_ENDED_BY = 67,        /* "exit", "signal", "exec", "recorder stopped", "unknown"   */
    HSK_FIELD_ALLOCATIONS = 68,
    HSK_FIELD_FREES = 69,
    HSK_FIELD_LOST = 70,            /* events dropped or without a ring                      */
    HSK_FIELD_LOST_STACKS = 71,
    HSK_FIELD_PEAK_BYTES = 72,
    HSK_FIELD_PEAK_TIME = 73,
    HSK_FIELD_PEAK_EVENT = 74,      /* number of events up to and with the one that made the peak */
    HSK_FIELD_LIVE_BYTES = 75,
    HSK_FIELD_LIVE_BLOCKS = 76,
    HSK_FIELD_ALLOCATED_BYTES = 77,
    HSK_FIELD_OBJECTS = 78,         /* OBJECT ops                                          */
    HSK_FIELD_UNKNOWN_OBJECTS = 79, /* births and deaths in blocks whose allocation was not seen; left out */
    HSK_FIELD_OUT_OF_MEMORY = 80,   /* "1": the signal was the kernel's, for lack of memory             */
    HSK_FIELD_MEMORY_LIMIT = 81,    /* bytes: the cgroup's limit that was met then; absent when none or unknown */
    HSK_FIELD_DONE_LIVE_BYTES = 82, /* as LIVE_BYTES, at the last MARK FINALIZE; absent without one       */
    HSK_FIELD_DONE_LIVE_BLOCKS = 83,
    /* SNAPSHOT; numbers, unless they say otherwise */
    HSK_FIELD_SNAPSHOT_NUMBER = 96,
    HSK_FIELD_SNAPSHOT_REASON = 97,   /* "exit", "asked", "every", "growth", "doubled", "signal"         */
    HSK_FIELD_SNAPSHOT_TIME = 98,     /* nanoseconds                                                */
    HSK_FIELD_SNAPSHOT_EVENT = 99,    /* allocations and frees before it                              */
    HSK_FIELD_SNAPSHOT_NODES = 100,
    HSK_FIELD_SNAPSHOT_EDGES = 101,
    HSK_FIELD_SNAPSHOT_PAUSE = 102,   /* nanoseconds that the program stood still for it               */
    HSK_FIELD_SNAPSHOT_RESIDENT = 103, /* bytes, of the program                                       */
    HSK_FIELD_SNAPSHOT_WALK = 104,    /* nanoseconds that the child took                              */
    HSK_FIELD_SNAPSHOT_COPIED = 105,  /* bytes that program and child no longer share when it ended      */
    HSK_FIELD_SNAPSHOT_WHOLE = 106,   /* "1": the child came to its end                               */
    HSK_FIELD_SNAPSHOT_PROBLEM = 107, /* several: a sentence each                                     */
    HSK_FIELD_SNAPSHOT_PARTS = 108    /* GRAPH chunks                                                */
};

/*
 * GRAPH. Raw bytes: varint number of the snapshot, varint number of this part (0, 1, 2 ...), then records. Each begins
 * with a varint: its kind (enum hsk_graph_record) in the low 3 bits, more above. Predictors start anew in each
 * part. Strings, types and nodes are numbered in the snapshot: strings and types from 1 (0: none), nodes from 0.
 *
 *   STRING  kind, varint number, string
 *   TYPE    kind, varint number, varint enum hsk_type_flag, varint basic size, varint node of the type object + 1
 *           (0: it has none), string module ("" for builtins), string qualified name
 *   OBJECT  kind | flags << 3 (enum hsk_object_flag), place, varint type, varint refcount, edges
 *   BLOCK   kind, place, edges
 *   ROOT    kind | enum hsk_root << 3, signed number - number of the node before, varint string (name),
 *           varint string (where: a file), varint line or offset, edges
 *
 *   place   signed number - number of the node before (first: 0), address (below), then
 *           varint 0 and varint size: no live block of the trace is there; or
 *           varint 1 + zigzag(ordinal - ordinal before): it is, or lies in, the live block of that ordinal
 *   address signed delta to the address of the node before (first: 0): a multiple of 8 as zigzag(delta / 8) * 2,
 *           anything else as zigzag(delta) * 2 + 1
 *   edges   varint count; for each: varint kind (enum hsk_edge) | argument << 4, signed target - target of the edge
 *           before (first: the node's own number)
 *
 * A target may be described in a later part, or (a damaged part) nowhere. A node may be described several times (one
 * with many edges): edges add up, flags too; the rest of the first description holds.
 */
enum hsk_graph_record {
    HSK_GRAPH_STRING = 1,
    HSK_GRAPH_TYPE = 2,
    HSK_GRAPH_OBJECT = 3,
    HSK_GRAPH_BLOCK = 4, /* a live block that is no Python object */
    HSK_GRAPH_ROOT = 5
};

enum hsk_type_flag {
    HSK_TYPE_GC = 1 << 0,        /* its instances take part in cyclic collection (when they are not exempt) */
    HSK_TYPE_HEAP = 1 << 1,      /* made at run time                                       */
    HSK_TYPE_FINALIZER = 1 << 2, /* has __del__, tp_finalize or tp_del                      */
    HSK_TYPE_RECYCLES = 1 << 3,  /* its objects may be kept in a freelist: blocks outlive them */
};

enum hsk_object_flag {
    HSK_OBJECT_TRACKED = 1 << 0,   /* in a generation of the collector                       */
    HSK_OBJECT_FROZEN = 1 << 1,    /* ... in the permanent one                               */
    HSK_OBJECT_IMMORTAL = 1 << 2,  /* its refcount says nothing                               */
    HSK_OBJECT_STATIC = 1 << 3,    /* not on the heap                                        */
    HSK_OBJECT_FINALIZED = 1 << 4, /* its finalizer has run                                   */
    HSK_OBJECT_WEAK = 1 << 5,      /* has weak references to it                                */
    HSK_OBJECT_OPAQUE = 1 << 6,    /* tp_traverse is missing or crashed: its references are guesses */
    HSK_OBJECT_TYPE = 1 << 7,      /* a type object                                           */
    HSK_OBJECT_INTERNED = 1 << 8,  /* an interned string                                      */
};

enum hsk_root {
    HSK_ROOT_FRAME = 1,     /* a Python frame that runs: name is its function, where its file, then the line     */
    HSK_ROOT_DATA = 2,      /* writable data of a module: where is its file, then the offset of the part from its bias */
    HSK_ROOT_STACK = 3,     /* a thread's stack: name is the thread's name, then its tid                         */
    HSK_ROOT_REGISTERS = 4, /* of the forking thread                                                           */
    HSK_ROOT_INTERPRETER = 5, /* a field of the interpreter: name is what it is called ("sys.modules"); "gc.disabled", without edges: automatic collection is off */
    HSK_ROOT_TLS = 6,       /* thread-local storage                                                            */
};

enum hsk_edge {
    /* counted references, as tp_traverse or the object's layout tells them */
    HSK_EDGE_REFERENCE = 0, /* nameless                                                       */
    HSK_EDGE_ATTRIBUTE = 1, /* string: an instance attribute or a slot                         */
    HSK_EDGE_KEY = 2,       /* string: the value of a dict under that key                      */
    HSK_EDGE_VALUE = 3,     /* string: the value of a dict under a key of that type             */
    HSK_EDGE_INDEX = 4,     /* the index in a list, a tuple, a deque                           */
    HSK_EDGE_ITEM = 5,      /* a key of a dict, a member of a set                              */
    HSK_EDGE_LOCAL = 6,     /* string: a local variable of a frame, generator or coroutine       */
    HSK_EDGE_CELL = 7,      /* string: a variable of a closure                                  */
    HSK_EDGE_SPECIAL = 8,   /* string: what Python calls it: __dict__, __class__, __defaults__, __traceback__ ...  */
    /* not counted in the target's refcount */
    HSK_EDGE_WEAK = 9,      /* weak reference                                                  */
    HSK_EDGE_BORROWED = 10, /* string or 0: a frame uses it without owning it                    */
    /* words of memory that look like a reference; the argument is their offset in the node */
    HSK_EDGE_HIDDEN = 11,   /* in a Python object or memory that it owns, unknown to tp_traverse    */
    HSK_EDGE_OWNS = 12,     /* from a Python object to a BLOCK; to an object that was found later: as HIDDEN */
    HSK_EDGE_POINTER = 13,  /* from a BLOCK or a ROOT: to the start of the target                 */
    HSK_EDGE_INTERIOR = 14  /* ... into the midst of it                                         */
};
#define HSK_EDGE_COUNTED(kind) ((kind) <= HSK_EDGE_SPECIAL)

/* The last 24 bytes of a finished file. */
struct hsk_footer {
    uint64_t index_offset; /* of the INDEX chunk's header */
    uint64_t chunk_count;  /* INDEX included              */
    uint32_t crc;          /* CRC-32 of the 16 bytes before */
    uint32_t magic;        /* HSK_FOOTER_MAGIC              */
};

_Static_assert(sizeof(struct hsk_file_header) == 32, "file header");
_Static_assert(sizeof(struct hsk_chunk_header) == 64, "chunk header");
_Static_assert(sizeof(struct hsk_footer) == 24, "footer");

#endif
