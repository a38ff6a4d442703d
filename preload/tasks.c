/* tasks.c - see tasks.h */
#include "tasks.h"

#include <fcntl.h>
#include <stdint.h>

#include "proc_text.h"
#include "sys.h"

/* The kernel's struct linux_dirent64. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

int tasks_visit(tasks_visitor *visit, void *argument)
{
    _Alignas(struct directory_entry) char entries[4096];
    long fd = sys_call6(SYS_openat, AT_FDCWD, (long)"/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return (int)fd;
    int code = 0;
    long got;
    while (code == 0 && (got = sys_call(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < got && code == 0;) {
            const struct directory_entry *entry = (const void *)(entries + at);
            uint64_t tid;
            if (proc_number(entry->name, 10, &tid, NULL))
                code = visit((int)tid, argument);
            at += entry->length;
        }
    }
    sys_close((int)fd);
    return code;
}

long tasks_read(int tid, const char *file, char *text, size_t size)
{
    char path[64];
    char *limit = path + sizeof path - 1;
    char *end = text_append_number(text_append(path, limit, "/proc/self/task/"), limit, (uint64_t)tid);
    text_append(text_append(end, limit, "/"), limit, file);
    return proc_read(path, text, size);
}
