/* headroom.c - see headroom.h */
#include "headroom.h"

#include <string.h>

#include "../proc_text.h"
#include "internal/compiler.h"

#define LEAST_BYTES (UINT64_C(16) << 20)
#define FOLDER_BYTES 1024

struct files {
    const char *root, *limit, *usage, *cache;
};

static const struct files version_1 = {"/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                                       "total_inactive_file"};
static const struct files version_2 = {"/sys/fs/cgroup", "/memory.max", "/memory.current", "inactive_file"};

uint64_t headroom_resident(void)
{
    char text[128];
    const char *second;
    uint64_t total, resident;
    if (proc_read("/proc/self/statm", text, sizeof text) <= 0 || !proc_number(text, 10, &total, &second) ||
        !proc_number(second, 10, &resident, NULL))
        return 0;
    return resident * HS_PAGE_SIZE;
}

static bool read_number(const char *folder, const char *name, uint64_t *number)
{
    char path[FOLDER_BYTES + 64], text[32];
    char *end = text_append(path, path + sizeof path - 1, folder);
    text_append(end, path + sizeof path - 1, name);
    return proc_read(path, text, sizeof text) > 0 && proc_number(text, 10, number, NULL); /* "max" is no number */
}

/* What is free in one group, or the maximum; the cache is looked at only when it matters. */
static HS_COLD uint64_t free_in_group(const struct files *files, const char *folder, uint64_t needed)
{
    uint64_t limit, usage, cache;
    if (!read_number(folder, files->limit, &limit) || !read_number(folder, files->usage, &usage))
        return UINT64_MAX;
    uint64_t unused = limit > usage ? limit - usage : 0;
    if (unused >= needed)
        return unused;
    char path[FOLDER_BYTES + 64], text[4096];
    char *end = text_append(path, path + sizeof path - 1, folder);
    text_append(end, path + sizeof path - 1, "/memory.stat");
    if (proc_read(path, text, sizeof text) > 0 && proc_find_number(text, files->cache, &cache))
        unused += cache;
    return unused;
}

/* In the group of that path and all above it. A path that is not there (another namespace's) still has the root. */
static uint64_t free_in_groups(const struct files *files, const char *path, size_t length, uint64_t needed)
{
    char folder[FOLDER_BYTES];
    size_t root = (size_t)(text_append(folder, folder + sizeof folder - 1, files->root) - folder);
    if (length >= sizeof folder - root)
        return UINT64_MAX;
    memcpy(folder + root, path, length);
    folder[root + length] = '\0';
    uint64_t least = UINT64_MAX;
    for (;;) {
        size_t end = strlen(folder);
        while (end > root && folder[end - 1] == '/')
            folder[--end] = '\0';
        uint64_t unused = free_in_group(files, folder, needed);
        if (unused < least)
            least = unused;
        if (end <= root)
            return least;
        *strrchr(folder, '/') = '\0';
    }
}

static HS_COLD uint64_t free_by_limits(uint64_t needed)
{
    char text[4096];
    uint64_t least = UINT64_MAX;
    if (proc_read("/proc/self/cgroup", text, sizeof text) <= 0)
        return least;
    for (const char *line = text; *line;) {
        /* number:controllers:path */
        const char *end = strchrnul(line, '\n');
        const char *controllers = strchr(line, ':');
        const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path && path < end) {
            size_t length = (size_t)(end - path - 1);
            uint64_t unused = UINT64_MAX;
            if (!strncmp(controllers, ":memory:", 8))
                unused = free_in_groups(&version_1, path + 1, length, needed);
            else if (path == controllers + 1)
                unused = free_in_groups(&version_2, path + 1, length, needed);
            if (unused < least)
                least = unused;
        }
        line = *end ? end + 1 : end;
    }
    return least;
}

static HS_COLD uint64_t available(void)
{
    char text[2048];
    uint64_t kibibytes;
    if (proc_read("/proc/meminfo", text, sizeof text) <= 0 || !proc_find_number(text, "MemAvailable:", &kibibytes))
        return UINT64_MAX;
    return kibibytes << 10;
}

bool headroom_enough(uint64_t resident, char *why, size_t size)
{
    uint64_t needed = resident / 2 + LEAST_BYTES;
    uint64_t in_machine = available(), in_limits = free_by_limits(needed);
    uint64_t unused = in_machine < in_limits ? in_machine : in_limits;
    if (unused >= needed)
        return true;
    char *limit = why + size - 1;
    char *out = text_append(why, limit, "It takes ");
    out = text_append_number(out, limit, needed >> 20);
    out = text_append(out, limit, " MiB of free memory, and there are ");
    out = text_append_number(out, limit, unused >> 20);
    text_append(out, limit, in_limits < in_machine ? " below the limit of the cgroup." : " in the machine.");
    return false;
}
