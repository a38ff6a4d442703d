/* modules.c - see modules.h */
#include "symbols/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapsake/trace_format.h"

struct module_set {
    pid_t pid;
    char *executable;
    struct module_file *executable_file;
    struct module_root *first_root; /* at the start                                    */
    struct module_root *root;       /* now: a program may have changed it               */
    struct module *modules;
    size_t *by_start; /* indices of modules, in the order of their starts  */
    size_t count, capacity;
    bool overlaps; /* some range was used by two modules, at two times  */
};

/* ---- life ---- */

/* What /proc/PID/exe names, without the root that the process itself does not see, and without the kernel's remark. */
static char *executable_path(pid_t pid, bool own_root)
{
    char link[64], path[PATH_MAX], root[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return strdup("");
    path[length] = '\0';
    static const char deleted[] = " (deleted)";
    size_t suffix = sizeof deleted - 1;
    if ((size_t)length > suffix && !strcmp(path + length - suffix, deleted))
        path[(size_t)length - suffix] = '\0';
    if (!own_root) {
        snprintf(link, sizeof link, "/proc/%d/root", (int)pid);
        ssize_t root_length = readlink(link, root, sizeof root);
        if (root_length > 1 && !strncmp(path, root, (size_t)root_length) && path[root_length] == '/')
            return strdup(path + root_length);
    }
    return strdup(path);
}

/* Through /proc/PID/exe itself: that is the mapped image, wherever its name leads by now. */
static struct module_file *open_executable(const struct module_set *set)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)set->pid);
    int fd = open(link, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? NULL : module_file_adopt(fd, set->first_root, set->executable);
}

struct module_set *module_set_new(pid_t pid)
{
    struct module_set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->pid = pid;
    module_root_of(pid, &set->first_root);
    set->root = module_root_ref(set->first_root);
    set->executable = executable_path(pid, !set->first_root);
    if (!set->executable) {
        module_set_free(set);
        return NULL;
    }
    set->executable_file = open_executable(set);
    return set;
}

static void module_clear(struct module *module)
{
    free(module->build_id);
    free(module->path);
    module_file_unref(module->file);
}

void module_set_free(struct module_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        module_clear(&set->modules[i]);
    free(set->modules);
    free(set->by_start);
    module_file_unref(set->executable_file);
    module_root_unref(set->first_root);
    module_root_unref(set->root);
    free(set->executable);
    free(set);
}

static bool make_room(struct module_set *set)
{
    if (set->count < set->capacity)
        return true;
    size_t capacity = set->capacity ? 2 * set->capacity : 32;
    struct module *modules = reallocarray(set->modules, capacity, sizeof *modules);
    if (!modules)
        return false;
    set->modules = modules;
    size_t *by_start = reallocarray(set->by_start, capacity, sizeof *by_start);
    if (!by_start)
        return false;
    set->by_start = by_start;
    set->capacity = capacity;
    return true;
}

/* How many modules start at `address` or below: the place of the next one in by_start. */
static size_t rank(const struct module_set *set, uint64_t address)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->modules[set->by_start[middle]].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes `module` over. The caller made room. */
static void insert(struct module_set *set, const struct module *module)
{
    size_t at = rank(set, module->start);
    if (at > 0 && set->modules[set->by_start[at - 1]].end > module->start)
        set->overlaps = true;
    if (at < set->count && set->modules[set->by_start[at]].start < module->end)
        set->overlaps = true;
    memmove(set->by_start + at + 1, set->by_start + at, (set->count - at) * sizeof *set->by_start);
    set->by_start[at] = set->count;
    set->modules[set->count++] = *module;
}

struct module_set *module_set_clone(const struct module_set *parent, pid_t pid)
{
    struct module_set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    set->pid = pid;
    set->executable_file = module_file_ref(parent->executable_file);
    set->first_root = module_root_ref(parent->first_root);
    if (!module_root_of(pid, &set->root))
        set->root = module_root_ref(parent->root);
    set->executable = strdup(parent->executable);
    bool whole = set->executable;
    for (size_t i = 0; whole && i < parent->count; i++) {
        struct module copy = parent->modules[i];
        copy.build_id = malloc(copy.build_id_length + 1);
        copy.path = strdup(copy.path);
        copy.file = module_file_ref(copy.file);
        whole = copy.build_id && copy.path && make_room(set);
        if (whole) {
            memcpy(copy.build_id, parent->modules[i].build_id, copy.build_id_length);
            insert(set, &copy);
        } else
            module_clear(&copy);
    }
    if (!whole) {
        module_set_free(set);
        return NULL;
    }
    return set;
}

