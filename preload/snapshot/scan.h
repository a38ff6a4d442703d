/*
 * scan.h - in the snapshot child: words of memory that look like references.
 *
 * A word is taken for a reference when it points into a live block, or to the start of an object that the walk knows.
 * Words that only repeat what has been told of the node (stamps, nodes.h) are left out.
 */
#ifndef HEAPSAKE_PRELOAD_SNAPSHOT_SCAN_H
#define HEAPSAKE_PRELOAD_SNAPSHOT_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Of the object whose record is begun, after its edges have been told: its own words [from, to), and those of
 * blocks that no other object owned before and that hold no object (then they belong to this one: OWNS, and
 * HIDDEN for what they point to; such a block becomes a node when it is owned, and its own edges are told by
 * scan_blocks()). Offsets in the arguments are counted from `from`; what an owned block points to has the offset of the
 * word by which the block was reached.
 */
void scan_object(uintptr_t from, uintptr_t to);

/*
 * The block at this address belongs to the object whose record is begun, which has told all that it refers to (a list's
 * items): OWNS, with `offset`. Its words are not read, here nor by scan_blocks(), for there may be stale ones.
 */
void scan_owned(uintptr_t address, uint64_t offset);

/* Does the block, of this index (nodes.h), belong to an object? */
bool scan_is_owned(uint32_t block);
/* What is in the block is dead: its words refer to nothing, and are not read by scan_blocks(). */
void scan_stale(uint32_t block);

/*
 * The block at this address belongs to no object, although objects may point to it: what it refers to is not theirs
 * (the interpreter's and the threads' states). Before the first scan_object().
 */
void scan_exempt(uintptr_t address);

/* All blocks that hold no object: a BLOCK record each, with POINTER and INTERIOR edges. After the walk. */
void scan_blocks(void);

/* A thread of the program at the moment of the clone. */
struct scan_thread {
    uint32_t tid;
    uintptr_t sp;      /* 0: not known, it was running: its stack is scanned whole */
    uintptr_t pointer; /* its thread pointer: libc's data about it, with TLS below; 0: not known */
};

#define SCAN_MAX_THREADS 4096u
#define SCAN_REGISTERS 6

struct scan_threads {
    struct scan_thread own;             /* the one that forked */
    uint64_t registers[SCAN_REGISTERS]; /* of it, those that its callers may still use */
    const struct scan_thread *others;
    uint32_t count;
    bool incomplete; /* there were more, or they could not be listed */
};

/* Roots: data segments of all modules but ours, the stacks of all threads, registers and TLS. After the walk. */
void scan_roots(const struct scan_threads *threads);

/*
 * For the two above: words [from, to) of the record that is begun, with POINTER and INTERIOR edges whose argument is
 * `offset` + the distance from `from`. Targets in the block `own` are left out. Pages that the program has never
 * touched are passed over; what cannot be read ends it.
 */
void scan_words(uintptr_t from, uintptr_t to, uint64_t offset, uint32_t own);
/* The same without INTERIOR edges. */
void scan_starts(uintptr_t from, uintptr_t to);

#endif
