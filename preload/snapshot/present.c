/* present.c - see present.h */
#include "present.h"

#include <fcntl.h>

#include "../sys.h"
#include "internal/compiler.h"

#define SHORT_BYTES ((uintptr_t)64 << 10)
#define WINDOW 512u
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)

static int fd = -1;
static uint64_t window[WINDOW]; /* entries of the pages from `first` on */
static uintptr_t first, count;

void present_begin(void)
{
    fd = (int)sys_call6(SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    count = 0;
}

static bool is_present(uintptr_t page)
{
    if (page - first >= count) {
        long got = sys_call6(SYS_pread64, fd, (long)window, sizeof window, (long)(page * sizeof window[0]), 0, 0);
        if (got < (long)sizeof window[0])
            return true; /* nobody says otherwise */
        first = page;
        count = (uintptr_t)got / sizeof window[0];
    }
    return window[page - first] & (PRESENT | SWAPPED);
}

uintptr_t present_run(uintptr_t *from, uintptr_t to)
{
    if (*from >= to)
        return 0;
    if (to - *from <= SHORT_BYTES || fd < 0)
        return to;
    uintptr_t page = *from / HS_PAGE_SIZE, end = (to + HS_PAGE_SIZE - 1) / HS_PAGE_SIZE;
    uintptr_t begin = page;
    while (begin < end && !is_present(begin))
        begin++;
    if (begin == end)
        return 0;
    if (begin > page)
        *from = begin * HS_PAGE_SIZE;
    uintptr_t last = begin + 1;
    while (last < end && is_present(last))
        last++;
    return last * HS_PAGE_SIZE < to ? last * HS_PAGE_SIZE : to;
}
