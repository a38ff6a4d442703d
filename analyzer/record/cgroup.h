/*
 * cgroup.h - a process' cgroups: where they are to be seen, what they leave it, and whether they hold it still.
 * Versions 1 and 2.
 *
 * Groups whose files cannot be seen from here (another namespace's, a file system that is not mounted) limit nothing as
 * far as is known. Thread-safe.
 */
#ifndef HEAPSAKE_RECORD_CGROUP_H
#define HEAPSAKE_RECORD_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Where a hierarchy is mounted, and which of its groups is to be seen there. */
struct cgroup_mount {
    char point[PATH_MAX];
    char root[PATH_MAX];
};

/*
 * Below, `controller` tells the hierarchy: the one of version 1 with that controller; NULL: that of version 2.
 *
 * Its first mount among those of a mountinfo file. False: there is none.
 */
bool cgroup_mount_find(struct cgroup_mount *mount, const char *mountinfo, const char *controller);
/* The path of the process' group, from its file "cgroup": a path, or a name below `folder`. False: it does not say. */
bool cgroup_path(char path[PATH_MAX], int folder, const char *file, const char *controller);
/* Where that is to be seen. False: it lies outside of what is mounted. */
bool cgroup_folder(char group[PATH_MAX], const struct cgroup_mount *mount, const char *path);

/* A file of a group that is one number, or where it has a line "name number". False: it is none ("max"), has none. */
bool cgroup_number(const char *group, const char *file, uint64_t *value);
bool cgroup_counter(const char *group, const char *file, const char *name, uint64_t *value);

/* ---- of the process of `folder` (proc_folder.h) ---- */

/* The mounts among which the groups' file systems are looked for; tests name another file. */
extern const char *cgroup_mounts;

/*
 * The bytes that it may still take before the narrowest limit of its group and those above it, the cache that the
 * kernel would give back counted as free; UINT64_MAX: there is no limit. *limit is that limit.
 */
uint64_t cgroup_memory_left(int folder, uint64_t *limit);

/* Is it frozen, as `docker pause` does it? */
bool cgroup_frozen(int folder);

#endif