/* ---- adding ---- */

static bool same_build_id(const struct module *module, const struct module_file *file)
{
    size_t length;
    const uint8_t *build_id = module_file_build_id(file, &length);
    return length == module->build_id_length && !memcmp(build_id, module->build_id, length);
}

/* Keeps `file` when it is the mapped image; the module's flags tell. */
static bool take_file(struct module *module, struct module_file *file, bool is_image)
{
    if (!file)
        return false;
    module->flags |= HSK_MODULE_OPENED;
    if (same_build_id(module, file) || (is_image && !module->build_id_length)) {
        module->flags |= HSK_MODULE_MATCHES;
        module->file = file;
        return true;
    }
    module_file_unref(file);
    return false;
}

static bool take_path(struct module *module, const struct module_root *root, const char *path)
{
    int fd = module_root_open(root, path);
    return fd >= 0 && take_file(module, module_file_adopt(fd, root, path), false);
}

static bool is_vdso(const char *path)
{
    return !strchr(path, '/') && (strstr(path, "vdso") || strstr(path, "linux-gate"));
}

static void open_module(struct module_set *set, struct module *module)
{
    if (module->flags & HSK_MODULE_EXECUTABLE) {
        if (take_file(module, module_file_ref(set->executable_file), true))
            return;
    } else if (is_vdso(module->path)) {
        take_file(module, module_file_vdso(), false);
        return;
    }
    if (!*module->path)
        return;
    if (*module->path != '/') {
        /* dlopen("./plugin.so"): as the process sees it, if it has not moved since */
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "/proc/%d/cwd/%s", (int)set->pid, module->path);
        if (length > 0 && (size_t)length < sizeof path)
            take_path(module, NULL, path);
        return;
    }
    struct module_root *now;
    if (module_root_of(set->pid, &now)) {
        module_root_unref(set->root);
        set->root = now;
    }
    if (!take_path(module, set->root, module->path) && set->first_root != set->root)
        take_path(module, set->first_root, module->path);
}

int module_set_add(struct module_set *set, const struct hs_message_module *message, const char *path,
                   size_t path_length, const uint8_t *build_id, size_t build_id_length)
{
    if (message->start >= message->end || path_length >= PATH_MAX || build_id_length > BUILD_ID_MAX_BYTES)
        return -EINVAL;
    for (size_t i = rank(set, message->start); i-- > 0;) {
        const struct module *known = &set->modules[set->by_start[i]];
        if (known->start != message->start)
            break;
        if (known->end == message->end && known->bias == message->bias && known->epoch == message->epoch)
            return 0;
    }
    struct module module = {
        .start = message->start,
        .end = message->end,
        .bias = message->bias,
        .epoch = message->epoch,
        .flags = path_length ? 0 : HSK_MODULE_EXECUTABLE,
        .build_id = malloc(build_id_length + 1),
        .build_id_length = build_id_length,
        .path = path_length ? strndup(path, path_length) : strdup(set->executable),
    };
    if (!module.build_id || !module.path || !make_room(set)) {
        module_clear(&module);
        return -ENOMEM;
    }
    if (build_id_length)
        memcpy(module.build_id, build_id, build_id_length);
    open_module(set, &module);
    insert(set, &module);
    return 0;
}

/* ---- asking ---- */

size_t module_set_count(const struct module_set *set)
{
    return set->count;
}
const struct module *module_set_get(const struct module_set *set, size_t index)
{
    return &set->modules[index];
}
const char *module_set_executable(const struct module_set *set)
{
    return set->executable;
}

size_t module_set_find(const struct module_set *set, uint32_t epoch, uint64_t pc)
{
    size_t best = SIZE_MAX;
    for (size_t i = rank(set, pc); i-- > 0;) {
        const struct module *module = &set->modules[set->by_start[i]];
        if (pc < module->end && module->epoch <= epoch &&
            (best == SIZE_MAX || module->epoch >= set->modules[best].epoch))
            best = set->by_start[i];
        if (!set->overlaps)
            break; /* the nearest below is the only one that can hold it */
    }
    return best;
}

void module_set_write(const struct module_set *set, struct buf *payload)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct module *module = &set->modules[i];
        buf_append_varint(payload, i);
        buf_append_varint(payload, module->start);
        buf_append_varint(payload, module->end);
        buf_append_signed(payload, (int64_t)module->bias);
        buf_append_varint(payload, module->epoch);
        buf_append_varint(payload, module->flags);
        buf_append_string(payload, module->build_id, module->build_id_length);
        buf_append_string(payload, module->path, strlen(module->path));
    }
}
