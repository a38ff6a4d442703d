/* high_descriptors.c - see high_descriptors.h */
#include "high_descriptors.h"

#include <fcntl.h>

#include "../sys.h"

/* The kernel's table of descriptors, 8 bytes each, reaches to the highest one, and each fork copies it. */
#define MOST_LIMIT 16384u
/* Where the program's own numbers are taken. */
#define MOST_LOWEST 1024u

static struct rlimit limit_now(void)
{
    struct rlimit limit = {0};
    sys_call6(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
    return limit;
}

static bool set_limit(const struct rlimit *limit)
{
    return sys_call6(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)limit, 0, 0, 0) == 0;
}

void high_descriptors_begin(struct high_descriptors *high)
{
    struct rlimit limit = limit_now();
    uint64_t above = limit.rlim_max - limit.rlim_cur, quarter = limit.rlim_cur / 4;
    struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
    if (limit.rlim_cur <= MOST_LIMIT && above > quarter && set_limit(&raised)) {
        *high = (struct high_descriptors){
            .room = above, .lowest = limit.rlim_cur, .raised = true, .before = limit, .meanwhile = raised};
        return;
    }
    uint64_t half = limit.rlim_cur / 2;
    *high = (struct high_descriptors){.room = quarter, .lowest = half < MOST_LOWEST ? half : MOST_LOWEST};
}

int high_descriptors_move(const struct high_descriptors *high, int fd)
{
    long moved = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, high->lowest);
    if (moved < 0)
        return fd;
    sys_close(fd);
    return (int)moved;
}

void high_descriptors_end(const struct high_descriptors *high)
{
    if (!high->raised)
        return;
    struct rlimit now = limit_now();
    if (now.rlim_cur == high->meanwhile.rlim_cur && now.rlim_max == high->meanwhile.rlim_max)
        set_limit(&high->before);
}
