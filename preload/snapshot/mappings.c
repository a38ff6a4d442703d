/* mappings.c - see mappings.h */
#include "mappings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "../proc_text.h"
#include "growing.h"

#define READ_BYTES ((size_t)64 << 10)

static struct growing text, list;
static uint32_t count;

static bool read_text(void)
{
    long fd = sys_call6(SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return false;
    size_t length = 0;
    long got = 0;
    while (growing_room(&text, length + READ_BYTES + 1)) {
        got = sys_call(SYS_read, fd, (char *)text.memory + length, READ_BYTES);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    sys_close((int)fd);
    return got == 0 && length > 0;
}

/* start-end rwxp offset major:minor inode   path */
static bool parse(const char *line, const char *end, struct mapping *mapping)
{
    uint64_t start, stop, unused;
    *mapping = (struct mapping){.path = ""};
    if (!proc_number(line, 16, &start, &line) || *line++ != '-' || !proc_number(line, 16, &stop, &line) ||
        *line++ != ' ' || end - line < 5)
        return false;
    mapping->start = start;
    mapping->end = stop;
    mapping->readable = line[0] == 'r';
    mapping->writable = line[1] == 'w';
    mapping->shared = line[3] == 's';
    if (!proc_number(line + 4, 16, &mapping->offset, &line) || !proc_number(line, 16, &unused, &line) ||
        *line++ != ':' || !proc_number(line, 16, &unused, &line) || !proc_number(line, 10, &mapping->inode, &line))
        return false;
    while (line < end && *line == ' ')
        line++;
    mapping->path = line;
    mapping->path_length = (uint32_t)(end - line);
    return true;
}

bool mappings_read(void)
{
    count = 0;
    if (!read_text())
        return false;
    for (const char *line = text.memory; *line;) {
        const char *end = strchrnul(line, '\n');
        struct mapping mapping;
        if (parse(line, end, &mapping)) {
            if (!growing_room(&list, (count + 1) * sizeof mapping))
                return false;
            ((struct mapping *)list.memory)[count++] = mapping;
        }
        line = *end ? end + 1 : end;
    }
    return true;
}

uint32_t mappings_count(void)
{
    return count;
}
const struct mapping *mappings_at(uint32_t index)
{
    return (const struct mapping *)list.memory + index;
}

const struct mapping *mappings_find(uintptr_t address)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mappings_at(middle)->end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && mappings_at(low)->start <= address ? mappings_at(low) : NULL;
}
