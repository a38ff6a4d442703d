/* mapped_files.c - see mapped_files.h */
#include "record/mapped_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/proc_folder.h"

#define DELETED " (deleted)"

struct line {
    uint64_t start, end, offset;
    char permissions[5];
    const char *device_and_inode; /* up to the path's white space */
    size_t device_and_inode_length;
    char *path; /* "" when there is none; ends the line */
};

/* start-end perms offset major:minor inode   path */
static bool parse(char *text, struct line *line)
{
    int at = 0, behind = 0;
    if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %n%*s %*u%n", &line->start, &line->end, line->permissions,
               &line->offset, &at, &behind) != 4 ||
        behind <= at)
        return false;
    line->device_and_inode = text + at;
    line->device_and_inode_length = (size_t)(behind - at);
    line->path = text + behind + strspn(text + behind, " ");
    line->path[strcspn(line->path, "\n")] = '\0';
    return true;
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

static bool add(struct mapped_files *files, const struct line *line)
{
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 64;
        struct mapped_file *grown = reallocarray(files->files, capacity, sizeof *grown);
        if (!grown)
            return false;
        files->files = grown;
        files->capacity = capacity;
    }
    char *path = strdup(line->path);
    if (!path)
        return false;
    size_t length = strlen(path), suffix = strlen(DELETED);
    bool deleted = length > suffix && strcmp(path + length - suffix, DELETED) == 0;
    if (deleted)
        path[length - suffix] = '\0';
    undo_escapes(path);
    files->files[files->count++] = (struct mapped_file){
        .path = path, .start = line->start, .end = line->end, .offset = line->offset, .deleted = deleted};
    return true;
}

int mapped_files_read(struct mapped_files *files, int folder)
{
    *files = MAPPED_FILES_INIT;
    int fd = openat(folder, "maps", O_RDONLY | O_CLOEXEC);
    FILE *maps = fd < 0 ? NULL : fdopen(fd, "r");
    if (!maps) {
        int code = -errno;
        if (fd >= 0)
            close(fd);
        return code;
    }
    char *text = NULL, *run = NULL; /* the file of the run: its device and inode */
    size_t size = 0;
    int code = 0;
    while (code == 0 && getline(&text, &size, maps) > 0) {
        struct line line;
        if (!parse(text, &line))
            continue;
        files->mappings++;
        bool same = run && strlen(run) == line.device_and_inode_length &&
                    memcmp(run, line.device_and_inode, line.device_and_inode_length) == 0;
        if (line.path[0] == '/' && !same) {
            free(run);
            run = strndup(line.device_and_inode, line.device_and_inode_length);
            if (!run || !add(files, &line))
                code = -ENOMEM;
        } else if (line.path[0] != '/' && line.path[0] != '\0') {
            free(run);
            run = NULL; /* "[heap]"; a mapping without any name may be the zeroes behind a file's data */
        }
        if (code == 0 && run && line.path[0] == '/' && line.permissions[2] == 'x')
            files->files[files->count - 1].code = true;
    }
    if (code == 0 && ferror(maps))
        code = -errno;
    free(text);
    free(run);
    fclose(maps);
    if (code != 0)
        mapped_files_free(files);
    return code;
}

void mapped_files_free(struct mapped_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->files[i].path);
    free(files->files);
    *files = MAPPED_FILES_INIT;
}

const char *mapped_file_name(const struct mapped_file *file)
{
    const char *slash = strrchr(file->path, '/');
    return slash ? slash + 1 : file->path;
}

const struct mapped_file *mapped_files_find(const struct mapped_files *files, const char *name, bool prefix)
{
    for (size_t i = 0; i < files->count; i++) {
        const char *own = mapped_file_name(&files->files[i]);
        if (files->files[i].code && (prefix ? strncmp(own, name, strlen(name)) : strcmp(own, name)) == 0)
            return &files->files[i];
    }
    return NULL;
}

int mapped_file_open(const struct mapped_file *file, int folder)
{
    char name[64];
    /* Not blocking, no terminal: the process chose the path, and it may be anything. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    snprintf(name, sizeof name, "map_files/%" PRIx64 "-%" PRIx64, file->start, file->end);
    int fd = openat(folder, name, flags);
    if (fd >= 0)
        return fd;
    return file->deleted ? -ENOENT : proc_open_path(folder, file->path, flags);
}
