/* descendants.c - see descendants.h */
#include "record/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/grow.h"
#include "record/process_info.h"

struct relation {
    pid_t child, parent;
};

struct relations {
    struct relation *all;
    size_t count, capacity;
};

/* Of all processes. False: memory ran out. */
static bool read_relations(struct relations *relations)
{
    DIR *folder = opendir("/proc");
    bool room = true;
    for (struct dirent *entry; folder && room && (entry = readdir(folder));) {
        char *end;
        pid_t pid = (pid_t)strtol(entry->d_name, &end, 10), parent = *end || pid <= 0 ? 0 : process_info_parent(pid);
        if (parent <= 0)
            continue;
        room = grow((void **)&relations->all, relations->count, &relations->capacity, sizeof *relations->all);
        if (room)
            relations->all[relations->count++] = (struct relation){pid, parent};
    }
    if (folder)
        closedir(folder);
    return room;
}

ssize_t descendants_of(pid_t root, pid_t **pids)
{
    struct relations relations = {0};
    *pids = NULL;
    /* each is in the list once, and so among those that are found at most once */
    pid_t *found = read_relations(&relations) ? calloc(relations.count + 1, sizeof *found) : NULL;
    size_t count = 0;
    pid_t parent = root;
    for (size_t next = 0; found; parent = found[next++]) {
        for (size_t i = 0; i < relations.count; i++) {
            struct relation *one = &relations.all[i];
            if (one->parent != parent || one->child == root)
                continue;
            if (!process_info_is_heapsake(one->child) && process_info_is_waited_for(one->child))
                found[count++] = one->child;
            one->parent = 0;
        }
        if (next == count)
            break;
    }
    free(relations.all);
    *pids = found;
    return found ? (ssize_t)count : -ENOMEM;
}
