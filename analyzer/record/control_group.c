/* control_group.c - see control_group.h */
#include "record/control_group.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "record/proc_folder.h"

const char *control_group_mounts = "/proc/self/mountinfo";

struct memory_files {
    const char *controller; /* NULL: version 2 */
    const char *limit, *usage, *cache;
};

static const struct memory_files memory_files[] = {
    {NULL, "memory.max", "memory.current", "inactive_file"},
    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

/* Where a hierarchy is mounted, and which of its folders is to be seen there. */
struct mount {
    char point[PATH_MAX];
    char root[PATH_MAX];
};

/* Is `word` one of the words of `list`, which commas separate, up to a white space? */
static bool in_list(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (; *list && !strchr(" \n", *list); list += strcspn(list, ", \n"), list += *list == ',')
        if (strncmp(list, word, length) == 0 && strchr(", \n", list[length]))
            return true;
    return false;
}

/* A word of mountinfo: what cannot stand in one is written as a backslash and three octal digits. */
static bool copy_word(char to[PATH_MAX], const char *from)
{
    size_t length = 0;
    for (; *from && *from != ' '; from++) {
        if (length == PATH_MAX - 1)
            return false;
        if (*from == '\\' && strspn(from + 1, "01234567") >= 3) {
            to[length++] = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 3;
        } else
            to[length++] = *from;
    }
    to[length] = '\0';
    return true;
}

static const char *skip_words(const char *at, unsigned count)
{
    for (; count > 0 && at; count--) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at;
}

/* number parent device root point options [tags] - type source options-of-the-file-system */
static bool parse_mount(const char *line, const char *controller, struct mount *mount)
{
    const char *root = skip_words(line, 3), *point = skip_words(root, 1), *dash = point ? strstr(point, " - ") : NULL;
    if (!dash)
        return false;
    const char *type = dash + 3, *options = skip_words(type, 2);
    bool right = controller ? strncmp(type, "cgroup ", 7) == 0 && options && in_list(options, controller)
                            : strncmp(type, "cgroup2 ", 8) == 0;
    return right && copy_word(mount->root, root) && copy_word(mount->point, point);
}

static bool find_mount(const char *controller, struct mount *mount)
{
    struct buf text = BUF_INIT;
    bool found = false;
    if (proc_folder_text(&text, AT_FDCWD, control_group_mounts))
        for (char *line = (char *)text.data, *end; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            found = parse_mount(line, controller, mount);
        }
    buf_free(&text);
    return found;
}

/* The path of the process' group in that hierarchy; lines are number:controllers:path. */
static bool find_path(int folder, const char *controller, char path[PATH_MAX])
{
    struct buf text = BUF_INIT;
    bool found = false;
    if (proc_folder_text(&text, folder, "cgroup"))
        for (char *line = (char *)text.data, *end; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            char *list = strchr(line, ':'), *behind = list ? strchr(list + 1, ':') : NULL;
            if (!behind)
                continue;
            *behind = '\0';
            found = controller ? in_list(list + 1, controller) : strcmp(line, "0:") == 0;
            if (found)
                found = snprintf(path, PATH_MAX, "%s", behind + 1) < PATH_MAX;
        }
    buf_free(&text);
    return found;
}

/*
 * The folder of the process' group, as it is to be seen here; `top` is the length of the mount point in it, above which
 * nothing is to be looked at. A group that lies outside of what is mounted has the mount point.
 */
static bool find_group(int folder, const char *controller, char group[2 * PATH_MAX], size_t *top)
{
    struct mount mount;
    char path[PATH_MAX];
    if (!find_mount(controller, &mount) || !find_path(folder, controller, path))
        return false;
    size_t root = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
    bool inside = strncmp(path, mount.root, root) == 0 && (path[root] == '/' || path[root] == '\0') &&
                  strncmp(path, "/..", 3) != 0;
    *top = strlen(mount.point);
    snprintf(group, 2 * PATH_MAX, "%s%s", mount.point, inside ? path + root : "");
    return true;
}

/* ---- memory ---- */

static uint64_t read_number(const char *group, const char *name)
{
    char path[2 * PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return (uint64_t)proc_number(path, -1); /* "max" is no number */
}

/* "inactive_file 1234" among the lines of memory.stat */
static uint64_t read_cache(const char *group, const char *name)
{
    struct buf text = BUF_INIT;
    char path[2 * PATH_MAX + 64];
    uint64_t bytes = 0;
    size_t length = strlen(name);
    snprintf(path, sizeof path, "%s/memory.stat", group);
    if (proc_folder_text(&text, AT_FDCWD, path))
        for (const char *line = (char *)text.data; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
            if (strncmp(line, name, length) == 0 && line[length] == ' ') {
                bytes = strtoull(line + length, NULL, 10);
                break;
            }
    buf_free(&text);
    return bytes;
}

static uint64_t left_in_group(const struct memory_files *files, const char *group, uint64_t *limit)
{
    uint64_t usage = read_number(group, files->usage);
    *limit = read_number(group, files->limit);
    if (*limit > INT64_MAX / 2 || usage > INT64_MAX) /* version 1 says "none" by a very large number */
        return UINT64_MAX;
    uint64_t left = *limit > usage ? *limit - usage : 0, cache = read_cache(group, files->cache);
    return left + cache < *limit ? left + cache : *limit;
}

uint64_t control_group_memory_left(int folder, uint64_t *limit)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < HS_COUNT_OF(memory_files); i++) {
        char group[2 * PATH_MAX];
        size_t top;
        if (!find_group(folder, memory_files[i].controller, group, &top))
            continue;
        for (;;) {
            size_t end = strlen(group);
            while (end > top && group[end - 1] == '/')
                group[--end] = '\0';
            uint64_t own_limit, left = left_in_group(&memory_files[i], group, &own_limit);
            if (left < least) {
                least = left;
                *limit = own_limit;
            }
            if (end <= top)
                break;
            *strrchr(group, '/') = '\0';
        }
    }
    return least;
}

/* ---- freezing: a group shows it too when one above it has been frozen ---- */

bool control_group_frozen(int folder)
{
    char group[2 * PATH_MAX], path[2 * PATH_MAX + 64];
    size_t top;
    struct buf text = BUF_INIT;
    bool frozen = false;
    if (find_group(folder, NULL, group, &top)) {
        snprintf(path, sizeof path, "%s/cgroup.events", group);
        frozen = proc_folder_text(&text, AT_FDCWD, path) && strstr((char *)text.data, "frozen 1\n");
    }
    if (!frozen && find_group(folder, "freezer", group, &top)) {
        snprintf(path, sizeof path, "%s/freezer.state", group);
        frozen = proc_folder_text(&text, AT_FDCWD, path) && strncmp((char *)text.data, "FR", 2) == 0;
    }
    buf_free(&text);
    return frozen;
}
