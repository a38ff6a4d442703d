/* remote_script.c - see remote_script.h */
#include "record/remote_script.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "base/write_all.h"
#include "internal/compiler.h"
#include "record/proc_folder.h"

/* ---- where ---- */

/* As what it touches files. False: that cannot be read. */
static bool read_owner(int process, uid_t *user, gid_t *group)
{
    struct buf status = BUF_INIT;
    unsigned users[4] = {0}, groups[4] = {0};
    const char *uid = NULL, *gid = NULL;
    if (proc_folder_text(&status, process, "status")) {
        uid = proc_field((char *)status.data, "Uid");
        gid = proc_field((char *)status.data, "Gid");
    }
    bool known = uid && gid && sscanf(uid, "%u %u %u %u", &users[0], &users[1], &users[2], &users[3]) == 4 &&
                 sscanf(gid, "%u %u %u %u", &groups[0], &groups[1], &groups[2], &groups[3]) == 4;
    buf_free(&status);
    *user = users[3];
    *group = groups[3];
    return known;
}

/* Who owns a folder, or may write to one that is not sticky, may put another file in the place of ours. */
static bool is_fit(int folder, int process, uid_t user)
{
    struct stat status;
    if (fstat(folder, &status) != 0)
        return false;
    bool trusted = status.st_uid == 0 || status.st_uid == user || status.st_uid == geteuid() ||
                   proc_same(process, "ns/user") == 0; /* a container's, and so the container's own business */
    bool kept = status.st_mode & S_ISVTX || !(status.st_mode & (S_IWGRP | S_IWOTH));
    return trusted && kept && status.st_mode & S_IXOTH && faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) == 0;
}

int remote_script_place(struct remote_script *script, int process, struct error *error)
{
    static const char *const folders[] = {"/tmp", "/var/tmp", "/dev/shm"};
    uint64_t number;
    uid_t user;
    gid_t group;
    if (!read_owner(process, &user, &group) || getrandom(&number, sizeof number, 0) != sizeof number)
        return error_set(error, -EACCES, "its user cannot be told");
    for (size_t i = 0; i < HS_COUNT_OF(folders); i++) {
        int folder = proc_open_path(process, folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            continue;
        if (is_fit(folder, process, user)) {
            *script = (struct remote_script){.folder = folder, .watch = -1};
            snprintf(script->path, sizeof script->path, "%s/heapsake-%016" PRIx64 ".py", folders[i], number);
            return 0;
        }
        close(folder);
    }
    return error_set(
        error, -EACCES,
        "its Python would run a script, and there is no folder for one that it may read and others may not "
        "change (of /tmp, /var/tmp, /dev/shm)");
}

void remote_script_close(struct remote_script *script)
{
    close(script->folder);
    if (script->watch >= 0)
        close(script->watch);
}

/* ---- what ---- */

static void append_bytes(struct buf *text, const char *name, const char *value)
{
    buf_printf(text, "    %s = b\"", name);
    for (; *value; value++)
        buf_printf(text, "\\x%02x", (unsigned char)*value);
    buf_printf(text, "\"\n");
}

static bool is_utf8(const char *text)
{
    for (size_t left = strlen(text), length; left > 0; text += length, left -= length)
        if ((length = utf8_length(text, left)) == 0)
            return false;
    return true;
}

/*
 * No call in it but of the door: behind a call that succeeds Python looks for signals, and an exception of a handler's
 * would be lost in here. A function serves as what names a module and its file, since making one is no call. The
 * modules are a part of every interpreter. When the door was not found the file is there still.
 */
static void compose(struct buf *text, const struct remote_script *script, const struct injection_order *order)
{
    buf_printf(text, "try:\n    import _imp, posix\n");
    append_bytes(text, "call", order->function);
    append_bytes(text, "argument", order->argument);
    append_bytes(text, "script", script->path);
    buf_printf(text, "    def spec(): pass\n"
                     "    spec.name = 'heapsake_door'\n");
    buf_printf(text, "    spec.origin = '");
    for (const unsigned char *at = (const unsigned char *)order->library; *at; at++)
        buf_printf(text, *at < ' ' || *at == '\'' || *at == '\\' ? "\\x%02x" : "%c", *at);
    buf_printf(text, "'\n");
    buf_printf(text, "    _imp.create_dynamic(spec)\n"
                     "except BaseException:\n"
                     "    try:\n"
                     "        posix.unlink(script)\n"
                     "    except BaseException:\n"
                     "        pass\n");
}

/* ---- the file ---- */

static const char *name_of(const struct remote_script *script)
{
    return strrchr(script->path, '/') + 1;
}

/* What is in it, and whose it is. */
static int fill(int fd, int process, const struct buf *text)
{
    uid_t user;
    gid_t group;
    int code = write_all(fd, text->data, text->length);
    if (code != 0)
        return code;
    if (!read_owner(process, &user, &group))
        return -ESRCH;
    return user == geteuid() || fchown(fd, user, group) == 0 ? 0 : -errno;
}

/* Of the openings from here on. Without it the script is of use all the same. */
static void begin_watch(struct remote_script *script, int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    script->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (script->watch < 0 || inotify_add_watch(script->watch, path, IN_OPEN) >= 0)
        return;
    close(script->watch);
    script->watch = -1;
}

int remote_script_write(struct remote_script *script, int process, const struct injection_order *order,
                        struct error *error)
{
    struct buf text = BUF_INIT;
    if (!is_utf8(order->library))
        return error_set(error, -EINVAL, "the library's path is no UTF-8, and Python loads nothing from there");
    compose(&text, script, order);
    int fd = text.failed
                 ? -1
                 : openat(script->folder, name_of(script), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int code = text.failed ? -ENOMEM : fd < 0 ? -errno : 0;
    if (fd >= 0) {
        code = fill(fd, process, &text);
        begin_watch(script, fd);
        close(fd);
        if (code != 0)
            remote_script_remove(script);
    }
    buf_free(&text);
    return code == 0 ? 0 : error_set(error, code, "a script for its Python cannot be written (%s)", strerror(-code));
}

bool remote_script_is_there(const struct remote_script *script)
{
    return faccessat(script->folder, name_of(script), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

unsigned remote_script_openings(struct remote_script *script)
{
    _Alignas(struct inotify_event) char events[1024];
    if (script->watch < 0)
        return 1;
    for (ssize_t got; (got = read(script->watch, events, sizeof events)) > 0;)
        for (const char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *)at;
            script->openings += (event->mask & (IN_OPEN | IN_Q_OVERFLOW)) != 0;
            at += sizeof *event + event->len;
        }
    return script->openings;
}

void remote_script_remove(const struct remote_script *script)
{
    unlinkat(script->folder, name_of(script), 0);
}
