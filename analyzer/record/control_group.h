/*
 * control_group.h - what a process' control groups leave it, and whether they hold it still. Versions 1 and 2.
 *
 * Groups whose files cannot be seen from here (another namespace's, a file system that is not mounted) limit nothing as
 * far as is known. Thread-safe.
 */
#ifndef HEAPSAKE_RECORD_CONTROL_GROUP_H
#define HEAPSAKE_RECORD_CONTROL_GROUP_H

#include <stdbool.h>
#include <stdint.h>

/* The mounts among which the groups' file systems are looked for; tests name another file. */
extern const char *control_group_mounts;

/*
 * The bytes that the process of `folder` (proc_folder.h) may still take before the narrowest limit of its group and
 * those above it, the cache that the kernel would give back counted as free; UINT64_MAX: there is no limit. *limit is
 * that limit.
 */
uint64_t control_group_memory_left(int folder, uint64_t *limit);

/* Is it frozen, as `docker pause` does it? */
bool control_group_frozen(int folder);

#endif
