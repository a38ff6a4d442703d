/*
 * symbolize.h - what native frames are called, as the trace keeps it.
 *
 * Done when a trace is finished, by the process that recorded it: from
 * then on the trace explains itself. Never asks a debuginfo server, and reads
 * nothing but the files that modules.h holds open (and the .dwo files that they name).
 * What is missing then is added by analyzer/amend, when somebody asks.
 */
#ifndef HEAPSAKE_SYMBOLS_SYMBOLIZE_H
#define HEAPSAKE_SYMBOLS_SYMBOLIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "symbols/modules.h"

/* More frames than this are given in several calls, each of which makes a chunk that stays below HSK_MAX_CHUNK_RAW. */
#define SYMBOLIZE_MAX_FRAMES 262144u
#define SYMBOLIZE_MAX_INLINES 64u

/* A native frame as a node holds it. */
static inline uint32_t frame_epoch(uint64_t frame)
{
    return (uint32_t)(frame >> 48);
}
static inline uint64_t frame_pc(uint64_t frame)
{
    return frame & ((UINT64_C(1) << 48) - 1);
}

/*
 * Names `count` frames (epoch << 48 | return address; sorted here, in place: the order is lost, and frames given twice
 * are written once) and appends the payload of HSK_CHUNK_SYMBOLS to `symbols` and, unless it is NULL, that
 * of HSK_CHUNK_MODULES to `modules`. What cannot be named keeps its module and offset. Damaged files cost their names
 * alone.
 *
 * A return address lies behind its call, so the byte before it is looked up: the call may be the last instruction of
 * its line, or of a function that does not return. The trampoline that a signal handler returns to was never called:
 * when no function holds the byte before, but one begins at the address, it is that. The offset kept is the
 * return address itself, in the file's addresses (memory minus bias).
 *
 * Returns 0; -EINVAL for more than SYMBOLIZE_MAX_FRAMES; -ENOMEM, also when a buf has failed. `error` may be NULL.
 * One set by one thread at a time; several threads may symbolize different sets.
 */
int symbolize_frames(const struct module_set *set, uint64_t *frames, size_t count, struct buf *symbols,
                     struct buf *modules, struct error *error);

#endif
