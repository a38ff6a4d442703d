/* process_maps.c - see process_maps.h */
#include "record/process_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

void process_maps_free(struct process_maps *maps)
{
    free(maps->all);
    free(maps->text);
    *maps = (struct process_maps){0};
}

const char *mapping_file(const struct mapping *mapping)
{
    const char *slash = strrchr(mapping->name, '/');
    return slash ? slash + 1 : mapping->name;
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
    mapping->name = at + strspn(at, " ");
    return true;
}

static int read_all(struct buf *text, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = -ENOMEM;
    while (buf_reserve(text, 65536)) {
        ssize_t got = read(fd, text->data + text->length, text->capacity - text->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            result = got < 0 ? -errno : 0;
            break;
        }
        text->length += (size_t)got;
    }
    close(fd);
    buf_append_byte(text, '\0');
    return text->failed ? -ENOMEM : result;
}

int process_maps_read(struct process_maps *maps, pid_t pid)
{
    process_maps_free(maps);
    struct buf text = BUF_INIT, all = BUF_INIT;
    int result = read_all(&text, pid);
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
    if (result == 0 && all.length == 0)
        result = -ESRCH; /* a zombie, or the kernel's own: it has no memory */
    if (result != 0) {
        buf_free(&text);
        buf_free(&all);
        return result;
    }
    *maps = (struct process_maps){
        .all = (struct mapping *)(void *)all.data, .count = all.length / sizeof *maps->all, .text = (char *)text.data};
    return 0;
}
