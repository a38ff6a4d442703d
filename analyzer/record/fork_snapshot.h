/*
 * fork_snapshot.h - what a forked child's trace begins with: blocks, modules, codes and types of its parent at the
 * fork. Drain thread.
 */
#ifndef HEAPSAKE_RECORD_FORK_SNAPSHOT_H
#define HEAPSAKE_RECORD_FORK_SNAPSHOT_H

#include <stdint.h>
#include <sys/types.h>

#include "record/session.h"

struct fork_snapshot {
    struct fork_snapshot *next;
    uint64_t parent_session, fork_id;
    uint64_t made_ns;
    pid_t child; /* 0: not known yet */
    struct live_table live;
    struct mapped_ranges mapped;
    struct code_list codes;
    struct module_set *modules;
    struct kept_records types, places;
    char *python_version;
    char *parent_file; /* name of the parent's trace, without its folder */
};

/* The parent's state, now; NULL when memory runs out. */
struct fork_snapshot *fork_snapshot_new(const struct session *parent, uint64_t fork_id);
void fork_snapshot_free(struct fork_snapshot *snapshot);
/* The child begins with it (NULL: with nothing) and may be drained from now on. Takes the snapshot over. */
void session_inherit(struct session *session, struct fork_snapshot *snapshot);

#endif
