/* new_file.c - see new_file.h */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ATTEMPTS 100u

/* The folder that `path` names a file in, "." for a bare name. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (length >= PATH_MAX)
        return false;
    memcpy(folder, length ? path : ".", length ? length : 1);
    folder[length ? length : 1] = '\0';
    return true;
}

/*
 * Gives the file a name of its own beside its path, by `make`, which answers -EEXIST for a name that is taken; its
 * other answers are handed on.
 */
static int name_beside(struct new_file *file, int (*make)(struct new_file *file, const char *name))
{
    int code = -EEXIST;
    for (unsigned attempt = 0; code == -EEXIST && attempt < MAX_ATTEMPTS; attempt++) {
        char *name;
        if (asprintf(&name, "%s.%ld.%u.new", file->path, (long)getpid(), attempt) < 0)
            return -ENOMEM;
        code = make(file, name);
        if (code == 0)
            file->beside = name;
        else
            free(name);
    }
    return code;
}

static int create_named(struct new_file *file, const char *name)
{
    file->fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return file->fd < 0 ? -errno : 0;
}

static int link_as(struct new_file *file, const char *name)
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->fd);
    return linkat(AT_FDCWD, link, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}

int new_file_begin(struct new_file *file, const char *path, struct error *error)
{
    char folder[PATH_MAX];
    *file = (struct new_file){.fd = -1, .path = strdup(path)};
    if (!file->path)
        return error_set(error, -ENOMEM, "out of memory");
    int code = 0;
    if (!folder_of(path, folder))
        code = -ENAMETOOLONG;
    else if ((file->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
        /* the file system, or the kernel, knows no files without a name; or nothing can be made there at all */
        code = name_beside(file, create_named);
    if (code != 0) {
        error_set(error, code, "%s: cannot create: %s: choose another place with -o", path, strerror(-code));
        new_file_discard(file);
    }
    return code;
}

void new_file_resemble(struct new_file *file, const struct stat *other)
{
    struct stat own;
    if (fstat(file->fd, &own) != 0)
        return;
    bool same = own.st_uid == other->st_uid && own.st_gid == other->st_gid;
    if (same || fchown(file->fd, other->st_uid, other->st_gid) == 0) {
        int ignored = fchmod(file->fd, other->st_mode & 0777);
        (void)ignored;
    }
}

/* So that the name survives a crash too. A folder that may not be read cannot be told: then that is all. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    int fd = folder_of(path, folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* From the name beside to the one that is wanted. */
static int rename_to(struct new_file *file, bool replace)
{
    int code = renameat2(AT_FDCWD, file->beside, AT_FDCWD, file->path, replace ? 0 : RENAME_NOREPLACE) ? -errno : 0;
    if (!replace && (code == -EINVAL || code == -ENOSYS))
        /* the file system knows no such flag: a second name does not replace anything either */
        return link(file->beside, file->path) == 0 ? 0 : -errno;
    if (code == 0) {
        free(file->beside);
        file->beside = NULL;
    }
    return code;
}

static int take_name(struct new_file *file, bool replace)
{
    if (!file->beside && !replace)
        return link_as(file, file->path);
    int code = file->beside ? 0 : name_beside(file, link_as);
    return code == 0 ? rename_to(file, replace) : code;
}

int new_file_commit(struct new_file *file, bool replace, struct error *error)
{
    int code = fsync(file->fd) == 0 ? 0 : -errno;
    if (code == 0)
        code = take_name(file, replace);
    if (code == 0)
        sync_folder(file->path);
    else if (code == -EEXIST)
        error_set(error, code, "%s: exists already: choose another name with -o, or replace it with --force",
                  file->path);
    else
        error_set(error, code, "%s: cannot write: %s", file->path, strerror(-code));
    new_file_discard(file);
    return code;
}

void new_file_discard(struct new_file *file)
{
    if (file->beside)
        unlink(file->beside);
    if (file->fd >= 0)
        close(file->fd);
    free(file->beside);
    free(file->path);
    *file = (struct new_file){.fd = -1};
}
