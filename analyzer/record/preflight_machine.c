/* preflight_machine.c - what heapsake can do on this machine, for this user, in this folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/grow.h"
#include "internal/session.h"
#include "record/launch.h"
#include "record/memory.h"
#include "record/preflight_private.h"
#include "record/proc_folder.h"
#include "record/watch_spec.h"
#include "report/out_text.h"
#include "symbols/elf_file.h"
#include "symbols/python_version.h"

#define DISK_BYTES (UINT64_C(1) << 30)

static void check_kernel(struct preflight *list)
{
    struct utsname name;
    unsigned numbers[2] = {0, 0};
    if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &numbers[0], &numbers[1]) != 2)
        preflight_add(list, "kernel", CHECK_LACKS, "its release is not known");
    else if (numbers[0] < 5 || (numbers[0] == 5 && numbers[1] < 3)) {
        preflight_add(list, "kernel", CHECK_FATAL,
                      "Linux %s has no pidfd_open, by which the recorder sees programs end", name.release);
        preflight_fix(list, "Linux 5.3 or later");
    } else
        preflight_add(list, "kernel", CHECK_OK, "Linux %s", name.release);
}

static void check_library(struct preflight *list)
{
    char path[PATH_MAX];
    struct error error = {0};
    if (launch_find_library(path, &error) != 0) {
        preflight_add(list, "library", CHECK_FATAL, "%s", error.text);
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = errno;
    struct elf_file *file = fd < 0 ? NULL : elf_file_open(fd);
    if (file)
        preflight_add(list, "library", CHECK_OK, "%s", path);
    else
        preflight_add(list, "library", CHECK_FATAL, "%s: %s", path, fd < 0 ? strerror(code) : "is no shared library");
    elf_file_close(file);
}

static void check_shared_memory(struct preflight *list)
{
    int fd = memory_file_new("heapsake-doctor", HS_SESSION_BYTES);
    if (fd >= 0) {
        close(fd);
        preflight_add(list, "shared memory", CHECK_OK, "memory files can be made");
        return;
    }
    preflight_add(list, "shared memory", CHECK_FATAL, "a memory file of %llu MiB cannot be made: %s",
                  (unsigned long long)(HS_SESSION_BYTES >> 20), strerror(-fd));
    if (fd == -EFBIG)
        preflight_fix(list, "raise the limit on file sizes (ulimit -f)");
    else if (fd == -ENOSYS || fd == -EPERM)
        preflight_fix(list, "a container needs a seccomp profile that allows memfd_create");
}

static void check_disk(struct preflight *list)
{
    char text[OUT_NUMBER_SIZE];
    struct statvfs system;
    if (statvfs(".", &system) != 0) {
        preflight_add(list, "disk", CHECK_LACKS, "the current folder: %s", strerror(errno));
        preflight_fix(list, "cd to another folder, or choose one with -o");
        return;
    }
    uint64_t left = (uint64_t)system.f_bavail * system.f_frsize;
    if (faccessat(AT_FDCWD, ".", W_OK, AT_EACCESS) != 0) {
        preflight_add(list, "disk", CHECK_LACKS, "no trace can be written into the current folder");
        preflight_fix(list, "choose another with -o");
    } else if (left < DISK_BYTES) {
        preflight_add(list, "disk", CHECK_LACKS, "%s are free in the current folder", out_bytes(text, left));
        preflight_fix(list, "free 1 GiB, or choose another file system with -o: tracing stops when a disk is full");
    } else
        preflight_add(list, "disk", CHECK_OK, "%s are free in the current folder", out_bytes(text, left));
}

/* A machine with more processors than the set has room for has enough. */
static void check_cores(struct preflight *list)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) >= 2)
        preflight_add(list, "cores", CHECK_OK, "there is one for the recorder");
    else {
        preflight_add(list, "cores", CHECK_LACKS, "there is one alone, which programs share with their recorder");
        preflight_fix(list, "two cores: a traced program is slowed down less");
    }
}

/* Is the system call to be had at all? A child asks to be traced by us, and ends. 0 or an errno. */
static int try_ptrace(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : errno);
    if (child < 0)
        return errno;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EPERM;
}

