/*
 * event.h - what a ring carries: slots of 16 bytes.
 *
 * A slot is one event (an allocation, a free, a tick of the clock ...) or part
 * of a message (a code object's description, a module ...). preload/ writes
 * slots, analyzer/record reads them; nothing else sees them, and they are never
 * written to a file, so this layout may change with every release.
 *
 *      63                               16 15      8   7   6   4 3    0
 *   w0 [            address, 48 bits      ][seq high][SQ ][dom  ][type ]
 *   w1 [ stack node, 24 bits ][ seq low, 8 ][       size, 32 bits       ]
 *      63                  40 39         32 31                          0
 *
 * Sequence. Once a second thread has existed, every event on an address takes a
 * number from the counter of that address's stripe (hs_stripe_of()). The numbers
 * of one stripe are dense: 0, 1, 2 ... over all rings, so the recorder knows
 * exactly whose turn it is. Only the low 16 bits travel in the slot; a
 * HS_SLOT_SYNC precedes when the reader could not tell the rest, that is when
 * the ring's former number on that stripe is more than 0xffff behind. Marks stand among the events of all threads: an
 * event that follows marks of other threads says so by HS_MARKS_SEEN.
 */
#ifndef HEAPSAKE_INTERNAL_EVENT_H
#define HEAPSAKE_INTERNAL_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

struct hs_slot {
    uint64_t w0, w1;
};

enum hs_slot_type {
    HS_SLOT_NONE = 0,           /* never written; seeing one means a damaged ring                     */
    HS_SLOT_ALLOC = 1,          /* address, size, node, domain                                         */
    HS_SLOT_FREE = 2,           /* address, domain; before the block is really freed                   */
    HS_SLOT_REALLOC_BEGIN = 3,  /* address of the old block, before the real call                      */
    HS_SLOT_REALLOC_COMMIT = 4, /* address, size, node: the old block ended, this one began             */
    HS_SLOT_REALLOC_ABORT = 5,  /* address: the real call failed, the old block stays                   */
    HS_SLOT_REALLOC_FREED = 6,  /* address: realloc(p, 0) freed the old block and gave none             */
    HS_SLOT_UNMAP = 7,          /* address, size: that range of HS_DOMAIN_MMAP is gone, part or whole   */
    HS_SLOT_TICK = 8,           /* w1: clock of the session in nanoseconds, from now on                 */
    HS_SLOT_SYNC = 9,           /* address field: stripe; w1: full number of its next sequenced event.
                                   Or HS_MARKS_SEEN; w1: what follows was done behind all marks of lower numbers.
                                   Or HS_MARKS_MAYBE; w1: ... or it was done at the same time        */
    HS_SLOT_SIZE_HIGH = 10,     /* w1: bits 32..63 of the size of the next slot                         */
    HS_SLOT_MESSAGE = 11,       /* domain unused; address field: enum hs_message_kind; w1: byte length;
                                   that many bytes follow, padded to whole slots                        */
    HS_SLOT_OBJECT = 12,        /* address of the block, size field: type number, node: see HS_OBJECT_NODE_SAME  */
    HS_SLOT_OBJECT_END = 13,    /* address of the block: the object in it died, the block may live on            */
    HS_SLOT_COUNT = 14, /* address of an object whose count somebody has changed by one; size: see hs_count_pack() */
    HS_SLOT_WATCH = 15, /* address field: number of a watch, size (64 bits): the count that it sees now, node    */
    HS_SLOT_TYPES
};

/* Who tells that a count was changed. HS_SLOT_WATCH has no source: it is the watch. */
enum hs_count_source {
    HS_COUNT_ENTRY_POINT = 1,  /* Py_IncRef and its kin were called as functions       */
    HS_COUNT_INSTRUMENTED = 2, /* compiled with our Python.h                           */
    HS_COUNT_GOBJECT = 3,      /* g_object_ref and its kin                             */
    HS_COUNT_PAIR = 4,         /* --ref-functions                                      */
    HS_COUNT_SOURCES
};

/*
 * The size of HS_SLOT_COUNT, 64 bits with HS_SLOT_SIZE_HIGH:
 *
 *   63           32 31                 6 5      4 3    1 0
 *   [ type number  ][ count behind it  ][ header ][source][down]
 *
 * The count is what the change left, at most HS_COUNT_MAX. The object lies header * 16 bytes behind the start of its
 * block. The type (HS_MESSAGE_TYPE) is 0 where the block's own object says it.
 */
