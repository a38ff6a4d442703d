/* process_maps.c - see process_maps.h */
#include "record/process_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "internal/compiler.h"
#include "record/proc_folder.h"

#define DELETED " (deleted)"

void process_maps_free(struct process_maps *maps)
{
    free(maps->all);
    free(maps->text);
    *maps = PROCESS_MAPS_INIT;
}

const struct mapping *process_maps_find(const struct process_maps *maps, uint64_t address)
{
    size_t low = 0, high = maps->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (maps->all[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < maps->count && maps->all[low].start <= address ? &maps->all[low] : NULL;
}

/* ---- reading ---- */

/* Takes the kernel's remark off the end of a path; false: there is none. */
static bool cut_deleted(char *path)
{
    size_t length = strlen(path), suffix = strlen(DELETED);
    bool deleted = length > suffix && strcmp(path + length - suffix, DELETED) == 0;
    if (deleted)
        path[length - suffix] = '\0';
    return deleted;
}

/* The kernel writes a newline in a path as \012, and nothing else so. */
static void undo_escapes(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        bool newline = strncmp(from, "\\012", 4) == 0;
        *to++ = newline ? '\n' : *from;
        from += newline ? 4 : 1;
    }
    *to = '\0';
}

/* "start-end rwxp offset major:minor inode   name" */
static bool parse_line(char *line, struct mapping *mapping)
{
    char *at;
    mapping->start = strtoull(line, &at, 16);
    if (*at != '-')
        return false;
    mapping->end = strtoull(at + 1, &at, 16);
    if (strnlen(at, 6) < 6)
        return false;
    mapping->read = at[1] == 'r';
    mapping->write = at[2] == 'w';
    mapping->execute = at[3] == 'x';
    mapping->private = at[4] == 'p';
    mapping->offset = strtoull(at + 6, &at, 16);
    uint64_t major = strtoull(at, &at, 16);
    if (*at != ':')
        return false;
    mapping->device = major << 32 | strtoull(at + 1, &at, 16);
    mapping->inode = strtoull(at, &at, 10);
    char *name = at + strspn(at, " ");
    mapping->deleted = *name == '/' && cut_deleted(name);
    undo_escapes(name);
    mapping->name = name;
    return true;
}

int process_maps_read(struct process_maps *maps, int folder)
{
    process_maps_free(maps);
    struct buf text = BUF_INIT, all = BUF_INIT;
    int result = proc_folder_text(&text, folder, "maps") ? 0 : text.failed ? -ENOMEM : -errno;
    char *next = (char *)text.data;
    while (result == 0 && next && *next) {
        char *line = next, *newline = strchr(line, '\n');
        struct mapping mapping;
        next = newline ? newline + 1 : NULL;
        if (newline)
            *newline = '\0';
        if (parse_line(line, &mapping))
            buf_append(&all, &mapping, sizeof mapping);
    }
    if (result == 0 && all.failed)
        result = -ENOMEM;
    if (result != 0) {
        buf_free(&text);
        buf_free(&all);
        return result;
    }
    *maps = (struct process_maps){
        .all = (struct mapping *)(void *)all.data, .count = all.length / sizeof *maps->all, .text = (char *)text.data};
    return 0;
}

/* ---- files ---- */

const char *mapping_file(const struct mapping *mapping)
{
    const char *slash = strrchr(mapping->name, '/');
    return slash ? slash + 1 : mapping->name;
}

enum module_role mapping_role(const struct mapping *mapping)
{
    static const struct {
        const char *beginning;
        enum module_role role;
    } names[] = {{"ld-", MODULE_LOADER}, {"ld.", MODULE_LOADER},     {"libc.so", MODULE_LIBC},
                 {"libc-", MODULE_LIBC}, {"libc.musl", MODULE_LIBC}, {"libheapsake", MODULE_HEAPSAKE}};
    const char *file = mapping_file(mapping);
    for (size_t i = 0; i < HS_COUNT_OF(names); i++)
        if (strncmp(file, names[i].beginning, strlen(names[i].beginning)) == 0)
            return names[i].role;
    return MODULE_OTHER;
}

bool mapping_is_kernels(const struct mapping *mapping)
{
    return strncmp(mapping->name, "[v", 2) == 0;
}

bool mapping_is_executable(const struct mapping *mapping, int folder)
{
    char target[PATH_MAX + 1];
    ssize_t length = readlinkat(folder, "exe", target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    return length > 0 && cut_deleted(target) == mapping->deleted && strcmp(target, mapping->name) == 0;
}

/* The process chose the path, and it may be anything: what is no regular file is not opened. */
static int open_named(const struct mapping *mapping, int folder, int flags)
{
    struct stat status;
    int fd =
        mapping->deleted || *mapping->name != '/' ? -ENOENT : proc_open_path(folder, mapping->name, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return fd;
    bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    close(fd);
    return regular ? proc_open_path(folder, mapping->name, flags) : -ENXIO;
}

int mapping_open(const struct mapping *mapping, int folder)
{
    struct stat status;
    char name[64];
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    snprintf(name, sizeof name, "map_files/%" PRIx64 "-%" PRIx64, mapping->start, mapping->end);
    int fd = fstatat(folder, name, &status, 0) == 0 && S_ISREG(status.st_mode) ? openat(folder, name, flags) : -1;
    return fd >= 0 ? fd : open_named(mapping, folder, flags);
}