static void check_attaching(struct preflight *list)
{
    static const char name[] = "attaching";
    struct buf status = BUF_INIT;
    int64_t scope = proc_ptrace_scope();
    bool capable = proc_folder_text(&status, AT_FDCWD, "/proc/self/status") &&
                   preflight_capable((const char *)status.data, "CapEff", CAP_SYS_PTRACE);
    buf_free(&status);
    int code = try_ptrace();
    if (scope >= 3) {
        preflight_add(list, name, CHECK_LACKS, "kernel.yama.ptrace_scope is %lld: nobody may trace anything",
                      (long long)scope);
        preflight_fix(list, "boot the machine with a lower one; heapsake run works all the same");
    } else if (code != 0) {
        preflight_add(list, name, CHECK_LACKS, "ptrace is forbidden here: %s", strerror(code));
        preflight_fix(list, "a container needs a seccomp profile that allows it; heapsake run works all the same");
    } else if (capable)
        preflight_add(list, name, CHECK_OK, "every process may be traced (CAP_SYS_PTRACE)");
    else if (scope == 0)
        preflight_add(list, name, CHECK_OK, "processes of this user may be traced");
    else {
        preflight_add(list, name, CHECK_LACKS, "kernel.yama.ptrace_scope is %lld: %s", (long long)scope,
                      scope == 1 ? "a process may be traced by its ancestors alone, and by root"
                                 : "processes may be traced by root alone");
        preflight_fix(list, "%s",
                      scope == 1 ? "sysctl kernel.yama.ptrace_scope=0 as root, or run heapsake as root"
                                 : "run heapsake as root");
    }
}

static void check_watchpoints(struct preflight *list)
{
    const char *obstacle = watch_obstacle();
    if (obstacle)
        preflight_add(list, "watchpoints", CHECK_LACKS, "%s", obstacle);
    else if (watch_slows_copies())
        preflight_add(list, "watchpoints", CHECK_OK,
                      "counts can be watched (--watch), a part of the time: while one is, this processor copies "
                      "blocks of memory many times slower");
    else
        preflight_add(list, "watchpoints", CHECK_OK, "counts can be watched (--watch)");
}

static void check_debuginfod(struct preflight *list)
{
    const char *urls = getenv("DEBUGINFOD_URLS");
    if (urls && *urls)
        preflight_add(list, "debuginfod", CHECK_OK, "asks %s", urls);
    else {
        preflight_add(list, "debuginfod", CHECK_LACKS,
                      "is not set up: native frames are named from what is installed here alone");
        preflight_fix(list, "set DEBUGINFOD_URLS to the server of your distribution");
    }
}

/* ---- interpreters ---- */

/* Files that have been looked at, under whatever name. */
struct seen {
    struct {
        dev_t device;
        ino_t inode;
    } * files;
    size_t count, capacity;
};

/* False: it has been seen, or memory ran out. */
static bool see(struct seen *seen, const struct stat *file)
{
    for (size_t i = 0; i < seen->count; i++)
        if (seen->files[i].device == file->st_dev && seen->files[i].inode == file->st_ino)
            return false;
    if (!grow((void **)&seen->files, seen->count, &seen->capacity, sizeof *seen->files))
        return false;
    seen->files[seen->count].device = file->st_dev;
    seen->files[seen->count++].inode = file->st_ino;
    return true;
}

/* Scripts (python3-config, the shims of pyenv) are no interpreters, and are passed over. */
static void check_program(struct preflight *list, struct seen *seen, const char *path)
{
    struct stat status;
    struct python_version version;
    char text[PYTHON_VERSION_TEXT];
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || !see(seen, &status) ||
        python_version_of_program(&version, path) != 0)
        return;
    const char *lack = python_version_lack(&version);
    preflight_add(list, "interpreter", lack ? CHECK_LACKS : CHECK_OK, "%s: %s%s%s", path,
                  python_version_text(&version, text), lack ? ": " : "", lack ? lack : "");
}

static int compare_names(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}
static int is_interesting(const struct dirent *entry)
{
    return strncmp(entry->d_name, "python3", 7) == 0;
}

static void check_folder(struct preflight *list, struct seen *seen, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_interesting, compare_names);
    for (int i = 0; i < count; i++) {
        char path[2 * PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int)sizeof path)
            check_program(list, seen, path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void check_interpreters(struct preflight *list)
{
    struct seen seen = {.count = 0};
    size_t before = list->count;
    const char *folders = getenv("PATH");
    for (const char *at = folders ? folders : "/bin:/usr/bin"; *at; at += *at == ':') {
        char folder[PATH_MAX];
        size_t length = strcspn(at, ":");
        if (length > 0 && length < sizeof folder) {
            memcpy(folder, at, length);
            folder[length] = '\0';
            check_folder(list, &seen, folder);
        }
        at += length;
    }
    free(seen.files);
    if (list->count == before)
        preflight_add(list, "interpreter", CHECK_OK, "there is no python3 in PATH");
}

int preflight_machine(struct preflight *list)
{
    check_kernel(list);
    check_library(list);
    check_shared_memory(list);
    check_disk(list);
    check_cores(list);
    check_attaching(list);
    check_watchpoints(list);
    check_debuginfod(list);
    check_interpreters(list);
    return list->failed ? -ENOMEM : 0;
}
