/*
 * snapshot_policy.h - when the recorder asks a program for a snapshot of its own accord.
 *
 * Whenever the resident set has doubled, so that a program that is killed or runs out of memory has one; every N
 * seconds, or whenever it has grown by so many bytes, when that was asked for. Pure: no state but the caller's.
 */
#ifndef HEAPSAKE_RECORD_SNAPSHOT_POLICY_H
#define HEAPSAKE_RECORD_SNAPSHOT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define DOUBLED_LEAST_BYTES (UINT64_C(64) << 20) /* a smaller program is not worth one        */
#define DOUBLED_APART_NS UINT64_C(30000000000)
#define DOUBLED_FIRST_NS UINT64_C(2000000000) /* programs that end sooner have that of their end */
#define GROWTH_APART_NS UINT64_C(1000000000)

struct snapshot_policy {
    bool off;              /* --no-snapshot                       */
    uint64_t every_ns;     /* --snapshot-every, 0: not            */
    uint64_t growth_bytes; /* --snapshot-on-growth, 0: not        */
};

/* Of one session. All zero in the beginning. Times are the session's. */
struct snapshot_watch {
    uint64_t resident; /* at the last snapshot, or the first time it was looked at; 0: never */
    uint64_t last_ns;  /* when that was                                                       */
    bool taken;        /* there was one, or was tried                                          */
    bool under_way;
};

/* The resident set is `resident` now: enum hs_snapshot_reason, or 0. */
unsigned snapshot_due(const struct snapshot_policy *policy, struct snapshot_watch *watch, uint64_t now,
                      uint64_t resident);
/* One was begun, for whatever reason; it is over (`resident` 0: not known). */
void snapshot_watch_begin(struct snapshot_watch *watch, uint64_t now);
void snapshot_watch_end(struct snapshot_watch *watch, uint64_t now, uint64_t resident);
/* It could not be taken: not again before the time for the next one. */
void snapshot_watch_failed(struct snapshot_watch *watch, uint64_t now);

#endif
