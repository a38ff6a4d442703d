/*
 * leak_groups.h - nodes that belong to one entry of a report, by a key of 64 bits: usually type and site.
 */
#ifndef HEAPSAKE_MODEL_LEAK_GROUPS_H
#define HEAPSAKE_MODEL_LEAK_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group_member {
    uint64_t key;
    uint32_t node;
};

struct groups {
    struct group_member *members;
    size_t count, capacity;
    bool failed; /* out of memory */
};
#define GROUPS_INIT ((struct groups){0})

void groups_add(struct groups *groups, uint64_t key, uint32_t node);
void groups_free(struct groups *groups);
/* By key, then by node. */
void groups_sort(struct groups *groups);
/* The end of the group that begins at `from`. */
size_t groups_end(const struct groups *groups, size_t from);

#endif
