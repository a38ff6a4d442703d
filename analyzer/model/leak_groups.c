/* leak_groups.c - see leak_groups.h */
#include "model/leak_groups.h"

#include <stdlib.h>

#include "base/grow.h"

void groups_add(struct groups *groups, uint64_t key, uint32_t node)
{
    if (!grow((void **)&groups->members, groups->count, &groups->capacity, sizeof *groups->members)) {
        groups->failed = true;
        return;
    }
    groups->members[groups->count++] = (struct group_member){.key = key, .node = node};
}

void groups_free(struct groups *groups)
{
    free(groups->members);
    *groups = GROUPS_INIT;
}

static int by_key(const void *left, const void *right)
{
    const struct group_member *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

void groups_sort(struct groups *groups)
{
    if (groups->count > 1)
        qsort(groups->members, groups->count, sizeof *groups->members, by_key);
}

size_t groups_end(const struct groups *groups, size_t from)
{
    size_t end = from;
    while (end < groups->count && groups->members[end].key == groups->members[from].key)
        end++;
    return end;
}