#define HS_COUNT_MAX ((UINT32_C(1) << 26) - 1)

HS_ALWAYS_INLINE uint64_t hs_count_pack(enum hs_count_source source, bool down, unsigned header, uint64_t count,
                                        uint32_t type)
{
    uint32_t shown = count < HS_COUNT_MAX ? (uint32_t)count : HS_COUNT_MAX;
    return (uint64_t)type << 32 | shown << 6 | (header >> 4 & 3) << 4 | (uint32_t)source << 1 | (uint32_t)down;
}
HS_ALWAYS_INLINE bool hs_count_down(uint64_t size)
{
    return size & 1;
}
HS_ALWAYS_INLINE unsigned hs_count_source(uint64_t size)
{
    return (unsigned)(size >> 1 & 7);
}
HS_ALWAYS_INLINE unsigned hs_count_header(uint64_t size)
{
    return (unsigned)(size >> 4 & 3) * 16;
}
HS_ALWAYS_INLINE uint32_t hs_count_count(uint64_t size)
{
    return (uint32_t)(size >> 6) & HS_COUNT_MAX;
}
HS_ALWAYS_INLINE uint32_t hs_count_type(uint64_t size)
{
    return (uint32_t)(size >> 32);
}

/* Who was asked for the memory. One allocation is one event, in its outermost domain. */
enum hs_domain {
    HS_DOMAIN_MALLOC = 0,
    HS_DOMAIN_MMAP = 1,
    HS_DOMAIN_PY_RAW = 2,
    HS_DOMAIN_PY_MEM = 3,
    HS_DOMAIN_PY_OBJECT = 4,
    HS_DOMAIN_ARENA = 5, /* pymalloc's arenas: the place of blocks counted elsewhere */
    HS_DOMAINS
};

#define HS_ADDRESS_BITS 48
#define HS_ADDRESS_MASK ((UINT64_C(1) << HS_ADDRESS_BITS) - 1)
#define HS_NODE_BITS 24
#define HS_NODE_MAX ((UINT32_C(1) << HS_NODE_BITS) - 1)
#define HS_SEQUENCED (UINT64_C(1) << 7)
#define HS_OBJECT_NODE_SAME HS_NODE_MAX /* HS_SLOT_OBJECT: born with its block, on the same stack */

/*
 * Stripes 0..63 by address; HS_DOMAIN_MMAP has one to itself, because unmapping crosses addresses, and so have the marks,
 * which have no address: marks, and the other messages that stand behind what all threads have done before.
 */
#define HS_ADDRESS_STRIPES 64
#define HS_MMAP_STRIPE 64
#define HS_MARK_STRIPE 65
#define HS_STRIPES 66
#define HS_MARKS_SEEN HS_STRIPES /* no stripes: see HS_SLOT_SYNC */
#define HS_MARKS_MAYBE (HS_STRIPES + 1)

HS_ALWAYS_INLINE unsigned hs_stripe_of(uint64_t address, enum hs_domain domain)
{
    if (domain == HS_DOMAIN_MMAP)
        return HS_MMAP_STRIPE;
    return (unsigned)((address >> 4) ^ (address >> 10) ^ (address >> 16)) & (HS_ADDRESS_STRIPES - 1);
}

HS_ALWAYS_INLINE struct hs_slot hs_slot_pack(enum hs_slot_type type, enum hs_domain domain, uint64_t address,
                                             uint32_t size, uint32_t node)
{
    return (struct hs_slot){
        .w0 = (uint64_t)type | (uint64_t)domain << 4 | address << 16,
        .w1 = (uint64_t)size | (uint64_t)node << 40,
    };
}

HS_ALWAYS_INLINE void hs_slot_set_sequence(struct hs_slot *slot, uint64_t sequence)
{
    slot->w0 |= HS_SEQUENCED | (sequence & 0xff00);
    slot->w1 |= (sequence & 0xff) << 32;
}

HS_ALWAYS_INLINE enum hs_slot_type hs_slot_type(struct hs_slot slot) { return (enum hs_slot_type)(slot.w0 & 0xf); }
HS_ALWAYS_INLINE enum hs_domain hs_slot_domain(struct hs_slot slot) { return (enum hs_domain)(slot.w0 >> 4 & 7); }
HS_ALWAYS_INLINE uint64_t hs_slot_address(struct hs_slot slot) { return slot.w0 >> 16; }
HS_ALWAYS_INLINE uint32_t hs_slot_size(struct hs_slot slot) { return (uint32_t)slot.w1; }
HS_ALWAYS_INLINE uint32_t hs_slot_node(struct hs_slot slot) { return (uint32_t)(slot.w1 >> 40); }
HS_ALWAYS_INLINE bool hs_slot_sequenced(struct hs_slot slot) { return slot.w0 & HS_SEQUENCED; }
HS_ALWAYS_INLINE uint16_t hs_slot_sequence(struct hs_slot slot)
{
    return (uint16_t)((slot.w0 & 0xff00) | (slot.w1 >> 32 & 0xff));
}

