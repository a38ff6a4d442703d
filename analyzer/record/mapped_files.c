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
    uint64_t start, end, offset, inode;
    unsigned major, minor; /* the device */
    char permissions[5];
    char *path; /* "" when there is none; "[heap]" and the like are no files */
};

/* start-end perms offset major:minor inode   path */
static bool parse(char *text, struct line *line)
{
    int behind = 0;
    if (sscanf(text, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 "%n", &line->start, &line->end,
               line->permissions, &line->offset, &line->major, &line->minor, &line->inode, &behind) != 7)
        return false;
    line->path = text + behind + strspn(text + behind, " ");
    line->path[strcspn(line->path, "\n")] = '\0';
    return true;
}

/* Does `line` go on with the run that `last` belongs to? */
static bool continues(const struct line *last, const struct line *line)
{
    return last->inode == line->inode && last->major == line->major && last->minor == line->minor &&
           last->offset <= line->offset;
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
    char *text = NULL;
    size_t size = 0;
    int code = 0;
    bool in_run = false;
    struct line line, last; /* of the run; its path is gone */
    while (code == 0 && getline(&text, &size, maps) > 0) {
        if (!parse(text, &line))
            continue;
        files->mappings++;
        if (line.path[0] == '\0')
            continue; /* perhaps the zeroes behind a file's data: the run may go on */
        bool goes_on = in_run && continues(&last, &line);
        in_run = line.path[0] == '/';
        last = line;
        if (in_run && !goes_on && !add(files, &line))
            code = -ENOMEM;
        else if (in_run && line.permissions[2] == 'x')
            files->files[files->count - 1].code = true;
    }
    if (code == 0 && ferror(maps))
        code = -errno;
    free(text);
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
