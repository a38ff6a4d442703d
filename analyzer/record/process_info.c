/* process_info.c - see process_info.h */
#include "record/process_info.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "record/trace_writer.h"

#define MAX_BYTES ((size_t)1 << 20) /* of arguments or environment that are kept */

/* A file of /proc/PID, whole or its first `max` bytes, terminated. False: it cannot be read. */
static bool read_file(struct buf *content, pid_t pid, const char *name, size_t max)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    buf_clear(content);
    ssize_t got = 0;
    while (content->length < max && buf_reserve(content, 4096)) {
        got = read(fd, content->data + content->length, content->capacity - content->length - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        content->length += (size_t)got;
    }
    close(fd);
    if (!content->data)
        return false;
    content->data[content->length] = '\0';
    return got >= 0;
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
    if (!read_file(content, pid, "cmdline", MAX_BYTES))
        return;
    for (size_t at = 0; at < content->length;) {
        size_t length = strlen((char *)content->data + at);
        trace_field_bytes(fields, HSK_FIELD_ARGUMENT, content->data + at, length);
        at += length + 1;
    }
}

static void environment_fields(struct buf *fields, struct buf *content, pid_t pid)
{
    if (!read_file(content, pid, "environ", MAX_BYTES))
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
    pid_t parent = 0;
    if (read_file(&content, pid, "stat", 4096)) {
        const char *behind = strrchr((char *)content.data, ')');
        if (behind && strlen(behind) > 4)
            parent = (pid_t)strtol(behind + 3, NULL, 10);
    }
    buf_free(&content);
    return parent;
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

double process_info_age(pid_t pid)
{
    struct buf content = BUF_INIT;
    struct timespec now;
    double age = 0;
    if (read_file(&content, pid, "stat", 4096) && clock_gettime(CLOCK_BOOTTIME, &now) == 0) {
        /* the 22nd field; the second may hold anything, and ends with the last parenthesis */
        const char *at = strrchr((char *)content.data, ')');
        for (int field = 2; at && field < 22; field++)
            at = strchr(at + 1, ' ');
        if (at)
            age = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK);
    }
    buf_free(&content);
    return age > 0 ? age : 0;
}

uint64_t process_info_resident(pid_t pid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    char *end;
    strtoull(text, &end, 10);
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t process_info_switches(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strstr(text, "\nvoluntary_ctxt_switches:");
    return at ? strtoull(at + sizeof "\nvoluntary_ctxt_switches:" - 1, NULL, 10) : 0;
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
    if (read_file(&content, pid, "stat", 4096)) {
        const char *at = strrchr((char *)content.data, ')');
        char state = at && at[1] == ' ' ? at[2] : '\0';
        /* exit_code is the 52nd field; the state is the third */
        for (int field = 2; at && field < 52; field++)
            at = strchr(at + 1, ' ');
        if (at && (state == 'Z' || state == 'X'))
            status = (int)strtol(at, NULL, 10);
    }
    buf_free(&content);
    if (status > 0)
        return status; /* 0 may also mean: not for your eyes */
    /* Linux 6.15 and later tell it when the process has been waited for. */
    struct pidfd_exit_info info = {.mask = PIDFD_INFO_EXIT_BIT};
    if (pidfd >= 0 && ioctl(pidfd, PIDFD_GET_EXIT_INFO, &info) == 0 && info.mask & PIDFD_INFO_EXIT_BIT)
        return info.exit_code;
    return status;
}
