/* cgroup.c - see cgroup.h */
#include "record/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal/compiler.h"
#include "record/proc_folder.h"

const char *cgroup_mounts = "/proc/self/mountinfo";

struct memory_files {
    const char *controller; /* NULL: version 2 */
    const char *limit, *usage, *cache;
};

static const struct memory_files memory_files[] = {
    {NULL, "memory.max", "memory.current", "inactive_file"},
    {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

/* ---- where groups are ---- */

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
static bool parse_mount(const char *line, const char *controller, struct cgroup_mount *mount)
{
    const char *root = skip_words(line, 3), *point = skip_words(root, 1), *dash = point ? strstr(point, " - ") : NULL;
    if (!dash)
        return false;
    const char *type = dash + 3, *options = skip_words(type, 2);
    bool right = controller ? strncmp(type, "cgroup ", 7) == 0 && options && in_list(options, controller)
                            : strncmp(type, "cgroup2 ", 8) == 0;
    return right && copy_word(mount->root, root) && copy_word(mount->point, point);
}

bool cgroup_mount_find(struct cgroup_mount *mount, const char *mountinfo, const char *controller)
{
    struct buf text = BUF_INIT;
    bool found = false;
    if (proc_folder_text(&text, AT_FDCWD, mountinfo))
        for (char *rest = (char *)text.data, *line; !found && (line = strsep(&rest, "\n"));)
            found = parse_mount(line, controller, mount);
    buf_free(&text);
    return found;
}

/* Lines are number:controllers:path. */
bool cgroup_path(char path[PATH_MAX], int folder, const char *file, const char *controller)
{
    struct buf text = BUF_INIT;
    bool found = false;
    if (proc_folder_text(&text, folder, file))
        for (char *rest = (char *)text.data, *line; !found && (line = strsep(&rest, "\n"));) {
            const char *number = strsep(&line, ":"), *list = strsep(&line, ":");
            if (list && line && (controller ? in_list(list, controller) : strcmp(number, "0") == 0 && !*list))
                found = snprintf(path, PATH_MAX, "%s", line) < PATH_MAX;
        }
    buf_free(&text);
    return found;
}

/* Has it a part that is ".."? The kernel writes so what lies outside of its reader's namespace. */
static bool leads_upwards(const char *path)
{
    for (const char *at = path; (at = strstr(at, "/..")); at += 3)
        if (at[3] == '/' || at[3] == '\0')
            return true;
    return false;
}

bool cgroup_folder(char group[PATH_MAX], const struct cgroup_mount *mount, const char *path)
{
    size_t root = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    if (strncmp(path, mount->root, root) != 0 || (path[root] != '/' && path[root] != '\0') || leads_upwards(path))
        return false;
    path += root;
    return snprintf(group, PATH_MAX, "%s%s", mount->point, strcmp(path, "/") == 0 ? "" : path) < PATH_MAX;
}

/*
 * The folder of the process' group; `top` is the length of the mount point in it, above which nothing is to be looked
 * at. Of a group that lies outside of what is mounted, the mount point.
 */
static bool find_group(int folder, const char *controller, char group[PATH_MAX], size_t *top)
{
    struct cgroup_mount mount;
    char path[PATH_MAX];
    if (!cgroup_mount_find(&mount, cgroup_mounts, controller) || !cgroup_path(path, folder, "cgroup", controller))
        return false;
    *top = strlen(mount.point);
    if (!cgroup_folder(group, &mount, path))
        strcpy(group, mount.point);
    return true;
}

/* ---- what is in their files ---- */

/* False: it cannot be read. */
static bool read_file(struct buf *text, const char *group, const char *file)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", group, file);
    return proc_folder_text(text, AT_FDCWD, path);
}

bool cgroup_number(const char *group, const char *file, uint64_t *value)
{
    struct buf text = BUF_INIT;
    char *end = NULL;
    uint64_t number = 0;
    if (read_file(&text, group, file))
        number = strtoull((char *)text.data, &end, 10);
    bool found = end && end != (char *)text.data;
    buf_free(&text);
    if (found)
        *value = number;
    return found;
}

bool cgroup_counter(const char *group, const char *file, const char *name, uint64_t *value)
{
    struct buf text = BUF_INIT;
    bool found = false;
    if (read_file(&text, group, file))
        for (char *rest = (char *)text.data, *line; !found && (line = strsep(&rest, "\n"));) {
            found = strcmp(strsep(&line, " "), name) == 0 && line;
            if (found)
                *value = strtoull(line, NULL, 10);
        }
    buf_free(&text);
    return found;
}

/* ---- memory ---- */

static uint64_t left_in_group(const struct memory_files *files, const char *group, uint64_t *limit)
{
    uint64_t usage = UINT64_MAX, cache = 0;
    *limit = UINT64_MAX;
    cgroup_number(group, files->limit, limit);
    cgroup_number(group, files->usage, &usage);
    if (*limit > INT64_MAX / 2 || usage > INT64_MAX) /* version 1 says "none" by a very large number */
        return UINT64_MAX;
    cgroup_counter(group, "memory.stat", files->cache, &cache);
    uint64_t left = *limit > usage ? *limit - usage : 0;
    return left + cache < *limit ? left + cache : *limit;
}

uint64_t cgroup_memory_left(int folder, uint64_t *limit)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < HS_COUNT_OF(memory_files); i++) {
        char group[PATH_MAX];
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

bool cgroup_frozen(int folder)
{
    char group[PATH_MAX];
    size_t top;
    struct buf text = BUF_INIT;
    uint64_t frozen = 0;
    if (find_group(folder, NULL, group, &top))
        cgroup_counter(group, "cgroup.events", "frozen", &frozen);
    if (!frozen && find_group(folder, "freezer", group, &top) && read_file(&text, group, "freezer.state"))
        frozen = strncmp((char *)text.data, "FR", 2) == 0; /* FREEZING, FROZEN */
    buf_free(&text);
    return frozen != 0;
}
