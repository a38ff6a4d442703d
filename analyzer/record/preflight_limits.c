/* preflight_limits.c - what surrounds the process: namespaces, and how much memory it may still take. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal/session.h"
#include "record/cgroup.h"
#include "record/network.h"
#include "record/preflight_private.h"
#include "record/proc_folder.h"
#include "report/out_text.h"

#define ADDRESS_SPACE_BYTES (HS_SESSION_BYTES + (UINT64_C(44) << 20)) /* all of a session, the library, a stack */
#define GROUP_BYTES (UINT64_C(64) << 20)
#define MAPPINGS 1000u /* that a session of some hundred threads takes */

/* ---- namespaces ---- */

void preflight_namespaces(struct preflight *list, const struct subject *subject)
{
    static const struct {
        const char *link, *name;
    } kinds[] = {{"ns/mnt", "mount"}, {"ns/pid", "pid"}, {"ns/user", "user"}};
    char own[64] = "";
    /* Recorders are met at an abstract address, and those belong to a network namespace. */
    int network = network_open(subject->folder);
    if (network >= 0 && network_may_enter(network)) {
        preflight_add(list, "network", CHECK_OK,
                      "has another network namespace, which a recorder enters to be met in it");
    } else if (network != -EEXIST) {
        preflight_add(list, "network", CHECK_FATAL,
                      "has another network namespace, which only root may enter to meet it");
        preflight_fix(list, "run heapsake in that one: nsenter --net=/proc/%d/ns/net heapsake ...", (int)subject->pid);
    } else
        preflight_add(list, "network", CHECK_OK, "has the same network namespace");
    if (network >= 0)
        close(network);
    for (size_t i = 0; i < HS_COUNT_OF(kinds); i++)
        if (proc_same(subject->folder, kinds[i].link) == 0)
            snprintf(own + strlen(own), sizeof own - strlen(own), "%s%s", own[0] ? ", " : "", kinds[i].name);
    if (own[0])
        preflight_add(list, "namespaces", CHECK_OK, "has namespaces of its own, which are no obstacle: %s", own);
    else
        preflight_add(list, "namespaces", CHECK_OK, "has no namespaces of its own");
}

/* ---- memory ---- */

struct limit {
    uint64_t soft, hard; /* UINT64_MAX: unlimited, or not told */
};

/* Of a line of limits: "Max address space  SOFT  HARD  bytes". */
static struct limit read_limit(const struct subject *subject, const char *name)
{
    struct buf text = BUF_INIT;
    uint64_t numbers[2] = {UINT64_MAX, UINT64_MAX};
    const char *at = proc_folder_text(&text, subject->folder, "limits") ? strstr((char *)text.data, name) : NULL;
    at = at ? at + strlen(name) : NULL;
    for (size_t i = 0; i < HS_COUNT_OF(numbers) && at; i++) {
        at += strspn(at, " ");
        if (*at >= '0' && *at <= '9')
            numbers[i] = strtoull(at, NULL, 10);
        at += strcspn(at, " \n");
    }
    buf_free(&text);
    return (struct limit){numbers[0], numbers[1]};
}

/* Of the numbers below `limit`, how many are in use; false: it cannot be told. */
static bool count_descriptors(const struct subject *subject, uint64_t limit, uint64_t *count)
{
    int fd = openat(subject->folder, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    *count = 0;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(folder)))
        *count += entry->d_name[0] != '.' && strtoull(entry->d_name, NULL, 10) < limit;
    closedir(folder);
    return true;
}

/* Loading the library and meeting the recorder each open one, one after the other. */
static void check_descriptors(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "descriptors";
    struct limit limits = read_limit(subject, "Max open files");
    uint64_t count;
    if (!count_descriptors(subject, limits.soft, &count))
        return;
    if (count < limits.soft)
        preflight_add(list, name, CHECK_OK, "has %llu open", (unsigned long long)count);
    else {
        preflight_add(list, name, CHECK_FATAL,
                      "has no descriptor left of its %llu (RLIMIT_NOFILE): no library can be opened",
                      (unsigned long long)limits.soft);
        preflight_fix(list, "prlimit --pid %d --nofile=%llu%s", (int)subject->pid, (unsigned long long)count + 8,
                      count + 8 <= limits.hard ? ":" : " (as root)");
    }
}

static void check_address_space(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "address space";
    char limit_text[OUT_NUMBER_SIZE], left_text[OUT_NUMBER_SIZE];
    struct limit limits = read_limit(subject, "Max address space");
    uint64_t limit = limits.soft, size = proc_field_number(subject->status, "VmSize", 10, 0) << 10;
    uint64_t left = limit > size ? limit - size : 0;
    if (limit == UINT64_MAX)
        preflight_add(list, name, CHECK_OK, "is not limited");
    else if (left >= ADDRESS_SPACE_BYTES)
        preflight_add(list, name, CHECK_OK, "has %s left of %s", out_bytes(left_text, left),
                      out_bytes(limit_text, limit));
    else {
        preflight_add(list, name, CHECK_FATAL, "has %s left of the %s that it may map (RLIMIT_AS): tracing may take %s",
                      out_bytes(left_text, left), out_bytes(limit_text, limit),
                      out_bytes((char[OUT_NUMBER_SIZE]){0}, ADDRESS_SPACE_BYTES));
        uint64_t enough = size + ADDRESS_SPACE_BYTES;
        preflight_fix(list, "prlimit --pid %d --as=%llu%s%s", (int)subject->pid, (unsigned long long)enough,
                      enough <= limits.hard ? ":" : "", enough <= limits.hard ? "" : " (as root)");
    }
}

static void check_mappings(struct preflight *list, const struct subject *subject)
{
    int64_t most = proc_number("/proc/sys/vm/max_map_count", INT64_MAX);
    uint64_t count = subject->files.maps.count;
    if (count == 0)
        return;
    if (most < 0 || count + MAPPINGS <= (uint64_t)most)
        preflight_add(list, "mappings", CHECK_OK, "has %llu mappings", (unsigned long long)count);
    else {
        preflight_add(list, "mappings", CHECK_FATAL, "has %llu of the %lld mappings that a process may have",
                      (unsigned long long)count, (long long)most);
        preflight_fix(list, "sysctl vm.max_map_count=%lld", (long long)most * 2);
    }
}

static void check_group(struct preflight *list, const struct subject *subject)
{
    static const char name[] = "memory";
    char left_text[OUT_NUMBER_SIZE], limit_text[OUT_NUMBER_SIZE];
    uint64_t limit = 0, left = cgroup_memory_left(subject->folder, &limit);
    if (left == UINT64_MAX)
        preflight_add(list, name, CHECK_OK, "is not limited by its cgroup");
    else if (left >= GROUP_BYTES)
        preflight_add(list, name, CHECK_OK, "has %s left of the %s of its cgroup", out_bytes(left_text, left),
                      out_bytes(limit_text, limit));
    else {
        preflight_add(list, name, CHECK_FATAL,
                      "has %s left of the %s of its cgroup, and the kernel may end it when tracing takes more",
                      out_bytes(left_text, left), out_bytes(limit_text, limit));
        preflight_fix(list, "raise the limit of the group by 64 MiB (memory.max; docker update --memory)");
    }
}

void preflight_limits(struct preflight *list, const struct subject *subject)
{
    check_address_space(list, subject);
    check_descriptors(list, subject);
    check_mappings(list, subject);
    check_group(list, subject);
}