/*
 * Messages. The bytes behind the head slot are one of the structs below, each
 * followed by its strings without terminators, in the order of their lengths.
 * A message that is longer than HS_MESSAGE_MAX is shortened by its writer (the
 * line table first), and its `truncated` says so. MARK, WISH, SNAPSHOT and FORK have numbers on HS_MARK_STRIPE, as events have
 * on theirs.
 */
#define HS_MESSAGE_MAX 65536u

enum hs_message_kind {
    HS_MESSAGE_CODE = 1,    /* struct hs_message_code    */
    HS_MESSAGE_MODULE = 2,  /* struct hs_message_module  */
    HS_MESSAGE_THREAD = 3,  /* struct hs_message_thread: who writes into this ring from here on  */
    HS_MESSAGE_FORK = 4,    /* struct hs_message_fork: in the parent, just before fork           */
    HS_MESSAGE_FORKED = 5,  /* struct hs_message_fork: in the parent, after fork, with the pid   */
    HS_MESSAGE_EXEC = 6,    /* no body: this image is about to be replaced                       */
    HS_MESSAGE_EXEC_FAILED = 7, /* no body: it was not                                           */
    HS_MESSAGE_EXIT = 8,    /* struct hs_message_exit: exit() or _exit() was called              */
    HS_MESSAGE_PYTHON = 9,  /* struct hs_message_python: which interpreter this is               */
    HS_MESSAGE_FINALIZE = 10, /* no body: what lives now is what the program kept; teardown begins */
    HS_MESSAGE_BLIND_SPOT = 11, /* struct hs_message_text: something that cannot be seen, as a sentence */
    HS_MESSAGE_RING_FULL = 12, /* struct hs_message_lost: so many events of this ring were dropped here  */
    HS_MESSAGE_TYPE = 13,   /* struct hs_message_type: which type a number of HS_SLOT_OBJECT means       */
    HS_MESSAGE_SNAPSHOT = 14, /* struct hs_message_snapshot: just before the clone                        */
    HS_MESSAGE_SNAPSHOT_FORKED = 15, /* struct hs_message_snapshot_forked: just after it, in the program   */
    HS_MESSAGE_SNAPSHOT_REFUSED = 16, /* struct hs_message_snapshot_refused                               */
    HS_MESSAGE_WATCH = 17,     /* struct hs_message_watch: before the first HS_SLOT_WATCH of its number, in any ring */
    HS_MESSAGE_WATCH_END = 18, /* struct hs_message_watch_end                                            */
    HS_MESSAGE_PLACE = 19,     /* struct hs_message_place: which line of source a node of HS_NODE_SOURCE means */
    HS_MESSAGE_COVERAGE = 20,  /* struct hs_message_coverage: what can be seen of a module's counting          */
    HS_MESSAGE_MARK = 21,      /* struct hs_message_mark                                                      */
    HS_MESSAGE_WISH = 22       /* struct hs_message_wish: the thread waits for hs_ring.answer                 */
};

struct hs_message_code {
    uint32_t code;          /* number of the code object, unique in the session, from 1           */
    uint32_t first_line;
    uint32_t instructions;  /* byte offset of the first traceable instruction                       */
    uint32_t truncated;     /* 1: the line table was too long and is left out                       */
    uint32_t file_length;   /* bytes of UTF-8                                                        */
    uint32_t function_length; /* qualified name (3.11+), UTF-8                                        */
    uint32_t line_table_length; /* co_linetable (3.10 and older: co_lnotab / co_linetable) as it is    */
    uint32_t python_minor;  /* which format the line table has                                      */
};

struct hs_message_module {
    uint64_t start, end;    /* mapped range                                                          */
    uint64_t bias;          /* address in memory minus address in the file (l_addr)                   */
    uint32_t epoch;         /* native nodes of this and later epochs up to the next change refer to it  */
    uint32_t build_id_length;
    uint32_t path_length;   /* 0: the executable itself                                               */
    uint32_t reserved;
};

