/* open_below.c - see open_below.h */
#include "base/open_below.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

int open_below(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags, .resolve = RESOLVE_IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) { /* Linux before 5.6, or a filter that does not know the call */
        while (*path == '/')
            path++;
        fd = openat(root, *path ? path : ".", flags);
    }
    return fd < 0 ? -errno : fd;
}
