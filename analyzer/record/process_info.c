/* process_info.c - see process_info.h */
#include "record/process_info.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/proc_folder.h"
#include "record/trace_writer.h"

#define MAX_BYTES ((size_t)1 << 20) /* of arguments or environment that are kept */

/* A file of /proc/PID, whole or its begin, terminated. False: it cannot be read. */
static bool read_file(struct buf *content, pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return proc_folder_head(content, AT_FDCWD, path, MAX_BYTES);
}

/* As proc_stat_field(); what is returned lies in `content`. */
static const char *read_stat_field(struct buf *content, pid_t pid, unsigned number)
{
    return read_file(content, pid, "stat") ? proc_stat_field((char *)content->data, number) : NULL;
}

static void link_field(struct buf *fields, enum hsk_field tag, pid_t pid, const char *name)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t length = readlink(path, target, sizeof target);
    if (length > 0)
        trace_field_bytes(fields, tag, target, (size_t)length);
}

static void argument_fields(struct buf *fields, struct buf *content, pid_t pid)
{
    if (!read_file(content, pid, "cmdline"))
        return;
    for (size_t at = 0; at < content->length;) {
        size_t length = strlen((char *)content->data + at);
        trace_field_bytes(fields, HSK_FIELD_ARGUMENT, content->data + at, length);
        at += length + 1;
    }
}

static void environment_fields(struct buf *fields, struct buf *content, pid_t pid)
{
    if (!read_file(content, pid, "environ"))
        return;
    for (size_t at = 0; at < content->length;) {
        const char *entry = (char *)content->data + at;
        size_t length = strlen(entry);
        const char *equals = memchr(entry, '=', length);
        /* what was emptied by the program (or by our library) has no name any more */
        if (equals && equals != entry)
            trace_field_bytes(fields, HSK_FIELD_ENVIRONMENT_NAME, entry, (size_t)(equals - entry));
        at += length + 1;
    }
}

pid_t process_info_parent(pid_t pid)
{
    struct buf content = BUF_INIT;
    const char *field = read_stat_field(&content, pid, 4);
    pid_t parent = field ? (pid_t)strtol(field, NULL, 10) : 0;
    buf_free(&content);
    return parent;
}

char process_info_state(pid_t pid)
{
    struct buf content = BUF_INIT;
    const char *field = read_stat_field(&content, pid, 3);
    char state = field ? *field : '\0';
    buf_free(&content);
    return state;
}

bool process_info_is_waited_for(pid_t pid)
{
    struct buf content = BUF_INIT;
    const char *field = read_stat_field(&content, pid, 38);
    bool is = field && strtol(field, NULL, 10) != 0;
    buf_free(&content);
    return is;
}

void process_info_fields(struct buf *fields, pid_t pid, pid_t *parent)
{
    struct buf content = BUF_INIT;
    trace_field_number(fields, HSK_FIELD_PID, (uint64_t)pid);
    *parent = process_info_parent(pid);
    trace_field_number(fields, HSK_FIELD_PARENT_PID, (uint64_t)*parent);
    argument_fields(fields, &content, pid);
    link_field(fields, HSK_FIELD_EXECUTABLE, pid, "exe");
    link_field(fields, HSK_FIELD_WORKING_DIRECTORY, pid, "cwd");
    environment_fields(fields, &content, pid);
    struct utsname host;
    if (uname(&host) == 0) {
        trace_field_string(fields, HSK_FIELD_HOST, host.nodename);
        trace_field_string(fields, HSK_FIELD_ARCHITECTURE, host.machine);
    }
    buf_free(&content);
}

void process_info_name(pid_t pid, char *name, size_t size)
{
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr(target, '/');
    snprintf(name, size, "%s", slash && slash[1] ? slash + 1 : "program");
}

bool process_info_is_heapsake(pid_t pid)
{
    char path[64];
    struct stat own, other;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat("/proc/self/exe", &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

double process_info_age(pid_t pid)
{
    struct buf content = BUF_INIT;
    const char *start = read_stat_field(&content, pid, 22);
    double age = 0;
    if (start)
        age = (double)clock_ns(CLOCK_BOOTTIME) / 1e9 - strtod(start, NULL) / (double)sysconf(_SC_CLK_TCK);
    buf_free(&content);
    return age > 0 ? age : 0;
}

uint64_t process_info_resident(pid_t pid)
{
    char text[256], *end;
    if (!proc_text(text, sizeof text, "/proc/%d/statm", pid, 0))
        return 0;
    strtoull(text, &end, 10);
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_info_sleeps(pid_t pid, int tid)
{
    char text[4096] = "";
    proc_text(text, sizeof text, "/proc/%d/task/%d/status", pid, tid);
    return proc_field_number(text, "voluntary_ctxt_switches", 10, 0);
}

/* The kernel's struct pidfd_info as far as it is needed; headers of today's distributions do not have it. */
struct pidfd_exit_info {
    uint64_t mask;
    uint64_t cgroup_id;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)
#define PIDFD_GET_EXIT_INFO _IOWR(0xff, 11, struct pidfd_exit_info)

int process_info_wait_status(pid_t pid, int pidfd)
{
    /* While it is a zombie its stat has the status, for those who might trace it. */
    struct buf content = BUF_INIT;
    int status = -1;
    const char *state = read_stat_field(&content, pid, 3);
    const char *code = state ? proc_stat_field((char *)content.data, 52) : NULL;
    if (code && (*state == 'Z' || *state == 'X'))
        status = (int)strtol(code, NULL, 10);
    buf_free(&content);
    if (status > 0)
        return status; /* 0 may also mean: not for your eyes */
    /* Linux 6.15 and later tell it when the process has been waited for. */
    struct pidfd_exit_info info = {.mask = PIDFD_INFO_EXIT_BIT};
    if (pidfd >= 0 && ioctl(pidfd, PIDFD_GET_EXIT_INFO, &info) == 0 && info.mask & PIDFD_INFO_EXIT_BIT)
        return info.exit_code;
    return status;
}