struct hs_message_thread {
    uint32_t tid;           /* as the program sees it                                                */
    uint32_t name_length;
};

struct hs_message_fork {
    uint64_t fork_id;       /* the child's hello names it; unique in the session                       */
    int32_t pid;            /* FORKED: the child, or -1 when fork failed                                */
    uint32_t reserved;
};

struct hs_message_exit {
    int32_t status;
    uint32_t reserved;
};

struct hs_message_python {
    uint32_t version;       /* Py_Version: 0x030d00f0                                                */
    uint32_t free_threaded;
};

struct hs_message_text {
    uint32_t length;
    uint32_t reserved;
};

struct hs_message_lost {
    uint64_t count;
};

struct hs_message_type {
    uint32_t type;          /* from 1, unique in the session                                        */
    uint32_t flags;         /* enum hsk_type_flag                                                   */
    uint32_t module_length; /* 0: builtins                                                          */
    uint32_t name_length;   /* qualified name                                                       */
};

struct hs_message_snapshot {
    uint32_t number;        /* from 1, unique in the session                                        */
    uint32_t reason;        /* enum hs_snapshot_reason                                              */
    uint32_t request;       /* the request that it answers; 0: the program's own idea               */
    uint32_t wish;          /* its thread waits until it is over: hs_ring.answer; 0: does not         */
};

struct hs_message_snapshot_forked {
    uint32_t number;
    int32_t pid;            /* of the child, as the program sees it; a negative errno: clone failed   */
    uint64_t pause_ns;      /* that the forking thread stood still, the stamp to the clone's return   */
    uint64_t resident_bytes; /* of the program at the fork                                           */
};

struct hs_message_snapshot_refused {
    uint32_t request;       /* 0: none                                                             */
    uint32_t reason;        /* enum hs_snapshot_reason                                              */
    uint32_t length;        /* of a sentence that says why                                          */
    int32_t code;           /* ... for programs: a negative errno                                   */
};

/* A watchpoint lies on a count from now on. */
struct hs_message_watch {
    uint32_t watch;   /* from 1, unique in the session                                        */
    uint32_t request; /* which --watch asked for it, from 0; HS_WATCH_BY_PROGRAM: the program itself */
    uint64_t address; /* of the count                                                         */
    uint64_t block;   /* where a live block may begin that it lies in; 0: unknown              */
    uint64_t count;   /* now                                                                  */
    uint32_t bytes;   /* 1, 2, 4 or 8                                                         */
    uint32_t type;    /* HS_MESSAGE_TYPE of the object; 0: unknown                             */
    uint32_t node;    /* stack that it was born on, or that asked; 0: unknown                  */
    uint32_t flags;   /* enum hsk_watch_flag                                                  */
};
#define HS_WATCH_BY_PROGRAM UINT32_MAX

struct hs_message_watch_end {
    uint32_t watch;
    uint32_t reason; /* enum hsk_watch_end                                                   */
    uint64_t count;  /* then                                                                 */
};

struct hs_message_place {
    uint32_t place; /* from 1, unique in the session: the frame of a HS_NODE_SOURCE           */
    uint32_t line;
    uint32_t file_length;
    uint32_t function_length;
    uint32_t module_length;
    uint32_t reserved;
};

struct hs_message_mark {
    uint32_t kind;   /* enum hsk_mark: NAMED, REGION_BEGIN, REGION_END                           */
    uint32_t flags;  /* of a region that begins: enum hsk_region_flag                           */
    uint32_t region; /* which begins or ends: from 1, unique among those that are open, in the process */
    uint32_t name_length; /* at most HS_MARK_NAME_MAX; of one that ends 0                        */
};
#define HS_MARK_NAME_MAX 4096u

/* What a thread asks of the recorder. Wishes of one ring are numbered from 1. */
struct hs_message_wish {
    uint32_t wish;
    uint32_t kind; /* enum hs_wish */
};
enum hs_wish {
    HS_WISH_FLUSH = 1,    /* answered with 0 when everything that was written before is in the file         */
    HS_WISH_SNAPSHOT = 2, /* by any thread: answered when that snapshot is over, as one that says its wish   */
};

struct hs_message_coverage {
    uint32_t flags; /* enum hsk_coverage_flag                                                */
    uint32_t path_length;
};

_Static_assert(sizeof(struct hs_slot) == 16, "a slot is 16 bytes");
_Static_assert(HS_SLOT_TYPES <= 16 && HS_DOMAINS <= 8, "they share one byte with the sequenced bit");

#endif
