/* proc_folder.c - see proc_folder.h */
#include "record/proc_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/open_below.h"

#define CHUNK 4096

int proc_folder_open(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool proc_folder_head(struct buf *text, int folder, const char *name, size_t most)
{
    buf_clear(text);
    if (!buf_reserve(text, CHUNK))
        return false;
    text->data[0] = '\0';
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = 1;
    while (got != 0 && text->length < most && buf_reserve(text, CHUNK)) {
        got = read(fd, text->data + text->length, text->capacity - text->length - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        text->length += (size_t)got;
    }
    close(fd);
    if (got < 0)
        text->length = 0;
    text->data[text->length] = '\0';
    return got >= 0 && !text->failed;
}

bool proc_folder_text(struct buf *text, int folder, const char *name)
{
    return proc_folder_head(text, folder, name, SIZE_MAX);
}

bool proc_text(char *text, size_t size, const char *format, int pid, int tid)
{
    char path[64];
    snprintf(path, sizeof path, format, pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, size - 1);
    int code = errno;
    close(fd);
    errno = code;
    if (length < 0)
        return false;
    text[length] = '\0';
    return true;
}

const char *proc_field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " \t");
    return NULL;
}

uint64_t proc_field_number(const char *text, const char *name, int base, uint64_t otherwise)
{
    const char *value = proc_field(text, name);
    char *end;
    if (!value)
        return otherwise;
    uint64_t number = strtoull(value, &end, base);
    return end == value ? otherwise : number;
}

/* The second field, a name, may hold anything, and ends with the last parenthesis. */
const char *proc_stat_field(const char *stat, unsigned number)
{
    const char *at = strrchr(stat, ')');
    for (unsigned field = 2; at && field < number; field++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at;
}

int64_t proc_number(const char *path, int64_t otherwise)
{
    struct buf text = BUF_INIT;
    char *end = NULL;
    int64_t number = otherwise;
    if (proc_folder_text(&text, AT_FDCWD, path)) {
        number = strtoll((char *)text.data, &end, 10);
        if (end == (char *)text.data)
            number = otherwise;
    }
    buf_free(&text);
    return number;
}

int64_t proc_ptrace_scope(void)
{
    return proc_number("/proc/sys/kernel/yama/ptrace_scope", 0);
}

int proc_same(int folder, const char *name)
{
    struct stat theirs, own;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/%s", name);
    if (fstatat(folder, name, &theirs, 0) != 0 || stat(path, &own) != 0)
        return -1;
    return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

int proc_open_path(int folder, const char *path, int flags)
{
    int root = openat(folder, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    int fd = open_below(root, path, flags);
    close(root);
    return fd;
}
