/*
 * snapshot.h - how a snapshot passes from the traced program to its recorder.
 *
 *   program (GIL held)               child (a raw clone)                recorder
 *   SNAPSHOT into its ring
 *   clone ─────────────────────────▶ closes all descriptors
 *   SNAPSHOT_FORKED                  connects: hello SNAPSHOT ────────▶ keeps the connection waiting,
 *   goes on                                                             drains all rings to the fork,
 *                                    maps the area  ◀────────────────── lays the live table into an area
 *                                    walks, writes the stream ────────▶ GRAPH chunks
 *                                    HS_STREAM_END, _exit ────────────▶ SNAPSHOT chunk
 *
 * The area is a memory file of one snapshot, made by the recorder, sealed like a session's:
 *
 *   0               HS_AREA_STREAM              + HS_STREAM_BYTES         bytes
 *   +----------------+---------------------------+--------------------------+
 *   | struct hs_area | stream, a ring of bytes   | struct hs_live_block ... |
 *   +----------------+---------------------------+--------------------------+
 *
 * Neither side trusts the other's numbers.
 *
 * Who asks. The program takes a snapshot of its own accord when it ends. All others are asked for by the recorder:
 * it writes a reason, then adds 1 to hs_session.snapshot_request. The program notices at its next tick and lets the
 * interpreter call it between two instructions. A program that sleeps is summoned: the recorder seizes a
 * thread that is blocked in a system call by ptrace, makes it call hs_session.summon_entry, and lets go at once; the entry
 * restores every register itself and goes back to where the thread was. When the program has taken the snapshot, or
 * said in HS_MESSAGE_SNAPSHOT_REFUSED why not, it writes the number of the request into snapshot_answer.
 */
#ifndef HEAPSAKE_INTERNAL_SNAPSHOT_H
#define HEAPSAKE_INTERNAL_SNAPSHOT_H

#include <stdatomic.h>
#include <stdint.h>

#include "compiler.h"

enum hs_snapshot_reason {
    HS_SNAPSHOT_EXIT = 1,   /* the program is done: before the interpreter's teardown  */
    HS_SNAPSHOT_ASKED = 2,  /* heapsake snapshot PID                                    */
    HS_SNAPSHOT_EVERY = 3,  /* --snapshot-every                                         */
    HS_SNAPSHOT_GROWTH = 4, /* --snapshot-on-growth                                     */
    HS_SNAPSHOT_DOUBLED = 5, /* the resident set has doubled                             */
    HS_SNAPSHOT_SIGNAL = 6, /* --snapshot-signal                                        */
    HS_SNAPSHOT_ATTACH = 7, /* tracing has just begun in a process that runs             */
    HS_SNAPSHOT_DETACH = 8, /* it is about to end                                        */
};

#define HS_AREA_MAGIC UINT64_C(0x3141455241534b48) /* "HKSAREA1" in memory */
#define HS_AREA_STREAM (UINT64_C(4) << 10)
#define HS_STREAM_BYTES (UINT64_C(4) << 20) /* a power of two */

/*
 * A live block. Arenas are left out; mappings of the program are there.
 *
 *      63            48 47                    0        63          40 39              0
 *   w0 [ size, low 16  ][ address              ]    w1 [ size, high 24 ][ ordinal      ]
 */
struct hs_live_block {
    uint64_t w0, w1;
};

HS_ALWAYS_INLINE struct hs_live_block hs_live_block_pack(uint64_t address, uint64_t size, uint64_t ordinal)
{
    return (struct hs_live_block){
        .w0 = (address & ((UINT64_C(1) << 48) - 1)) | size << 48,
        .w1 = (ordinal & ((UINT64_C(1) << 40) - 1)) | (size >> 16 & 0xffffff) << 40,
    };
}
HS_ALWAYS_INLINE uint64_t hs_live_block_address(struct hs_live_block block) { return block.w0 & ((UINT64_C(1) << 48) - 1); }
HS_ALWAYS_INLINE uint64_t hs_live_block_size(struct hs_live_block block) { return block.w0 >> 48 | block.w1 >> 40 << 16; }
HS_ALWAYS_INLINE uint64_t hs_live_block_ordinal(struct hs_live_block block) { return block.w1 & ((UINT64_C(1) << 40) - 1); }

struct hs_area {
    /* recorder, before the child sees it */
    uint64_t magic;
    uint64_t bytes;       /* of the file                                              */
    uint64_t live_offset; /* of the live blocks, in no particular order               */
    uint64_t live_count;
    uint32_t number;      /* of the snapshot                                          */
    uint32_t options;     /* enum hs_option                                           */

    /* child: bytes written into the stream since the beginning */
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t head;
    _Atomic uint32_t waiting; /* 1 while the child sleeps on `wake`                  */

    /* recorder: bytes read */
    _Alignas(HS_CACHE_LINE) _Atomic uint64_t tail;
    _Atomic uint32_t wake;    /* futex; 1 is added when there is room while `waiting` */
    _Atomic uint32_t stop;    /* not 0: nobody reads any more, end                    */
};

/*
 * The stream is made of frames: a head, then `length` bytes, padded to a multiple of 8; a frame may wrap
 * around the end of the ring anywhere.
 */
struct hs_stream_frame {
    uint32_t kind;   /* enum hs_stream_kind */
    uint32_t length; /* at most HS_STREAM_FRAME_MAX */
};
#define HS_STREAM_FRAME_MAX (UINT32_C(256) << 10)

enum hs_stream_kind {
    HS_STREAM_GRAPH = 1,  /* the raw bytes of a GRAPH chunk (docs/TRACE_FORMAT.md), passed on as they are */
    HS_STREAM_FIELDS = 2, /* fields for the SNAPSHOT chunk, as they are                                  */
    HS_STREAM_END = 3,    /* no bytes: the snapshot is whole                                             */
};

/* The child's exit status. */
enum hs_child_status { HS_CHILD_DONE = 0, HS_CHILD_NO_RECORDER = 2, HS_CHILD_CRASHED = 3, HS_CHILD_NO_MEMORY = 4 };

_Static_assert(sizeof(struct hs_live_block) == 16, "a live block is 16 bytes");
_Static_assert(sizeof(struct hs_area) <= HS_AREA_STREAM, "the area has room for its struct");

#endif
