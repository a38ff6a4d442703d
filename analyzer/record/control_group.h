/*
 * control_group.h - a process' control groups: where they are to be seen, what they leave it, and whether they hold it
 * still. Versions 1 and 2.
 *
 * Groups whose files cannot be seen from here (another namespace's, a file system that is not mounted) limit nothing as
 * far as is known. Thread-safe.
 */
#ifndef HEAPSAKE_RECORD_CONTROL_GROUP_H
#define HEAPSAKE_RECORD_CONTROL_GROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a hierarchy is mounted, and which of its groups is to be seen there. */
struct control_mount {
    char point[PATH_MAX];
    char root[PATH_MAX];
};

/*
 * Below, `controller` tells the hierarchy: the one of version 1 with that controller; NULL: that of version 2.
 *
 * The first mount among those of a mountinfo file. False: there is none.
 */
bool control_mount_find(struct control_mount *mount, const char *mountinfo, const char *controller);
/* The path of the process' group, from its file `cgroup`: a path, or a name below `folder`. False: it does not say. */
bool control_group_path(char path[PATH_MAX], int folder, const char *cgroup, const char *controller);
/* Where that is to be seen. False: it lies outside of what is mounted. */
bool control_group_folder(char group[PATH_MAX], const struct control_mount *mount, const char *path);

/* A file of a group that is one number, or where it has a line "name number". False: it is none ("max"), has none. */
bool control_group_number(const char *group, const char *file, uint64_t *value);
bool control_group_counter(const char *group, const char *file, const char *name, uint64_t *value);

/* ---- of the process of `folder` (proc_folder.h) ---- */

/* The mounts among which the groups' file systems are looked for; tests name another file. */
extern const char *control_group_mounts;

/*
 * The bytes that it may still take before the narrowest limit of its group and
 * those above it, the cache that the kernel would give back counted as free; UINT64_MAX: there is no limit. *limit is
 * that limit.
 */
uint64_t control_group_memory_left(int folder, uint64_t *limit);

/* Is it frozen, as `docker pause` does it? */
bool control_group_frozen(int folder);

#endif
