/*
 * preflight_permission.c - may this user trace the process, and may the process read our library?
 *
 * The first is tried: the kernel lets /proc/PID/mem be opened by those whom it lets trace, by the same rules, those of
 * security modules included. Only when it does not, the reason is looked for. The second is told from owners and modes,
 * since nobody can ask the kernel on another's behalf.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "record/preflight_private.h"
#include "record/proc_folder.h"

/* Of "Uid:" and "Gid:". */
struct identity {
    unsigned real, effective, saved, files;
};

static bool read_identity(const char *status, const char *name, struct identity *identity)
{
    const char *value = proc_field(status, name);
    return value &&
           sscanf(value, "%u %u %u %u", &identity->real, &identity->effective, &identity->saved, &identity->files) == 4;
}

static bool is_all(const struct identity *identity, unsigned number)
{
    return identity->real == number && identity->effective == number && identity->saved == number;
}

bool preflight_capable(const char *status, const char *name, unsigned number)
{
    return proc_field_number(status, name, 16, 0) >> number & 1;
}

/* ---- may we? ---- */

static const char not_yours[] = "must not be traced by this user";

static void explain_scope(struct preflight *list, const char *name, long scope)
{
    preflight_add(list, name, CHECK_FATAL, "%s: kernel.yama.ptrace_scope is %ld, which %s", not_yours, scope,
                  scope == 1   ? "leaves that to its ancestors"
                  : scope == 2 ? "leaves that to root"
                               : "forbids it to everybody");
    if (scope == 1)
        preflight_fix(list, "run heapsake as root, or allow it until the next boot: sysctl kernel.yama.ptrace_scope=0");
    else if (scope == 2)
        preflight_fix(list, "run heapsake as root");
    else
        preflight_fix(list, "boot the machine with a kernel.yama.ptrace_scope below 3; it cannot be lowered before");
}

/* Whose it is, when that is the reason; false: it is not. `own` is the text of our status. */
static bool explain_by_owner(struct preflight *list, const struct subject *subject, const char *name, const char *own)
{
    struct identity user, group;
    struct stat owner;
    if (!read_identity(subject->status, "Uid", &user) || !read_identity(subject->status, "Gid", &group))
        return false;
    bool same_user = is_all(&user, geteuid());
    if (!same_user || !is_all(&group, getegid()))
        preflight_add(list, name, CHECK_FATAL, "belongs to %s %u, and this is %s %u", same_user ? "group" : "user",
                      same_user ? group.effective : user.effective, same_user ? "group" : "user",
                      same_user ? getegid() : geteuid());
    else if (proc_field_number(subject->status, "CapPrm", 16, 0) & ~proc_field_number(own, "CapPrm", 16, 0))
        preflight_add(list, name, CHECK_FATAL, "has capabilities that this user has not");
    else if (fstatat(subject->folder, "mem", &owner, 0) == 0 && owner.st_uid != user.effective)
        preflight_add(list, name, CHECK_FATAL,
                      "has forbidden to be looked into (prctl PR_SET_DUMPABLE), or its program is not readable");
    else
        return false;
    preflight_fix(list, "%s",
                  geteuid() == 0 ? "give heapsake CAP_SYS_PTRACE, which root lacks here"
                                 : "run heapsake as root (or, of another user, as that one)");
    return true;
}

/* Why opening its memory was refused; in the order in which the kernel looks. */
static void explain(struct preflight *list, const struct subject *subject, const char *name, int code)
{
    struct buf own = BUF_INIT;
    long scope = (long)proc_ptrace_scope();
    const char *status = proc_folder_text(&own, AT_FDCWD, "/proc/self/status") ? (const char *)own.data : "";
    bool capable = preflight_capable(status, "CapEff", CAP_SYS_PTRACE);
    if (code != EACCES && code != EPERM)
        preflight_add(list, name, CHECK_FATAL, "does not show its memory: %s", strerror(code));
    else if (!capable && explain_by_owner(list, subject, name, status))
        ;
    else if (scope >= (capable ? 3 : 1))
        explain_scope(list, name, scope);
    else {
        preflight_add(list, name, CHECK_FATAL, "%s: a security module forbids it, or a container", not_yours);
        preflight_fix(list, "run heapsake outside of the container, as root");
    }
    buf_free(&own);
}

bool preflight_permission(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "permission";
    struct identity user;
    int fd = openat(subject->folder, "mem", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        explain(list, subject, name, errno);
        return false;
    }
    close(fd);
    if (read_identity(subject->status, "Uid", &user) && is_all(&user, geteuid()))
        preflight_add(list, name, CHECK_OK, "belongs to this user");
    else
        preflight_add(list, name, CHECK_OK, "belongs to user %u, and this one may trace it", user.effective);
    return true;
}

/* ---- may it? ---- */

static bool in_groups(const char *status, unsigned group)
{
    const char *at = proc_field(status, "Groups");
    while (at && *at >= '0' && *at <= '9') {
        char *end;
        if (strtoul(at, &end, 10) == group)
            return true;
        at = end + strspn(end, " \t");
    }
    return false;
}

/* One of the bits 4 (read) and 1 (search). Where a list of access rights stands in for the mode, it is not judged. */
static bool mode_allows(const struct subject *subject, int fd, const struct stat *file, unsigned bit)
{
    struct identity user, group;
    char path[64];
    if (!read_identity(subject->status, "Uid", &user) || !read_identity(subject->status, "Gid", &group))
        return true;
    unsigned shift = file->st_uid == user.files                                                ? 6
                     : file->st_gid == group.files || in_groups(subject->status, file->st_gid) ? 3
                                                                                               : 0;
    if (file->st_mode >> shift & bit)
        return true;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return getxattr(path, "system.posix_acl_access", NULL, 0) > 0;
}

/* Capabilities count in its own user namespace only; if that is another they are not relied on. */
static bool reads_everything(const struct subject *subject)
{
    return proc_same(subject->folder, "ns/user") == 1 &&
           (preflight_capable(subject->status, "CapEff", CAP_DAC_OVERRIDE) ||
            preflight_capable(subject->status, "CapEff", CAP_DAC_READ_SEARCH));
}

bool preflight_may_read(const struct subject *subject, const char *path, char *what, size_t size)
{
    char part[PATH_MAX];
    if (reads_everything(subject) || strlen(path) >= sizeof part)
        return true;
    strcpy(part, path);
    /* "/", "/usr", "/usr/lib", ...: from the root on, each folder is to be searched, and the file to be read */
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        size_t length = end == path ? 1 : (size_t)(end - path);
        memcpy(part, path, length);
        part[length] = '\0';
        struct stat status;
        int fd = proc_open_path(subject->folder, part, O_PATH | O_CLOEXEC);
        bool allowed = fd < 0 || fstat(fd, &status) != 0 || mode_allows(subject, fd, &status, 1);
        if (fd >= 0)
            close(fd);
        if (!allowed) {
            snprintf(what, size, "%s must not be searched by its user", part);
            return false;
        }
    }
    struct stat status;
    int fd = proc_open_path(subject->folder, path, O_PATH | O_CLOEXEC);
    bool allowed = fd < 0 || fstat(fd, &status) != 0 || mode_allows(subject, fd, &status, 4);
    if (fd >= 0)
        close(fd);
    if (!allowed)
        snprintf(what, size, "%s must not be read by its user", path);
    return allowed;
}
